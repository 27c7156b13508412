"""The result of a metric: a value with its interval, reference and baseline."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import pydantic

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import over_seeds

Aim = Literal["higher", "lower", "real"]
Number = Annotated[float, pydantic.BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float; JSON has ``null`` for one that is not finite."""


@dataclass(frozen=True)
class MetricResult:
    """One measured value and what it takes to interpret it.

    Args:
        name: name of the metric, from the general to the particular, such as ``"fidelity/recall"``.
        value: the value, or its mean over seeds.
        aim: which values are better; ``"real"``: those closest to ``real``.
        interval: confidence interval over patients.
        real: the same metric of real samples in place of the generated ones; a perfect generator reaches it.
        baseline: the same metric of samples from :class:`~multimodal_vae.evaluation.baseline.GaussianBaseline`.
        seeds: number of runs averaged.
        spread: standard deviation between runs; None for one run.
        context: values without which this one misleads, by name; tables show them with it.

    Example:
        >>> MetricResult("purity", 0.9, real=0.95, context={"spread": 0.4}).row()
        '| purity | 0.900 | | 0.950 | | 1 | spread 0.400 |'
    """

    name: str
    value: Number
    aim: Aim = "higher"
    interval: tuple[Number, Number] | None = None
    real: float | None = None
    baseline: float | None = None
    seeds: int = 1
    spread: float | None = None
    context: Mapping[str, Number] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; what is not finite is None."""
        return json_values(asdict(self))  # type: ignore[no-any-return]

    def row(self) -> str:
        """Return the row of :func:`table`."""
        value = format_number(self.value) + (f" ± {format_number(self.spread)}" if self.spread is not None else "")
        context = "; ".join(f"{name} {format_number(number)}" for name, number in self.context.items())
        real, baseline = (format_number(number, missing="") for number in (self.real, self.baseline))
        cells = [self.name, value, format_interval(self.interval), real, baseline, str(self.seeds), context]
        return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def table(results: Iterable[MetricResult]) -> str:
    """Return a Markdown table with one row per result.

    Example:
        >>> print(table([MetricResult("recall", 0.5, interval=(0.4, 0.6), real=0.8, baseline=0.6)]))
        | metric | value | interval | real | baseline | seeds | context |
        |---|---|---|---|---|---|---|
        | recall | 0.500 | 0.400 to 0.600 | 0.800 | 0.600 | 1 | |
    """
    head = ["| metric | value | interval | real | baseline | seeds | context |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *(result.row() for result in results)])


def combine(runs: Sequence[Sequence[MetricResult]]) -> list[MetricResult]:
    """Average the results of runs that differ only in their seed.

    Interval bounds are averaged too: they describe variation between patients, the spread variation between seeds.

    Raises:
        DataError: if the runs have different metrics.

    Example:
        >>> combine([[MetricResult("recall", 0.4)], [MetricResult("recall", 0.6)]])[0].row()
        '| recall | 0.500 ± 0.141 | | | | 2 | |'
    """
    names = [[result.name for result in run] for run in runs]
    if not runs or any(other != names[0] for other in names):
        raise DataError("the runs have different metrics; combine runs that were evaluated alike")
    return [_combined(same) for same in zip(*runs, strict=True)]


def _combined(results: Sequence[MetricResult]) -> MetricResult:
    first = results[0]
    summary = over_seeds(result.value for result in results)
    intervals = [result.interval for result in results if result.interval is not None]
    low, high = ([bounds[side] for bounds in intervals] for side in (0, 1))
    return MetricResult(
        first.name,
        summary.mean,
        first.aim,
        (over_seeds(low).mean, over_seeds(high).mean) if intervals else None,
        _mean(result.real for result in results),
        _mean(result.baseline for result in results),
        summary.count,
        summary.spread,
        {name: over_seeds(result.context[name] for result in results).mean for name in first.context},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return over_seeds(known).mean if known else None


def json_values(value: Any) -> Any:
    """Return nested mappings and sequences as JSON has them; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {key: json_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_number(value: float | None, missing: str = "–") -> str:  # noqa: RUF001  (a dash for people)
    """Return a number with three decimals, or with two digits if it is small.

    Example:
        >>> format_number(0.12345), format_number(0.0012345), format_number(None)
        ('0.123', '0.0012', '–')
    """
    if value is None or not math.isfinite(value):
        return missing
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"


def format_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval as text; empty if there is none.

    Example:
        >>> format_interval((0.25, 0.5))
        '0.250 to 0.500'
    """
    return f"{format_number(interval[0])} to {format_number(interval[1])}" if interval else ""
