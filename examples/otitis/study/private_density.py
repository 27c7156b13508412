"""Compare private densities of one cohort with what they start from and with densities without privacy.

Run: ``python examples/otitis/study private_density RUN PRIVATE HELD_OUT``. The run's training patients are the
reference, those of the manifest PRIVATE are fitted, and those of the manifest HELD_OUT measure the densities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import multimodal_vae as mv
from steps import step_parser

DELTA = 1e-5
BUDGETS = (1.0, 3.0, 8.0)
SEEDS = 3
NO_NOISE = {"name": "private_gaussian", "epsilon": 100.0, "delta": 0.5}
"""The same estimator with next to no noise."""


@dataclass(frozen=True)
class Latents:
    """Latents (N, D) of each class, and their patients."""

    classes: list[Tensor]
    patients: list[list[str]]

    @classmethod
    def of(cls, vae: mv.MultimodalVAE, data: mv.MultimodalDataset) -> Latents:
        """Embed samples."""
        latents = vae.embed(data)
        rows = [(data.labels == index).nonzero().flatten() for index in range(len(data.classes))]
        return cls([latents[each] for each in rows], [[data.patients[row] for row in each] for each in rows])


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, and print the table."""
    parser = step_parser("private_density", "runs/best cohort2/manifest.csv cohort3/manifest.csv")
    parser.add_argument("run", type=Path, help="run whose training patients are the reference")
    parser.add_argument("private", type=Path, help="manifest of the patients to fit to")
    parser.add_argument("held_out", type=Path, help="manifest of other patients of the same population")
    given = parser.parse_args(arguments)
    run = mv.open_run(given.run)
    sets = [run.splits["train"], run.read(given.private), run.read(given.held_out)]
    print(table(*(Latents.of(run.model, each) for each in sets)))


def table(reference: Latents, private: Latents, held_out: Latents) -> str:
    """Return a Markdown table with one row per density, and two metrics of the held-out latents."""
    patients = len({name for each in private.patients for name in each})
    head = (
        "| density | fitted to | held-out log likelihood, nats (higher is better) "
        "| Wasserstein distance (lower is better) |"
    )
    lines = [f"{patients} patients, delta = {DELTA:g}.", "", head, "|---" * 4 + "|"]
    mixture = {"name": "gmm", "components": 3, "covariance": "full", "regularization": 0.05}
    rows: list[tuple[str, str, list[list[torch.distributions.Distribution]]]] = [
        ("Gaussian", "reference", [fit({"name": "gaussian"}, reference)]),
        ("class mean", "patients", [[constant(each) for each in private.classes]]),
        *(
            (
                f"private, epsilon = {epsilon:g}",
                who,
                [fit(_private(epsilon, seed), private, given) for seed in range(SEEDS)],
            )
            for who, given in (("patients", None), ("patients, from the reference", reference))
            for epsilon in BUDGETS
        ),
        ("the same without noise", "patients", [fit({**NO_NOISE, "seed": 0}, private)]),
        ("the same without noise", "patients, from the reference", [fit({**NO_NOISE, "seed": 0}, private, reference)]),
        ("Gaussian", "patients", [fit({"name": "gaussian"}, private)]),
        ("3 Gaussians", "patients", [fit(mixture, private)]),
    ]
    for name, who, fits in rows:
        likelihood = _spread([_log_likelihood(each, held_out) for each in fits], 1)
        distance = _spread([distance_of(each, held_out) for each in fits], 3)
        lines.append(f"| {name} | {who} | {likelihood} | {distance} |")
    return "\n".join(lines)


def fit(
    sampler: Mapping[str, Any], latents: Latents, reference: Latents | None = None
) -> list[torch.distributions.Distribution]:
    """Return the density of each class."""
    others = reference.classes if reference else None
    fitted = mv.DensitySampler.of(sampler).fit_classes(latents.classes, latents.patients, others)
    return [density() for density in fitted.densities if density is not None]


def constant(latents: Tensor) -> mv.GaussianMixture:
    """Return a density with next to no spread around the mean of latents."""
    mean = latents.mean(0)
    return mv.GaussianMixture(mean.new_ones(1), mean[None], torch.full_like(mean, 1e-3)[None])


def distance_of(densities: Sequence[torch.distributions.Distribution], held_out: Latents, draws: int = 5000) -> float:
    """Return the squared Wasserstein distance between the first two moments of draws and latents, per dimension.

    The mean over classes.

    Source: Dowson and Landau (1982), *The Frechet distance between multivariate normal distributions*.
    """
    distances = []
    for density, latents in zip(densities, held_out.classes, strict=True):
        torch.manual_seed(0)
        points = density.sample((draws,)).double().numpy(), latents.double().numpy()
        means, covariances = [each.mean(0) for each in points], [np.cov(each.T) for each in points]
        values, vectors = np.linalg.eigh(covariances[0])
        root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
        square = ((means[0] - means[1]) ** 2).sum() + sum(np.trace(each) for each in covariances) - 2 * cross
        distances.append(float(square) / latents.shape[1])
    return sum(distances) / len(distances)


def _private(epsilon: float, seed: int) -> dict[str, Any]:
    """Return a private sampler whose noise repeats: the cohorts are simulated."""
    return {"name": "private_gaussian", "epsilon": epsilon, "delta": DELTA, "seed": seed}


def _log_likelihood(densities: Sequence[torch.distributions.Distribution], held_out: Latents) -> float:
    """Return the mean log density of the latents, the mean over classes."""
    means = [float(each.log_prob(latents).mean()) for each, latents in zip(densities, held_out.classes, strict=True)]
    return sum(means) / len(means)


def _spread(values: Sequence[float], digits: int) -> str:
    """Return the mean, and the smallest and largest value if there are several; a dash below any use."""
    mean = sum(values) / len(values)
    if mean < -1e4:
        return "-"
    spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"
