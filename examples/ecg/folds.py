"""Cross-validate the example: train four times, each time with other recordings held out.

Run: ``python examples/ecg/folds.py beats.npz``; it takes about ten minutes of one core.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import multimodal_vae as mv
from metrics import balanced_accuracy, gaussian_pairs, train_judge
from multimodal_vae.cli import run_command
from recipe import HERE, Beats, Table, generate, read_beats, train, translate, with_noise

FOLDS = ((100, 105, 106), (102, 114, 200), (104, 119, 121), (108, 116, 123))
"""Recordings held out together; each fold has a recording with at least a hundred PVCs."""


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description="Train four times, each time with other recordings held out.")
    parser.add_argument("beats", type=Path, help=".npz file written by beats.py")
    parser.add_argument("--recipe", type=Path, default=HERE / "beats.toml", help="TOML file of the run")
    parser.add_argument("--count", type=int, default=500, help="beats to generate per class")
    parser.add_argument("--epochs", type=int, default=25, help="epochs per training (default 25, half the recipe's)")
    parser.add_argument("--fold", type=int, action="append", choices=range(4), help="only this fold; may be repeated")
    given = parser.parse_args()
    sys.exit(run_command(lambda: folds(given.beats, given.recipe, given.epochs, given.count, given.fold or range(4))))


def folds(path: Path, recipe: Path, epochs: int, count: int, numbers: Sequence[int]) -> None:
    """Train and measure each fold, and print a table with one row per fold."""
    rows = []
    configuration = mv.Configuration.read(recipe)
    training = configuration.training.model_copy(update={"epochs": epochs})
    configuration = configuration.model_copy(update={"training": training})
    for training_beats, test in split(path, [FOLDS[number] for number in numbers]):
        rows.append(measure_fold(training_beats, test, configuration, count))
        sys.stderr.write(f"{' | '.join(rows[-1])}\n")
    head = [
        *("held out", "PVCs", "generated, judged", "taught by real beats", "by generated ones", "with noise"),
        *("by the Gaussian", "translated from rhythm, judged"),
    ]
    sys.stdout.write(str(Table("Balanced accuracy by fold", head, rows)))


def split(path: Path, held_out: Sequence[Sequence[int]]) -> Iterator[tuple[Beats, Beats]]:
    """Yield training and held-out beats for each choice of held-out recordings."""
    first, second = read_beats(path)
    both = Beats(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in vars(first)))
    for recordings in held_out:
        is_held_out = np.isin(both.group, recordings)
        yield both[~is_held_out], both[is_held_out]


def measure_fold(training: Beats, test: Beats, configuration: mv.Configuration, count: int) -> list[str]:
    """Train on some recordings, measure on the others, and return the fold's row."""
    vae = train(training, configuration)
    labels = np.repeat([0, 1], count)
    data = training.dataset(configuration)
    new = generate(vae, data, count, seed=0)["ecg"]
    noisy = with_noise(new, vae, data, seed=0)
    baseline = gaussian_pairs(training.ecg[:, 0], training.rhythm, training.y, count, seed=0)["ecg"]
    real = test.ecg[:, 0]
    judge = train_judge(training.ecg[:, 0], training.y)
    cells = [
        balanced_accuracy(labels, judge.predict(new)),
        balanced_accuracy(test.y, judge.predict(real)),
        balanced_accuracy(test.y, train_judge(new, labels).predict(real)),
        balanced_accuracy(test.y, train_judge(noisy, labels).predict(real)),
        balanced_accuracy(test.y, train_judge(baseline, labels).predict(real)),
        balanced_accuracy(test.y, judge.predict(translate(vae, test)["ecg"])),
    ]
    names = ", ".join(str(name) for name in np.unique(test.group))
    return [names, str(int(test.y.sum())), *(f"{cell:.3f}" for cell in cells)]


if __name__ == "__main__":
    main()
