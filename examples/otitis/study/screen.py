"""The few metrics by which many runs are compared, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from measure import Measured
from multimodal_vae.evaluation.bootstrap import over_seeds
from multimodal_vae.evaluation.result import MetricResult

SCREEN = {
    "R² image": "individuality/otoscopy",
    "R² WBT": "individuality/wbt",
    "separability": "latent/separability",
    "purity": "purity",
    "spread image": "spread otoscopy",
    "recall": "fidelity/recall",
    "coverage": "fidelity/coverage",
    "fill": "coherence/cause fill/otoscopy+wbt",
    "pressure": "coherence/cause pressure/otoscopy+wbt",
    "detail": "drum/reproduced/0.05-0.1",
    "malleus": "landmark/malleus in NOE",
    "class-mean WBT": "class mean/wbt/worst",
    "closest record": "copying/closest record",
}
"""Metric by column of the table."""
_RATIOS = ("coherence/cause", "fidelity/recall", "fidelity/coverage", "purity", "copying")
EXPLANATION = (
    "*R²*: of reconstructions, within a class. *Separability*: balanced accuracy of classes from the latent.",
    "*Purity*, *recall*, *coverage*, *fill*, *pressure*: relative to real samples. *Spread image*: within-class",
    "spread of images relative to real ones. *Detail*: share of the drum's detail at 0.05-0.1 cycles/px that",
    "reconstructions reproduce. *Malleus*: share of generated NOE in which the judge detects it. *Class-mean WBT*:",
    "mean absolute difference of the worst class, in absorbance. *Closest record*: distance to the nearest training",
    "ear relative to that of other real ears; below 1 is nearer. Higher is better for all but *class-mean WBT*.",
)


def value(measured: Measured, column: str) -> float:
    """Return one run's value for a column; metrics that say little by themselves are relative to real samples."""
    by_name: dict[str, MetricResult] = {metric.name: metric for metric in measured.metrics}
    name = SCREEN[column]
    if name.endswith("/worst"):
        return max(metric.value for key, metric in by_name.items() if key.startswith(name.removesuffix("worst")))
    if name.startswith("spread "):
        return by_name["purity"].context[name]
    metric = by_name[name]
    return metric.value / metric.real if name.startswith(_RATIOS) and metric.real else metric.value


def head(*first: str) -> list[str]:
    """Return the head of a table and the line below it.

    Args:
        first: columns before those of :data:`SCREEN`.
    """
    columns = [*first, *SCREEN]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def row(first: Sequence[str], runs: Sequence[Measured]) -> str:
    """Return a row of the table: means over runs, ± their standard deviation if there are several.

    Args:
        first: cells before those of :data:`SCREEN`.
        runs: runs that differ in their seed.
    """
    cells = list(first)
    for column in SCREEN:
        summary = over_seeds(value(each, column) for each in runs)
        places = decimals(column)
        spread = "" if summary.spread is None else f" ± {summary.spread:.{places}f}"
        cells.append(f"{summary.mean:.{places}f}{spread}")
    return f"| {' | '.join(cells)} |"


def decimals(column: str) -> int:
    """Return the number of decimals of a column."""
    return 3 if column == "class-mean WBT" else 2
