"""The tables of docs/how-to/augment.md, from the results of classifier_augmentation.py."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import t

Line = dict[str, Any]
"""A cell: its set, fraction, seed, patients, samples per class and metrics by arm."""

LEVEL = 0.95

ARMS: Mapping[str, str] = {
    "weighted": "real, weighted loss",
    "plain": "real, plain augmentation",
    "gaussian equal": "+ Gaussian, to equal classes",
    "gaussian equal, plain": "+ Gaussian, to equal classes; plain augmentation",
    "gaussian twice": "+ Gaussian, as many again",
    "gaussian many": "+ Gaussian, to 5 times the largest class",
    "vae equal": "+ generated, to equal classes",
    "vae equal, plain": "+ generated, to equal classes; plain augmentation",
    "vae twice": "+ generated, as many again",
    "vae many": "+ generated, to 5 times the largest class",
}
"""Titles of the arms that are compared with real samples alone."""

TITLES = {
    "otitis": "Simulated otoscopy images, three diagnoses",
    "breast": "Micro-RNA of breast tumors, three subtypes",
}


def tables(lines: Sequence[Line], metric: str = "accuracy") -> str:
    """Return a table per data set in Markdown, with a row per arm and a column per share of the patients."""
    names = dict.fromkeys(line["set"] for line in lines)
    return "\n\n".join(table(TITLES[name], [line for line in lines if line["set"] == name], metric) for name in names)


def table(title: str, lines: Sequence[Line], metric: str) -> str:
    """Return the table of one data set: the metric of real samples alone, and differences from it.

    The last column has, per seed, the mean over all shares; every seed must have the same shares.
    """
    shares = sorted({line["fraction"] for line in lines})
    seeds = sorted({line["seed"] for line in lines})
    columns = [[line for line in lines if line["fraction"] == share] for share in shares]
    heads = [f"{100 * share:g} %, n = {sizes(column)}" for share, column in zip(shares, columns, strict=True)]

    def results(arm: str) -> list[list[float]]:
        """Return the metric of an arm per column and seed."""
        found = {(line["fraction"], line["seed"]): line["metrics"][arm][metric] for line in lines}
        each = [[found[share, seed] for seed in seeds] for share in shares]
        return [*each, [statistics.mean(of_seed) for of_seed in zip(*each, strict=True)]]

    real = results("real")
    rows = [f"| {title}, {len(seeds)} seeds | {' | '.join(heads)} | mean |", f"|---|{'---|' * len(real)}"]
    rows.append(f"| real | {' | '.join(f'{statistics.mean(each):.3f}' for each in real)} |")
    for arm, name in ARMS.items():
        gains = map(difference, results(arm), real)
        rows.append(f"| {name} | {' | '.join(gains)} |")
    return "\n".join(rows)


def sizes(lines: Sequence[Line]) -> str:
    """Return the number of real training samples, from the smallest to the largest over seeds."""
    counts = sorted({sum(line["counts"]) for line in lines})
    return " to ".join(map(str, counts[:: max(1, len(counts) - 1)]))


def difference(found: Sequence[float], reference: Sequence[float]) -> str:
    """Return the mean difference over seeds, with half the interval of Student's t over paired differences.

    Differences whose interval does not contain zero are bold.

    Example:
        >>> difference([0.62, 0.64, 0.66], [0.60, 0.60, 0.60])
        '+0.040 ± 0.050'
    """
    each = [one - other for one, other in zip(found, reference, strict=True)]
    center = statistics.mean(each)
    if len(each) < 2:
        return f"{center:+.3f}"
    half = float(t.ppf((1 + LEVEL) / 2, len(each) - 1)) * statistics.stdev(each) / len(each) ** 0.5
    text = f"{center:+.3f} ± {half:.3f}"
    return f"**{text}**" if abs(center) > half else text
