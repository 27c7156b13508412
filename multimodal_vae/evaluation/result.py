"""A figure and its context, without which it says little."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import Interval, over_seeds

Aim = Literal["higher", "lower", "real"]


@dataclass(frozen=True)
class MetricResult:
    """One measured value.

    Args:
        name: what was measured, from the general to the particular, such as ``"fidelity/recall"``.
        value: the mean over seeds.
        aim: which way is better; ``"real"`` where that is to be as near as can be to what real samples reach.
        interval: where the value may lie had other patients been met.
        real: the same measure of real samples against real ones, which a perfect generator would reach.
        baseline: the same measure of the simplest rival, which it should beat.
        seeds: of how many runs the value is the mean.
        spread: standard deviation between those runs; None for one.
        beside: values without which this one misleads; they are shown wherever it is.

    Example:
        >>> MetricResult("purity", 0.9, real=0.95, beside={"spread": 0.4}).row()
        '| purity | 0.900 | | 0.950 | | 1 | spread 0.400 |'
    """

    name: str
    value: float
    aim: Aim = "higher"
    interval: Interval | None = None
    real: float | None = None
    baseline: float | None = None
    seeds: int = 1
    spread: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it: what is not finite is None."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def row(self) -> str:
        """A row of :func:`table`."""
        value = _shown(self.value) + (f" ± {_shown(self.spread)}" if self.spread is not None else "")
        between = f"{_shown(self.interval[0])} to {_shown(self.interval[1])}" if self.interval else ""
        beside = "; ".join(f"{name} {_shown(number)}" for name, number in self.beside.items())
        cells = [self.name, value, between, _shown(self.real), _shown(self.baseline), str(self.seeds), beside]
        return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def table(figures: Iterable[MetricResult]) -> str:
    """Figures as a Markdown table.

    Example:
        >>> print(table([MetricResult("recall", 0.5, interval=(0.4, 0.6), real=0.8, baseline=0.6)]))
        | figure | value | interval | real | baseline | seeds | beside |
        |---|---|---|---|---|---|---|
        | recall | 0.500 | 0.400 to 0.600 | 0.800 | 0.600 | 1 | |
    """
    head = ["| figure | value | interval | real | baseline | seeds | beside |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *(figure.row() for figure in figures)])


def combine(runs: Sequence[Sequence[MetricResult]]) -> list[MetricResult]:
    """The same figures of several runs that differ in their seed, as one list of means.

    Intervals are averaged too: they tell of the patients, the spread of the seeds.

    Raises:
        DataError: if the runs have not the same figures.

    Example:
        >>> combine([[MetricResult("recall", 0.4)], [MetricResult("recall", 0.6)]])[0].row()
        '| recall | 0.500 ± 0.141 | | | | 2 | |'
    """
    names = [[figure.name for figure in run] for run in runs]
    if not runs or any(other != names[0] for other in names):
        raise DataError("the runs have different figures; combine runs that were evaluated alike")
    return [_combined(same) for same in zip(*runs, strict=True)]


def _combined(figures: Sequence[MetricResult]) -> MetricResult:
    first = figures[0]
    summary = over_seeds(figure.value for figure in figures)
    intervals = [figure.interval for figure in figures if figure.interval is not None]
    low, high = ([bounds[side] for bounds in intervals] for side in (0, 1))
    return MetricResult(
        first.name,
        summary.mean,
        first.aim,
        (over_seeds(low).mean, over_seeds(high).mean) if intervals else None,
        _mean(figure.real for figure in figures),
        _mean(figure.baseline for figure in figures),
        summary.count,
        summary.spread,
        {name: over_seeds(figure.beside[name] for figure in figures).mean for name in first.beside},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return over_seeds(known).mean if known else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
