"""Adapt public runs to the ears of another clinic with differential privacy, and measure cost and gain.

Run: ``python examples/otitis/study adapt --run runs/reproduce/seed10/best``, after ``reproduce``. The clinic has other
cameras, older children and thicker effusions. Two public runs are adapted to it: the given one, whose networks never
saw such cameras, and one of the same recipe that learns here from a cohort with forty cameras, none of them the
clinic's. The tables are written to ``ADAPT.md`` beside this file. All metrics compare with further patients of the
clinic, whom nothing has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from typing_extensions import TypedDict

import multimodal_vae as mv
from multimodal_vae.evaluation.coherence import agreement
from multimodal_vae.evaluation.judge import Judge
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.pixels import PixelClassifier
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import read_json, write_json
from multimodal_vae.privacy.adaptation import adapt_run
from multimodal_vae.privacy.run_audit import audit_run
from multimodal_vae.report.run_evaluation import labeled_samples, load_judges
from multimodal_vae.run import Run
from other_clinic import write_other_clinic, write_varied_cohort
from simulator.causes import COUNTS
from steps import step_parser
from trainings import RECIPES, changed_recipe, train_all

PAGE = Path(__file__).with_name("ADAPT.md")
OTHERS = {"NOE": 264, "OME": 256, "AOM": 120}
"""Ears of patients whom nothing has seen, by label; the private patients have as many ears as a cohort."""
EPSILONS, AUDITED = (1.0, 3.0, 8.0), 3.0
RECIPE, PUBLIC_SEED = "best.toml", 80
"""Recipe of the run that learns from forty cameras, and seed of its cohort."""
COUNT, REPEATS = 200, 3
"""Generated pairs per class, and independent fits with draws."""
MIXTURE = {"name": "gmm", "components": 3, "covariance": "full", "regularization": 0.05}
PUBLIC, OWN, GMM = "public run, not adapted", "the run's sampler, not private", "gmm, not private"
REAL, REAL_PUBLIC = "real ears of the clinic", "real ears of the public cohort"
COMPONENTS = 50
"""Principal components of both modalities in which the energy distance is measured."""
PER_EAR = ("energy distance", "coverage", "TSTR")
"""Metrics that are means over held-out ears, so that two generators are compared ear by ear."""


class Draw(TypedDict):
    """Metrics of one fit and its samples; those of held-out ears as one value per ear."""

    per_ear: dict[str, list[float]]
    others: dict[str, float]


class Attacked(TypedDict):
    """Membership attacks on the samples of an adapted run: area under the curve, and its interval."""

    distance: tuple[float, tuple[float, float]]
    strongest: tuple[str, float, tuple[float, float]]
    attacks: int


class Measured(TypedDict):
    """All about one clinic."""

    patients: list[str]
    draws: dict[str, list[Draw]]
    audits: dict[str, Attacked]


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, train, adapt, measure, and write the page."""
    parser = step_parser("adapt", "--run runs/reproduce/seed10/best")
    parser.add_argument("--run", type=Path, default=Path("runs/reproduce/seed10/best"), help="public run")
    parser.add_argument("--judges", type=Path, help="folder of the public run's judges (default RUN/judges)")
    parser.add_argument("--out", type=Path, default=Path("runs/adapt"), help="folder of the clinic and all runs")
    parser.add_argument("--seed", type=int, default=90, help="seed of the clinic (default 90)")
    given = parser.parse_args(arguments)
    varied, clinic = given.out / "varied", given.out / "clinic"
    train_all({varied: changed_recipe(RECIPES / RECIPE, write_varied_cohort(given.out / "public", PUBLIC_SEED), {})}, 1)
    private = write_other_clinic(clinic / "private", given.seed)
    others = write_other_clinic(clinic / "others", given.seed + 1, OTHERS)
    measured = {}
    for name, run in (("four", mv.open_run(given.run)), ("forty", mv.open_run(varied))):
        judges_folder = given.judges if given.judges and name == "four" else run.path / "judges"
        judges = load_judges(judges_folder, run, labeled_samples(run.splits["train"]))
        measured[name] = measure_clinic(run, judges, private, others, given.out / name)
        PAGE.write_text(page(measured, run.model.latent_dim), "utf-8")
    print(PAGE)


