"""Pictures of samples, drawn by their modalities. Import it where it is used: matplotlib takes time."""

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from multimodal_vae.checks import require_whole
from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality

SIDE = 1.8
"""Width and height of a sample in a figure, in inches."""


class SampleFigure(Figure):
    """A figure that notebooks show, also without pyplot; ``savefig`` writes it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot_rows(
    modalities: Mapping[str, Modality], rows: Sequence[Mapping[str, Tensor]], titles: Sequence[str]
) -> SampleFigure:
    """Draw samples, one per row of a figure, with their modalities in columns.

    Args:
        modalities: the modality by name; each draws its samples by :meth:`~multimodal_vae.Modality.plot`.
        rows: samples (*shape) by modality; the cell of an absent one stays empty.
        titles: name of each row.

    Raises:
        DataError: if there is no sample.
    """
    if not rows:
        raise DataError("there is no sample to plot")
    size = (SIDE * max(2, len(modalities)), SIDE * len(rows) + 0.3)
    figure = SampleFigure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(modalities), squeeze=False)
    for sample, title, line in zip(rows, titles, axes, strict=True):
        for (name, modality), ax in zip(modalities.items(), line, strict=True):
            if name in sample:
                modality.plot(sample[name], ax)
            else:
                ax.set_axis_off()
            ax.tick_params(labelsize=6)
            ax.set_xlabel(ax.get_xlabel(), fontsize=6)
            ax.set_ylabel(ax.get_ylabel(), fontsize=6)
        line[0].set_title(title, fontsize=8, loc="left")
    for name, ax in zip(modalities, axes[-1], strict=True):
        ax.annotate(name, (0.5, 0), (0, -24), "axes fraction", "offset points", ha="center", va="top", fontsize=8)
    return figure


def evenly(rows: Sequence[int], count: int) -> list[int]:
    """Return evenly spaced ones of some rows: neighbors are often samples of one patient.

    Example:
        >>> evenly(range(10), 3), evenly([4, 7], 3)
        ([0, 3, 6], [4, 7])
    """
    require_whole("count", count, 1)
    return [rows[number * len(rows) // count] for number in range(count)] if len(rows) > count else list(rows)
