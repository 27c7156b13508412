"""The tables of the benchmark in docs/benchmark.md, from its runs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from real_sets import SETS

Line = dict[str, Any]
"""A run: its data set, method, seed, modalities and metrics."""

METHODS = {
    "real": "training samples",
    "baseline": "Gaussian per class, ridge",
    "multivae": "MultiVae, defaults",
    "multivae-tuned": "MultiVae, tuned",
    "ours": "this package, defaults",
}
"""Names of the methods in the table."""

COLUMNS = {
    "tstr": "TSTR",
    "purity": "purity",
    "spread": "spread",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "c2st": "C2ST",
    "nearest": "nearest",
    "seconds": "seconds",
}
"""Columns of the first table of a data set."""

OURS, RIVAL = "ours", "multivae-tuned"


def tables(lines: Sequence[Line]) -> str:
    """Return two tables per data set in Markdown, generation and prediction, and what the package loses or wins."""
    sections = []
    for name in SETS:
        own = [line for line in lines if line["set"] == name and line["method"] in METHODS]
        if own:
            columns = (COLUMNS, predictions(own[0]["modalities"]))
            sections += [f"### {name.capitalize()}", *(table(own, each) for each in columns), balance(own)]
    return "\n\n".join(section for section in sections if section) + "\n"


def predictions(modalities: Sequence[str]) -> dict[str, str]:
    """Return the columns of the second table of a data set."""
    kinds = {"within": "R² within", "overall": "R² overall", "class from": "class from"}
    return {f"{kind} {name}": f"{title} {name}" for kind, title in kinds.items() for name in modalities}


def table(lines: Sequence[Line], columns: Mapping[str, str]) -> str:
    """Return a table with a row per method."""
    rows = [f"| | {' | '.join(columns.values())} |", f"|---|{'---|' * len(columns)}"]
    for method, title in METHODS.items():
        runs = [line["metrics"] for line in lines if line["method"] == method]
        cells = [cell([metrics[key] for metrics in runs if key in metrics], key) for key in columns]
        if any(cells):
            rows.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(values: Sequence[float], key: str) -> str:
    """Return mean and standard error over seeds."""
    if not values:
        return ""
    if key == "seconds":
        return f"{statistics.mean(values):.0f}"
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{error}"


def balance(lines: Sequence[Line]) -> str:
    """Return in which columns the package and MultiVae, tuned, differ by two standard errors, "" for single seeds."""
    if any(len([line for line in lines if line["method"] == method]) < 2 for method in (OURS, RIVAL)):
        return ""
    columns = {**COLUMNS, **predictions(lines[0]["modalities"])}
    ahead, behind = [], []
    for key, title in columns.items():
        sides = [
            [loss(key, line["metrics"][key]) for line in lines if line["method"] == method and key in line["metrics"]]
            for method in (OURS, RIVAL)
        ]
        if key != "seconds" and min(map(len, sides)) > 1:
            ours, theirs = (statistics.mean(side) for side in sides)
            error = sum(statistics.variance(side) / len(side) for side in sides) ** 0.5
            if abs(ours - theirs) > 2 * error:
                (ahead if ours < theirs else behind).append(title)
    won, lost = (", ".join(titles) or "nothing" for titles in (ahead, behind))
    return f"Against MultiVae, tuned, ahead in: {won}; behind in: {lost}."


def loss(key: str, value: float) -> float:
    """Return how far a metric is from its best value."""
    if key in {"spread", "nearest"}:
        return abs(value - 1)
    return max(value, 0.5) if key == "c2st" else -value
