"""Sites whose scanners differ: does the latent tell the site, and are pairs of a class that a site lacks right?

Run ``python benchmarks/sites.py``; the tables are those of docs/how-to/covariates.md.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import multimodal_vae as mv
from multimodal_vae.evaluation.covariates import covariate_metrics
from multimodal_vae.evaluation.latent import cross_validated_labels
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.result import format_interval
from multimodal_vae.report.run_evaluation import labeled_samples

CLASSES = ["bar", "disc", "ring"]
SCANNERS = {"A": (1.0, 0.0, 0.03), "B": (0.55, 0.3, 0.06), "C": (1.2, -0.1, 0.02)}
"""By site: gain, offset and noise of pictures; site B also blurs them, and has a gradient."""
VECTORS = {"A": (1.0, 0.0), "B": (1.3, 1.0), "C": (0.8, -1.5)}
"""By site: gain and offset of vectors."""
LACKING = {("ring", "A"), ("bar", "B"), ("disc", "C")}
"""Class that each of three sites lacks."""


def cohort(count: int, seed: int, sites: str, lacking: Sequence[tuple[str, str]] = ()) -> mv.MultimodalDataset:
    """Return pictures of one of three forms, and vectors that share size, brightness and severity with them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:16, 0:16] / 15 - 0.5
    pictures, vectors, labels, places = [], [], list[str](), list[str]()
    while len(labels) < count:
        label, site = CLASSES[int(rng.integers(3))], sites[int(rng.integers(len(sites)))]
        if (label, site) in lacking:
            continue
        (cx, cy), size, bright, severity = (
            rng.normal(0, 0.08, 2),
            rng.normal(0.28, 0.04),
            rng.uniform(0.5, 0.8),
            rng.normal(),
        )
        radius = np.hypot(x - cx, y - cy)
        form = {
            "disc": radius - size,
            "ring": np.abs(radius - size) - 0.08,
            "bar": np.maximum(np.abs(x - cx) - 0.1, np.abs(y - cy) - size),
        }[label]
        picture = 0.1 + bright / (1 + np.exp(40 * form))
        gain, offset, noise = SCANNERS[site]
        if site == "B":
            neighbors = [np.roll(picture, shift, axis) for shift in (1, -1) for axis in (0, 1)]
            picture = (picture + sum(neighbors)) / 5 + 0.15 * (x + 0.5)
        picture = gain * picture + offset + noise * rng.normal(size=picture.shape)
        kind = CLASSES.index(label)
        vector = np.array([10 * size + severity, 5 * bright, 2 * (kind == 2) + severity, 1.5 * (kind == 0) - severity])
        vector = np.append(vector, [rng.normal() + (kind == 1), 10 * cx]) + 0.3 * rng.normal(size=6)
        gain, offset = VECTORS[site]
        pictures.append(picture.clip(0, 1)[None])
        vectors.append(gain * vector + offset)
        labels.append(label)
        places.append(site)
    return mv.MultimodalDataset.from_tensors(
        {"picture": np.array(pictures), "blood": np.array(vectors)},
        labels,
        {"picture": mv.Image(size=(16, 16), channels=1, width=8), "blood": mv.Vector(size=6, hidden=32)},
        CLASSES,
        covariates={"site": places},
    )


def fit(train: mv.MultimodalDataset, steps: int, covariates: bool, weight: float | None) -> mv.MultimodalVAE:
    """Train a model with or without covariates; ``weight`` is that of their dependence."""
    if not covariates:
        train = train.subset(range(len(train)))
        train.covariate_types, train.covariates = [], torch.zeros(len(train), 0)
    vae = mv.MultimodalVAE(
        train.modalities, CLASSES, latent_dim=16, seed=0, covariates=train.covariate_types,
        objective={"dependence_weight": weight},
    )  # fmt: skip
    return mv.fit(vae, train, steps=steps, show=False, early_stopping=False)


def two_sites(patients: int, steps: int) -> None:
    """Print how well the latents of 500 other patients tell class and site."""
    train, test = cohort(patients, 1, "AB"), cohort(500, 2, "AB")
    print("| training | separability of the classes | site, area under the curve | interval |\n|---|---|---|---|")
    for name, covariates, weight in (
        ("without covariates", False, None),
        ("covariates only, `dependence_weight = 0`", True, 0.0),
        ("covariates, the default", True, None),
        ("covariates, `dependence_weight = 10`", True, 10.0),
    ):
        vae = fit(train, steps, covariates, weight)
        samples = {each: test.samples[each] for each in test.modalities}
        latents = vae.encode(test if covariates else samples).mean
        told = cross_validated_labels({"latent": latents}, test.labels)
        (site,) = covariate_metrics(latents, labeled_samples(test), test.covariate_types)
        accuracy = balanced_accuracy(told, test.labels)
        print(f"| {name} | {accuracy:.3f} | {site.value:.3f} | {format_interval(site.interval)} |", flush=True)


def three_sites(patients: int, steps: int) -> None:
    """Print the share of generated pairs of a lacking class and site that classifiers of other patients recognize."""
    train, judged, test = cohort(patients, 1, "ABC", [*LACKING]), cohort(1500, 3, "ABC"), cohort(1500, 4, "ABC")
    judges = {
        "class": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)), judged.labels),
        "site": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)), judged.covariates[:, 0].long()),
    }
    for judge, target in judges.values():
        judge.fit(_features({name: judged.samples[name] for name in judged.modalities}), target)
    vae = fit(train, steps, covariates=True, weight=None)
    synthesizer = mv.Synthesizer(vae, "gaussian").fit(train)
    print("| class and site | class recognized | site recognized | both | both, real |\n|---|---|---|---|---|")
    for label, site in sorted(LACKING, key=lambda pair: pair[1]):
        new = synthesizer.sample(label, 300, seed=0, noise="draw", covariates={"site": site})
        rows = (test.labels == CLASSES.index(label)) & (test.covariates[:, 0] == "ABC".index(site))
        real = {name: test.samples[name][rows] for name in test.modalities}
        shares = []
        for samples in (new, real):
            hits = [
                judge.predict(_features(samples)) == goal
                for (judge, _), goal in zip(judges.values(), (CLASSES.index(label), "ABC".index(site)), strict=True)
            ]
            shares += [float(hits[0].mean()), float(hits[1].mean()), float((hits[0] & hits[1]).mean())]
        print(
            f"| {label} at {site} | {shares[0]:.2f} | {shares[1]:.2f} | {shares[2]:.2f} | {shares[5]:.2f} |", flush=True
        )


def _features(samples: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.cat([x.flatten(1) for x in samples.values()], 1).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", choices=["two", "three"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only != "three":
        two_sites(options.patients, options.steps)
    if options.only != "two":
        three_sites(options.patients, options.steps)
