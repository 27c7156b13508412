"""Figures that compare sets of samples by their elements: medians and ranges of numbers, shares of words."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from multimodal_vae.nn.standardize import moments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 24
"""Most elements, and most words, of a figure; of more, those that differ most are shown."""
QUANTILES = (0.05, 0.5, 0.95)
"""Lower end of a range, its middle, and its upper end."""

WIDTH = 5.0
"""Width of a figure, in inches."""
COLORS = ("#0067b8", "#b3500b", "#0b7a4b")
"""Colors of the sets."""

_ROW, _ENDS = 0.36, 0.9  # inches of a row, and above and below the rows
_LONGEST = 24  # characters of a label


class Numbers(NamedTuple):
    """Elements that are numbers.

    Attributes:
        labels: one per element, with its unit.
        values: samples (N, C) in these units, by name of the set; NaN is a missing element.
        places: the same on the scales of the axis, such as logarithms.
    """

    labels: Sequence[str]
    values: Mapping[str, Tensor]
    places: Mapping[str, Tensor]


class Words(NamedTuple):
    """Words, and the share of samples that have them: by name of the set, (C,)."""

    labels: Sequence[str]
    shares: Mapping[str, Tensor]


def draw_ranges(numbers: Numbers | None, words: Words | None = None) -> "Figure":
    """Return a figure with one row per element or word, in which the sets are one below the other.

    Of numbers, a line runs from the 5 % to the 95 % quantile, with a point at the median. The axis is in standard
    deviations of the first set, around its mean; the values are on the right. Of words, the bars are shares of samples.

    Args:
        numbers: elements that are numbers; None if there are none.
        words: words of elements that are not.
    """
    from matplotlib.figure import Figure

    parts = [part for part in (numbers, words) if part is not None and part.labels]
    heights = [_ENDS + _ROW * min(MOST_ROWS, len(part.labels)) for part in parts]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, part in zip(axes, parts, strict=True):
        if isinstance(part, Numbers):
            _draw_numbers(ax, part)
        else:
            _draw_words(ax, part)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(labelsize=7, left=False)
        ax.xaxis.label.set_fontsize(8)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return figure


def _draw_numbers(ax: "Axes", part: Numbers) -> None:
    first = next(iter(part.places))
    mean, deviation = moments(part.places[first], [0])
    places = {name: (x - mean) / deviation for name, x in part.places.items()}
    shown = _most_different([x.nanmedian(0).values for x in places.values()])
    levels = torch.tensor(QUANTILES)
    for number, (name, x) in enumerate(places.items()):
        color, rows = COLORS[number % len(COLORS)], _rows(number, len(places), len(shown))
        low, middle, high = x[:, shown].nanquantile(levels, 0).numpy()
        ax.hlines(rows, low, high, colors=color, linewidth=2)
        ax.scatter(middle, rows, s=16, c=color, zorder=3, label=name)
        values = part.values[name][:, shown].nanquantile(levels, 0).T.tolist()
        for row, (least, usual, most) in zip(rows, values, strict=True):
            text = f"{_short(usual)} ({_short(least)} to {_short(most)})" if math.isfinite(usual) else "missing"
            _write(ax, row, text, color)
    _label(ax, part.labels, shown, "whose medians differ most")
    ax.set_xlabel(f"standard deviations of {first} samples\nline: 5 to 95 %; point: median")


def _draw_words(ax: "Axes", part: Words) -> None:
    shown = _most_different(list(part.shares.values()))
    for number, (name, shares) in enumerate(part.shares.items()):
        color, rows = COLORS[number % len(COLORS)], _rows(number, len(part.shares), len(shown))
        ax.barh(rows, shares[shown].numpy(), height=0.8 / len(part.shares), color=color, label=name)
        for row, share in zip(rows, shares[shown].tolist(), strict=True):
            _write(ax, row, f"{100 * share:.0f} %", color)
    _label(ax, part.labels, shown, "whose shares differ most")
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    ax.set_xlabel("share of samples")


def _most_different(centers: Sequence[Tensor]) -> list[int]:
    """Return the rows to show, in order: those whose centers (C,) differ most between the sets."""
    stacked = torch.stack(list(centers)).nan_to_num(0.0)
    spread = stacked.amax(0) - stacked.amin(0)
    return sorted(spread.argsort(descending=True, stable=True)[:MOST_ROWS].tolist())


def _rows(number: int, sets: int, rows: int) -> list[float]:
    return [row + (number - (sets - 1) / 2) * 0.8 / sets for row in range(rows)]


def _short(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _write(ax: "Axes", row: float, text: str, color: str) -> None:
    """Write on the right of a row."""
    place = ax.get_yaxis_transform()
    ax.annotate(text, (1, row), (4, 0), place, "offset points", fontsize=7, va="center", color=color)


def _label(ax: "Axes", labels: Sequence[str], shown: Sequence[int], reason: str) -> None:
    texts = [labels[row] for row in shown]
    short = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in texts]
    ax.set_yticks(range(len(shown)), short, parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    if len(shown) < len(labels):
        ax.set_title(f"{len(shown)} of {len(labels)}, {reason}", fontsize=8, loc="right")
