"""The few figures by which many runs are compared, and a row of a table with them."""

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
"""Column, and figure in it."""
_RELATIVE = ("coherence/cause", "fidelity/recall", "fidelity/coverage", "purity", "copying")
EXPLAINED = (
    "*R²*: of reconstructions within a class. *Separability*: balanced accuracy of classes from the latent.",
    "*Purity*, *recall*, *coverage*, *fill* and *pressure*: ratios to what real samples reach. *Detail*: share of",
    "the drum's detail at 0.05-0.1 cycles/px found again in reconstructions. *Malleus*: share of generated NOE in",
    "which the judge sees it. *Class-mean WBT*: the worst class's. *Closest record*: distance to the nearest training",
    "ear, over that of other real ears; below 1 is nearer.",
)


def value(measured: Measured, column: str) -> float:
    """One run's figure for a column: over what real samples reach where the figure alone says little."""
    by_name: dict[str, MetricResult] = {figure.name: figure for figure in measured.figures}
    wanted = SCREEN[column]
    if wanted.endswith("/worst"):
        return max(each.value for name, each in by_name.items() if name.startswith(wanted.removesuffix("worst")))
    if wanted.startswith("spread "):
        return by_name["purity"].beside[wanted]
    figure = by_name[wanted]
    return figure.value / figure.real if figure.name.startswith(_RELATIVE) and figure.real else figure.value


def head(*first: str) -> list[str]:
    """The head of a table, and the line below it."""
    columns = [*first, *SCREEN]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def row(first: Sequence[str], runs: Sequence[Measured]) -> str:
    """A row of it: mean over seeds, and their standard deviation where there are several."""
    cells = list(first)
    for column in SCREEN:
        summary = over_seeds(value(each, column) for each in runs)
        places = digits(column)
        spread = "" if summary.spread is None else f" ± {summary.spread:.{places}f}"
        cells.append(f"{summary.mean:.{places}f}{spread}")
    return f"| {' | '.join(cells)} |"


def digits(column: str) -> int:
    """Digits behind the point."""
    return 3 if column == "class-mean WBT" else 2
