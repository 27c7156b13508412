"""``metrics.csv``: all metrics of an evaluation as one table."""

import math

from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.files import csv_text
from multimodal_vae.report import words
from multimodal_vae.report.records import Metrics

FILE = "metrics.csv"
HEADER = (
    "metric",
    "column",
    "group",
    "samples",
    "patients",
    "value",
    "interval_low",
    "interval_high",
    "real",
    "baseline",
    "best",
    "context",
    "meaning",
)
"""Names of the columns; docs/reference/metrics.md describes them."""


def metrics_csv(metrics: Metrics) -> str:
    """Return the table as text: one row per metric, of all held-out samples first, then of each subgroup.

    Numbers that are not known are empty cells.

    Args:
        metrics: the evaluation.
    """
    evaluated = metrics["evaluated"]
    everyone = ["", "", str(evaluated["samples"]), str(evaluated["patients"])]
    rows = [_row(result, everyone) for result in metrics["results"]]
    for group in metrics["subgroups"]:
        of = [group["column"], group["value"], str(group["samples"]), str(group["patients"])]
        rows += [_row(result, of) for result in group["results"]]
    return csv_text([HEADER, *rows])


def _row(result: MetricResult, group: list[str]) -> list[str]:
    low, high = result.interval or (None, None)
    numbers = map(_cell, (result.value, low, high, result.real, result.baseline))
    context = "; ".join(f"{name} {_cell(value)}" for name, value in result.context.items())
    return [result.name, *group, *numbers, result.aim, context, words.describe(result.name).description]


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))
