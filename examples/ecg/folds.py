"""The same measures with other recordings held out, so that no conclusion hangs on one: four trainings.

Run: ``python examples/ecg/folds.py beats.npz``; some ten minutes on one thread.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import multimodal_vae as mv
from measures import balanced_accuracy, gaussian_pairs, judge
from multimodal_vae.cli import run_command
from recipe import HERE, Beats, Table, generated, read_beats, trained, translated, with_noise

FOLDS = ((100, 105, 106), (102, 114, 200), (104, 119, 121), (108, 116, 123))
"""Recordings held out together: each fold has one with a hundred PVCs or more."""


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description="Train four times, each time with other recordings held out.")
    parser.add_argument("beats", type=Path, help=".npz file made by beats.py")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--count", type=int, default=500, help="beats to generate of each class")
    parser.add_argument("--epochs", type=int, default=25, help="of each training; half the recipe's, for time")
    parser.add_argument("--fold", type=int, action="append", choices=range(4), help="only this one; may be repeated")
    given = parser.parse_args()
    sys.exit(run_command(lambda: folds(given.beats, given.recipe, given.epochs, given.count, given.fold or range(4))))


def folds(path: Path, recipe: Path, epochs: int, count: int, chosen: Sequence[int]) -> None:
    """Train and measure each fold, and print a row for each."""
    rows = []
    configuration = mv.Configuration.read(recipe)
    training = configuration.training.model_copy(update={"epochs": epochs})
    configuration = configuration.model_copy(update={"training": training})
    for train, test in split(path, [FOLDS[fold] for fold in chosen]):
        rows.append(measured_fold(train, test, configuration, count))
        sys.stderr.write(f"{' | '.join(rows[-1])}\n")
    head = [
        *("held out", "PVCs", "generated, judged", "taught by real beats", "by generated ones", "with noise"),
        *("by the Gaussian", "told from rhythm, judged"),
    ]
    sys.stdout.write(str(Table("Balanced accuracy by fold", head, rows)))


def split(path: Path, held_out: Sequence[Sequence[int]]) -> Iterator[tuple[Beats, Beats]]:
    """All beats of a file, training and held-out, for each choice of recordings."""
    first, second = read_beats(path)
    both = Beats(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in vars(first)))
    for recordings in held_out:
        out = np.isin(both.group, recordings)
        yield both[~out], both[out]


def measured_fold(train: Beats, test: Beats, configuration: mv.Configuration, count: int) -> list[str]:
    """Train on some recordings and measure on the others."""
    vae = trained(train, configuration)
    labels = np.repeat([0, 1], count)
    data = train.dataset(configuration)
    new = generated(vae, data, count, seed=0)["ecg"]
    noisy = with_noise(new, vae, data, seed=0)
    baseline = gaussian_pairs(train.ecg[:, 0], train.rhythm, train.y, count, seed=0)["ecg"]
    real = test.ecg[:, 0]
    referee = judge(train.ecg[:, 0], train.y)
    cells = [
        balanced_accuracy(labels, referee.predict(new)),
        balanced_accuracy(test.y, referee.predict(real)),
        balanced_accuracy(test.y, judge(new, labels).predict(real)),
        balanced_accuracy(test.y, judge(noisy, labels).predict(real)),
        balanced_accuracy(test.y, judge(baseline, labels).predict(real)),
        balanced_accuracy(test.y, referee.predict(translated(vae, test)["ecg"])),
    ]
    names = ", ".join(str(name) for name in np.unique(test.group))
    return [names, str(int(test.y.sum())), *(f"{cell:.3f}" for cell in cells)]


if __name__ == "__main__":
    main()