def measure_clinic(run: Run, judges: Sequence[Judge], private: Path, others: Path, folder: Path) -> Measured:
    """Adapt a run to the clinic, draw from it and audit it; what is measured already is read.

    Args:
        run: public run.
        judges: its judges.
        private: manifest of the private patients.
        others: manifest of further patients of the clinic.
        folder: folder of the adapted run, and of what is measured.
    """
    path, console = folder / "measured.json", Console(stderr=True)
    own = run.configuration.density.sampler.configuration
    adapted = adapt_run(run, private, _private(AUDITED, own), folder / "adapted", COUNT)
    train = adapted.splits["train"]
    held_out = HeldOut(labeled_samples(run.read(others)), judges)
    done = read_json(path, Measured) if path.exists() else Measured(patients=held_out.patients, draws={}, audits={})
    for name, data in ((REAL, train), (REAL_PUBLIC, run.splits["train"])):
        real = labeled_samples(data)
        few = {label: min(COUNT, count) for label, count in real.counts().items()}
        done["draws"].setdefault(name, [held_out.rate(real.subsample(few, 0))])
    for name, sampler in samplers(own).items():
        while len(draws := done["draws"].setdefault(name, [])) < REPEATS:
            console.print(f"{folder.name} cameras, {name}, {len(draws)}")
            data = run.splits["train"] if name == PUBLIC else train
            synthesizer = mv.Synthesizer(run.model, sampler).fit(data, reference=run.splits["train"])
            draws.append(held_out.rate(draw_samples(synthesizer, 100 * len(draws))))
            write_json(path, done)
    if not done["audits"]:
        console.print("audit")
        done["audits"][f"{AUDITED:g}"] = attack(adapted, others)
        write_json(path, done)
    return done


def samplers(own: Any) -> dict[str, Any]:
    """Return the samplers compared, by name in the table.

    Args:
        own: the public run's sampler.
    """
    private = {f"private, ε = {epsilon:g}": _private(epsilon, own) for epsilon in EPSILONS}
    return {PUBLIC: own, **private, OWN: own, GMM: MIXTURE}


def _private(epsilon: float, own: Any) -> dict[str, Any]:
    return {"name": "private_gaussian", "epsilon": epsilon, "base": own}


def draw_samples(synthesizer: mv.Synthesizer, seed: int) -> LabeledSamples:
    """Draw pairs of every class."""
    vae = synthesizer.vae
    drawn = [synthesizer.sample(name, COUNT, seed + index) for index, name in enumerate(vae.classes)]
    values = {name: torch.cat([each[name] for each in drawn]) for name in vae.modalities}
    return LabeledSamples(values, torch.arange(len(drawn)).repeat_interleave(COUNT))


class HeldOut:
    """Ears of patients whom nothing has seen, with which samples are compared.

    Args:
        samples: the ears.
        judges: judges of both modalities, and of each.
    """

    def __init__(self, samples: LabeledSamples, judges: Sequence[Judge]) -> None:
        self.samples = samples
        self.patients = list(samples.groups or [])
        self._judges = judges
        self._pca = JointPCA(COMPONENTS, 0).fit(samples.values)
        self._features = judges[0].predict(samples.values).features.double()
        self._points = self._pca.transform(samples.values).double()

    def rate(self, samples: LabeledSamples) -> Draw:
        """Return the metrics of samples, as the reference of metrics defines them, and their energy distance."""
        answer, labels = self._judges[0].predict(samples.values), self.samples.labels
        near = neighbors(self._features, answer.features.double())
        predicted = PixelClassifier().fit(samples.values, samples.labels).predict(self.samples.values)
        counts = self.samples.counts()
        weight = len(labels) / (labels.bincount().double() * len(counts))[labels]
        points, distance = self._pca.transform(samples.values).double(), torch.zeros(len(labels), dtype=torch.float64)
        for label in counts:
            of_class = labels == label
            distance[of_class] = energy_terms(points[samples.labels == label], self._points[of_class])
        first, second = (judge.predict(samples.values).labels for judge in self._judges[1:3])
        per_ear = {
            "energy distance": distance * weight / self._points.var(0).sum().sqrt(),
            "coverage": near.covered.double(),
            "TSTR": (predicted == labels) * weight,
        }
        return Draw(
            per_ear={name: values.tolist() for name, values in per_ear.items()},
            others={
                "precision": float(near.precise.double().mean()),
                "recall": float(near.recalled.double().mean()),
                "coherence": agreement(first, second, samples.labels),
                "purity": float((answer.labels == samples.labels).double().mean()),
                "class mean WBT": class_mean_difference(samples, self.samples),
            },
        )


def class_mean_difference(samples: LabeledSamples, held_out: LabeledSamples) -> float:
    """Return the mean absolute difference of class means of the tympanograms, averaged over classes, in absorbance."""
    means = [
        torch.stack([each.values["wbt"][each.labels == label].mean(0) for label in held_out.counts()])
        for each in (samples, held_out)
    ]
    return float((means[0] - means[1]).abs().mean())


def energy_terms(points: Tensor, real: Tensor) -> Tensor:
    """Return one term per real point, whose mean is the energy distance from other points, without bias.

    Source: Székely and Rizzo (2013), *Energy statistics*, equation 2.5, without the pairs of a point with itself.

    Args:
        points: (N, D).
        real: (M, D).
    """
    within = [torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (points, real)]
    return 2 * torch.cdist(real, points).mean(1) - within[0] - within[1]


def attack(adapted: Run, others: Path) -> Attacked:
    """Audit as many samples of an adapted run as its density has patients' ears; these are the members."""
    result, _ = audit_run(adapted, holdout=others)
    chance = ("membership/blind", "membership/control")  # these do not see the samples
    attacks = [each for each in result.results if each.name.startswith("membership/") and each.name not in chance]
    strongest = max(attacks, key=lambda each: each.value)
    pairs = result.result("membership/distance", "data")
    return Attacked(
        distance=(pairs.value, pairs.interval or (0.0, 1.0)),
        strongest=(f"{strongest.name} in {strongest.space}", strongest.value, strongest.interval or (0.0, 1.0)),
        attacks=len(attacks),
    )


