"""What the loss that weighs the QRS complex changes: reconstructions of recordings not trained on, by three losses.

Run: ``python examples/ecg/losses.py beats.npz``; some four minutes a seed on one thread.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import multimodal_vae as mv
from folds import FOLDS, split
from measures import qrs_amplitude, qrs_width
from multimodal_vae.cli import run_command
from recipe import CLASSES, HERE, Beats, Table, trained

LOSSES = {
    "squared error": {"qrs": 0.0, "slope": 0.0},
    "QRS weighted": {"slope": 0.0},
    "QRS weighted, and slope": {},
}
"""Settings of the modality; what is left out is its default."""


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description="Compare reconstruction losses on recordings not trained on.")
    parser.add_argument("beats", type=Path, help=".npz file made by beats.py")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights and batches")
    given = parser.parse_args()
    sys.exit(run_command(lambda: losses(given.beats, given.recipe, given.epochs, given.seeds)))


def losses(path: Path, recipe: Path, epochs: int, seeds: list[int]) -> None:
    """Train by each loss, with each seed, on each fold, and print mean and deviation over the seeds."""
    figures: dict[str, list[NDArray[np.float64]]] = {name: [] for name in LOSSES}
    for seed in seeds:
        for name, settings in LOSSES.items():
            folds = [
                errors(train, test, changed(mv.Configuration.read(recipe), settings, epochs, seed))
                for train, test in split(path, FOLDS)
            ]
            figures[name].append(np.mean(folds, axis=0))
            sys.stderr.write(f"seed {seed}, {name}: {figures[name][-1].round(3).tolist()}\n")
    rows = []
    for label, title in enumerate(CLASSES):
        for name, found in figures.items():
            means, deviations = np.mean(found, axis=0)[label], np.std(found, axis=0)[label]
            digits = (0, 1, 1, 3)
            cells = [f"{m:.{n}f} ± {d:.{n}f}" for m, d, n in zip(means, deviations, digits, strict=True)]
            rows.append([title, name, *cells])
    head = ["class", "loss", "QRS width error, ms", "QRS amplitude error, %", "its bias, %", "error of all, mV"]
    sys.stdout.write(str(Table("Reconstruction of recordings not trained on", head, rows)))


def changed(configuration: mv.Configuration, settings: dict[str, float], epochs: int, seed: int) -> mv.Configuration:
    """The ECG alone, with other settings of the loss."""
    ecg = mv.Modality.of(configuration.modalities["ecg"].configuration | settings)
    training = configuration.training.model_copy(update={"epochs": epochs, "seed": seed})
    objective = configuration.model.objective.model_copy(update={"weights": {}})
    model = configuration.model.model_copy(update={"fusion": mv.Concat(), "objective": objective, "seed": seed})
    return configuration.model_copy(update={"modalities": {"ecg": ecg}, "training": training, "model": model})


def errors(train: Beats, test: Beats, configuration: mv.Configuration) -> NDArray[np.float64]:
    """By class: mean errors of width (ms) and amplitude (%), its bias (%), and root mean square error (mV), (2, 4)."""
    vae = trained(train, configuration)
    told = vae.reconstruct(test.dataset(configuration))["ecg"][:, 0].double().numpy()
    true = test.ecg[:, 0].astype(np.float64)
    found = []
    for label in range(len(CLASSES)):
        of_class = test.y == label
        width = np.abs(qrs_width(told[of_class]) - qrs_width(true[of_class]))
        amplitude = 100 * (qrs_amplitude(told[of_class]) / qrs_amplitude(true[of_class]) - 1)
        rest = (told[of_class] - true[of_class]) ** 2
        found.append([width.mean(), np.abs(amplitude).mean(), amplitude.mean(), np.sqrt(rest.mean())])
    return np.array(found)


if __name__ == "__main__":
    main()
