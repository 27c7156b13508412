"""Pictures of samples, drawn by their modalities. Import it where it is used: matplotlib takes time."""

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from multimodal_vae.checks import require_whole
from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality

SIDE = 1.8
"""Width of a sample in a figure, in inches; its height is the same, or less for a picture that is wider than high."""

COLUMNS = 4
"""Columns of a figure, unless one sample has more modalities."""


class SampleFigure(Figure):
    """A figure that notebooks show, also without pyplot; ``savefig`` writes it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot_rows(
    modalities: Mapping[str, Modality], samples: Sequence[Mapping[str, Tensor]], titles: Sequence[str]
) -> SampleFigure:
    """Draw samples in rows, the modalities of each sample side by side; samples of another title begin a new row.

    Args:
        modalities: the modality by name; each draws its samples by :meth:`~multimodal_vae.Modality.plot`.
        samples: samples (*shape) by modality; the cell of an absent one stays empty.
        titles: name of each sample, such as its class; samples of one name follow each other.

    Raises:
        DataError: if there is no sample.
    """
    if not samples:
        raise DataError("there is no sample to plot")
    most = max(1, COLUMNS // len(modalities))
    rows = [(title, part) for title, group in _groups(samples, titles) for part in _parts(group, most)]
    columns = len(modalities) * max(len(part) for _, part in rows)
    figure = SampleFigure(layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (title, part), line in zip(rows, axes, strict=True):
        cells = [(name, sample.get(name)) for sample in part for name in modalities]
        for (name, x), ax in zip(cells, line, strict=False):
            _plot(modalities[name], x, ax)
        for ax in line[len(cells) :]:
            ax.remove()
        line[0].set_title(title, fontsize=9, fontweight="bold", loc="left")
    for name, ax in zip([*modalities] * columns, axes[0], strict=False):
        ax.annotate(name, (0.5, 1), (0, 18), "axes fraction", "offset points", ha="center", fontsize=9)
    heights = [max(map(_height, line)) for line in axes]
    axes[0, 0].get_gridspec().set_height_ratios(heights)
    figure.set_size_inches(SIDE * columns, sum(SIDE * height + 0.3 for height in heights) + 0.2)
    return figure


def _groups(
    samples: Sequence[Mapping[str, Tensor]], titles: Sequence[str]
) -> Iterator[tuple[str, list[Mapping[str, Tensor]]]]:
    """Yield each title with its samples."""
    for title, pairs in groupby(zip(titles, samples, strict=True), itemgetter(0)):
        yield title, [sample for _, sample in pairs]


def _parts(samples: list[Mapping[str, Tensor]], most: int) -> list[list[Mapping[str, Tensor]]]:
    """Return samples in parts of at most so many."""
    return [samples[start : start + most] for start in range(0, len(samples), most)]


def _plot(modality: Modality, sample: Tensor | None, ax: Axes) -> None:
    """Draw a sample with small letters; nothing if it is absent."""
    if sample is None:
        ax.set_axis_off()
        return
    modality.plot(sample, ax)
    ax.tick_params(labelsize=6)
    ax.set_xlabel(ax.get_xlabel(), fontsize=6)
    ax.set_ylabel(ax.get_ylabel(), fontsize=6)


def _height(ax: Axes) -> float:
    """Return the height of an axis as a share of its width: 1, or less for a picture that is wider than high."""
    aspect = ax.get_aspect()
    return 1.0 if isinstance(aspect, str) else min(1.0, aspect * ax.get_data_ratio())


def evenly(rows: Sequence[int], count: int) -> list[int]:
    """Return evenly spaced ones of some rows: neighbors are often samples of one patient.

    Example:
        >>> evenly(range(10), 3), evenly([4, 7], 3)
        ([0, 3, 6], [4, 7])
    """
    require_whole("count", count, 1)
    return [rows[number * len(rows) // count] for number in range(count)] if len(rows) > count else list(rows)
