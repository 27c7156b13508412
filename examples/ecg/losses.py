"""Compare three reconstruction losses, with and without weights for the QRS complex, on held-out recordings.

Run: ``python examples/ecg/losses.py beats.npz``; it takes about four minutes of one core per seed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import multimodal_vae as mv
from folds import FOLDS, split
from metrics import qrs_amplitude, qrs_width
from multimodal_vae.cli import run_command
from recipe import CLASSES, HERE, Beats, Table, train

LOSSES = {
    "squared error": {"qrs": 0.0, "slope": 0.0},
    "QRS weighted": {"slope": 0.0},
    "QRS weighted, and slope": {},
}
"""Settings of the modality by name of the loss; the others keep their defaults."""


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description="Compare reconstruction losses on held-out recordings.")
    parser.add_argument("beats", type=Path, help=".npz file written by beats.py")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per training (default 10)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of weights and batches (default 0 1 2)"
    )
    given = parser.parse_args()
    sys.exit(run_command(lambda: losses(given.beats, given.recipe, given.epochs, given.seeds)))


def losses(path: Path, recipe: Path, epochs: int, seeds: list[int]) -> None:
    """Train with each loss, seed and fold, and print mean and standard deviation over the seeds."""
    by_loss: dict[str, list[NDArray[np.float64]]] = {name: [] for name in LOSSES}
    for seed in seeds:
        for name, settings in LOSSES.items():
            folds = [
                errors(training, test, changed_recipe(mv.Configuration.read(recipe), settings, epochs, seed))
                for training, test in split(path, FOLDS)
            ]
            by_loss[name].append(np.mean(folds, axis=0))
            sys.stderr.write(f"seed {seed}, {name}: {by_loss[name][-1].round(3).tolist()}\n")
    rows = []
    for label, title in enumerate(CLASSES):
        for name, values in by_loss.items():
            means, deviations = np.mean(values, axis=0)[label], np.std(values, axis=0)[label]
            decimals = (0, 1, 1, 3)
            cells = [f"{m:.{n}f} ± {d:.{n}f}" for m, d, n in zip(means, deviations, decimals, strict=True)]
            rows.append([title, name, *cells])
    head = ["class", "loss", "QRS width error, ms", "QRS amplitude error, %", "amplitude bias, %", "RMS error, mV"]
    sys.stdout.write(str(Table("Reconstruction of held-out recordings", head, rows)))


def changed_recipe(
    configuration: mv.Configuration, settings: dict[str, float], epochs: int, seed: int
) -> mv.Configuration:
    """Return a configuration of the ECG without the rhythm, with other settings of its loss."""
    ecg = mv.Modality.of(configuration.modalities["ecg"].configuration | settings)
    training = configuration.training.model_copy(update={"epochs": epochs, "seed": seed})
    objective = configuration.model.objective.model_copy(update={"weights": {}})
    model = configuration.model.model_copy(update={"fusion": mv.Concat(), "objective": objective, "seed": seed})
    return configuration.model_copy(update={"modalities": {"ecg": ecg}, "training": training, "model": model})


def errors(training: Beats, test: Beats, configuration: mv.Configuration) -> NDArray[np.float64]:
    """Train, and return the errors of reconstructions, (2, 4).

    One row per class: mean errors of width (ms) and amplitude (%), bias of the amplitude (%), and root mean square
    error (mV).
    """
    vae = train(training, configuration)
    reconstructed = vae.reconstruct(test.dataset(configuration))["ecg"][:, 0].double().numpy()
    true = test.ecg[:, 0].astype(np.float64)
    rows = []
    for label in range(len(CLASSES)):
        of_class = test.y == label
        width = np.abs(qrs_width(reconstructed[of_class]) - qrs_width(true[of_class]))
        amplitude = 100 * (qrs_amplitude(reconstructed[of_class]) / qrs_amplitude(true[of_class]) - 1)
        squares = (reconstructed[of_class] - true[of_class]) ** 2
        rows.append([width.mean(), np.abs(amplitude).mean(), amplitude.mean(), np.sqrt(squares.mean())])
    return np.array(rows)


if __name__ == "__main__":
    main()
