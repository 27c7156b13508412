"""Training curves as geometry: lines in a box, for the page to draw."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 320, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 26


@dataclass(frozen=True)
class Line:
    """One line of a chart: whose it is, an SVG path, and its last value."""

    name: str
    path: str
    last: str


@dataclass(frozen=True)
class Chart:
    """One chart, (:data:`WIDTH`, :data:`HEIGHT`).

    Attributes:
        title: what is drawn.
        lines: of each part of the data.
        rows: ticks of the vertical axis, height and text.
        columns: ticks of the horizontal axis, place and text.
    """

    title: str
    lines: Sequence[Line]
    rows: Sequence[tuple[float, str]]
    columns: Sequence[tuple[float, str]]

    @property
    def words(self) -> str:
        """The chart for who cannot see it."""
        return f"{self.title} by epoch; at the end " + ", ".join(f"{line.name} {line.last}" for line in self.lines)


def read_log(path: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Epoch and value of each term, by term and part of the data, from ``log.jsonl``; what is no line is left out."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for text in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
            continue
        for key, value in line.items():
            part, dot, term = key.partition(".")
            if dot and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(term, {}).setdefault(part, []).append((line["epoch"], value))
    return found


def charts(log: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> list[Chart]:
    """A chart a term.

    Example:
        >>> charts({"loss": {"training": [(1, 2.0), (2, 1.0)]}})[0].words
        'loss by epoch; at the end training 1'
    """
    return [_chart(term, lines) for term, lines in log.items()]


def _chart(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    points = [point for line in lines.values() for point in line]
    first, last = (pick(x for x, _ in points) for pick in (min, max))
    low, high = (pick(y for _, y in points) for pick in (min, max))
    wide, tall = (last - first) or 1.0, (high - low) or abs(high) or 1.0

    def x(value: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (value - first) / wide, 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / tall, 1)

    drawn = [
        Line(name, "M" + " L".join(f"{x(epoch)},{y(value)}" for epoch, value in line), f"{line[-1][1]:.3g}")
        for name, line in lines.items()
    ]
    levels = [low, low + tall / 2, low + tall]
    epochs = sorted({first, round((first + last) / 2), last})
    return Chart(title, drawn, [(y(v), f"{v:.3g}") for v in levels], [(x(e), f"{e:g}") for e in epochs])