class Gain(NamedTuple):
    """A difference of means, and its standard error over patients and over fits."""

    value: float
    error: float


def gain(new: Sequence[Draw], old: Sequence[Draw], metric: str, patients: Sequence[str]) -> Gain:
    """Return how much two generators differ in a metric of held-out ears, ear by ear."""
    ears = [np.array([each["per_ear"][metric] for each in draws]) for draws in (new, old)]
    difference = ears[0].mean(0) - ears[1].mean(0)
    _, person = np.unique(patients, return_inverse=True)
    over_patients = sqrt(float((np.bincount(person, difference - difference.mean()) ** 2).sum())) / len(difference)
    over_fits = [stdev(each.mean(1)) / sqrt(len(each)) if len(each) > 1 else 0.0 for each in ears]
    return Gain(float(difference.mean()), hypot(over_patients, *over_fits))


@dataclass(frozen=True)
class _Column:
    name: str
    digits: int = 2

    def cell(self, draws: Sequence[Draw]) -> str:
        values = [each["others"].get(self.name, fmean(each["per_ear"].get(self.name, [0.0]))) for each in draws]
        spread = f" ± {stdev(values):.{self.digits}f}" if len(values) > 1 else ""
        return f"{fmean(values):.{self.digits}f}{spread}"


COLUMNS = [
    _Column("energy distance", 4),
    *map(_Column, ("coverage", "precision", "recall", "TSTR", "coherence", "purity")),
    _Column("class mean WBT", 4),
]


CAMERAS = {
    "four": "The public run learned from a cohort with four cameras. It never saw cameras like the clinic's.",
    "forty": "The public run learned from as many ears with forty cameras, none of them the clinic's. This is what one "
    "can\ndo who does not know the clinic, but simulates or collects widely.",
}
"""The public runs, by number of cameras."""


def page(measured: Mapping[str, Measured], dimensions: int) -> str:
    """Return the page with one table per public run."""
    lines = [
        "# Adapting a run to private patients",
        "",
        "Written by `adapt.py`. Public runs are adapted to the patients of another simulated clinic, which has other",
        "cameras, children of five years and more, and thicker, amber effusions:",
        f"{sum(COUNTS.values())} ears, of which the densities learn from eight in ten. [Adapt a",
        "run](../../../docs/how-to/adapt.md) explains the command. Each generator is compared with",
        f"{sum(OTHERS.values())} ears of further patients of the clinic. The latents have {dimensions} dimensions.",
        f"Values are means over {REPEATS} fits with {COUNT} new pairs per class, ± their standard deviation, with the",
        "noise of the mechanism. *Energy distance* (0 for samples of the same distribution) is measured within",
        f"classes in {COMPONENTS} principal components of both modalities, relative to the ears' spread. *Gain* is its",
        "decrease from that of the public run, ± standard error over patients and fits. *Class mean WBT* is the mean",
        "absolute difference of class means of tympanograms, in absorbance (lower is better). A private density is",
        "that of the public run, moved; the two that are not private are fitted to the patients' ears. Judges learned",
        "from the public cohort. Which distance to take was decided on real ears alone: a kernel distance of judges'",
        "features did not tell those of the public cohort from those of the clinic, since judges learn to ignore",
        "cameras. By that distance, nothing is gained.",
    ]
    for name, each in measured.items():
        lines += ["", f"## A public run of {name} cameras", "", CAMERAS[name], "", *_table(each)]
    return "\n".join(lines) + "\n"


def _table(measured: Measured) -> list[str]:
    lines = [
        f"| generator | {' | '.join(each.name for each in COLUMNS)} | gain |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for name in (*samplers(None), REAL_PUBLIC, REAL):
        draws = measured["draws"][name]
        found = gain(draws, measured["draws"][PUBLIC], PER_EAR[0], measured["patients"])
        last = "" if name == PUBLIC else f"{-found.value:.4f} ± {found.error:.4f}"
        lines.append(f"| {name} | {' | '.join(each.cell(draws) for each in COLUMNS)} | {last} |")
    found = {
        name: gain(measured["draws"][name], measured["draws"][PUBLIC], PER_EAR[0], measured["patients"])
        for name in samplers(None)
    }
    better = [name for name, each in found.items() if -each.value > 2 * each.error]
    lines += ["", f"More than two standard errors better than the public run: {', '.join(better) or 'none of them'}."]
    for epsilon, each in measured["audits"].items():
        (area, (low, high)), (name, most, (lowest, highest)) = each["distance"], each["strongest"]
        lines += [
            "",
            f"Audit at ε = {epsilon}: membership by pairs, area under the curve {area:.2f} ({low:.2f} to {high:.2f}).",
            f"The strongest of {each['attacks']} attacks, {name}: {most:.2f} ({lowest:.2f} to {highest:.2f}).",
        ]
    return lines
