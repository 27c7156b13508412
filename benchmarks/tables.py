"""Compare a run's completion of a table with other imputation, and the columns of generated rows with real ones.

Usage: python benchmarks/tables.py RUN --table NAME [--shares 0.1 0.3] [--columns 40] [--count 300]

Prints Markdown. Entries of held-out rows are hidden at random; errors are root mean squares in standard deviations of
the training samples, on each column's scale. All methods see the other tables of the row. scikit-learn's iterative
imputation regresses on ``--columns`` columns.
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (the import below needs it)
from sklearn.impute import IterativeImputer, KNNImputer
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.run import Run

Numbers = NDArray[np.float64]


def known(data: mv.MultimodalDataset, name: str) -> Tensor:
    """Return a table's present samples."""
    return data.samples[name][data.present[:, list(data.modalities).index(name)]]


def on_scales(data: mv.MultimodalDataset, name: str, samples: Tensor, reference: Tensor) -> Numbers:
    """Return samples in deviations of a reference, one number per column; NaN is missing."""
    layout = mv.Table.of(data.modalities[name]).layout
    both = layout.on_scales(torch.cat([reference, samples])).double().numpy()
    mean, deviation = np.nanmean(both[: len(reference)], 0), np.nanstd(both[: len(reference)], 0)
    scaled: Numbers = (both[len(reference) :] - mean) / np.where(deviation > 0, deviation, 1)
    return scaled


def correlations(x: Numbers) -> Numbers:
    """Return the correlation of each pair of columns over rows that have both."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = np.ma.corrcoef(np.ma.masked_invalid(x), rowvar=False).filled(np.nan)
    return found[~np.eye(len(found), dtype=bool)]


def imputation(run: Run, table: str, share: float, columns: int) -> list[str]:
    """Return one row: errors of column means, of neighbors, of iterative imputation, of the run, and its coverage."""
    train, test = run.splits["train"], run.splits["test"]
    truth = test.samples[table]
    chosen = torch.from_numpy(np.random.default_rng(0).random(truth.shape) < share) & ~truth.isnan()
    given = test.subset(range(len(test)))
    given.samples[table] = truth.masked_fill(chosen, torch.nan)
    reference, hidden = known(train, table), chosen.numpy()
    target = on_scales(train, table, truth, reference)

    def error(found: Numbers) -> str:
        return f"{np.sqrt(np.mean((found - target)[hidden] ** 2)):.3f}"

    names = [table, *(name for name, part in train.modalities.items() if part.gaps and name != table)]
    fit, use = (
        np.concatenate([on_scales(train, name, data.samples[name], known(train, name)) for name in names], 1)
        for data in (train, given)
    )
    cells = [error(np.zeros_like(target))]
    for imputer in (
        KNNImputer(n_neighbors=10),
        IterativeImputer(n_nearest_features=columns, max_iter=4, random_state=0),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that four rounds are few
            cells.append(error(imputer.fit(fit).transform(use)[:, : target.shape[1]]))
    filled = mv.complete(run.model, given)[table]
    inside = ((filled.low <= truth) & (truth <= filled.high))[chosen].double().mean()
    return [f"{share:.0%}", *cells, error(on_scales(train, table, filled.samples, reference)), f"{float(inside):.2f}"]


def generation(run: Run, table: str, count: int) -> list[str]:
    """Return one row: mean differences of correlations from training rows, of generated and of held-out rows."""
    train, test, synthesizer = run.splits["train"], run.splits["test"], run.synthesizer()
    reference = known(train, table)
    shares: Mapping[str, int] = {name: int((train.labels == i).sum()) for i, name in enumerate(train.classes)}
    most = max(shares.values())
    drawn = torch.cat(
        [
            synthesizer.sample(name, max(1, count * n // most), seed=i)[table]
            for i, (name, n) in enumerate(shares.items())
        ]
    )
    train.modalities[table].check(drawn)  # raises if a value is not of its column's type
    base = correlations(on_scales(train, table, reference, reference))
    differences = [
        np.nanmean(np.abs(correlations(on_scales(train, table, x, reference)) - base))
        for x in (drawn, known(test, table))
    ]
    return [table, *(f"{value:.3f}" for value in differences)]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--table", required=True, help="name of the table")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.3], help="shares of entries to hide")
    parser.add_argument("--columns", type=int, default=40, help="columns that iterative imputation regresses on")
    parser.add_argument("--count", type=int, default=300, help="generated rows of the largest class")
    given = parser.parse_args()
    run = mv.open_run(given.run)
    print(f"## {given.table}: errors of hidden entries\n")
    print("| hidden | column means | 10 neighbors | iterative | `complete` | truth in 90 % intervals |")
    print("|---|---|---|---|---|---|")
    for share in given.shares:
        print(f"| {' | '.join(imputation(run, given.table, share, given.columns))} |", flush=True)
    print("\n## Differences of correlations from training rows\n\n| table | generated | held out |\n|---|---|---|")
    print(f"| {' | '.join(generation(run, given.table, given.count))} |")


if __name__ == "__main__":
    main()
