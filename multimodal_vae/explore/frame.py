"""Pictures that follow a slider: axes are laid out once, and each move draws only the sample."""

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.report.pictures import Pixels, figure_with_axes
from multimodal_vae.synthesis.marks import NOTICE

SIZE = (480, 360)
"""Width and height of a picture in pixels."""


class Frame:
    """Draws samples of one modality, one after the other, each marked as synthetic.

    The limits of the axes hold all samples so far, so that a move changes the sample and not the scale. As long as the
    axes stay as they are, only the sample is drawn, on a copy of all else; otherwise everything is laid out anew.

    Args:
        modality: the modality, whose :meth:`~multimodal_vae.Modality.plot` draws.
        examples: samples (*shape) that the limits hold from the start.
    """

    def __init__(self, modality: Modality, examples: Iterable[Tensor]) -> None:
        self._modality = modality
        self._limits: dict[str, tuple[float, float]] = {}
        ax = Figure().add_subplot()
        for sample in examples:
            _clear(ax)
            self._plot(sample, ax)
        self._figure: Figure | None = None
        self._axes_state: tuple[Any, ...] = ()
        self._background: Any = None  # matplotlib gives its class no name

    def draw(self, sample: Tensor) -> Pixels:
        """Return a picture of one sample (*shape)."""
        if self._figure is not None:
            ax = self._figure.axes[0]
            _clear(ax)
            self._plot(sample, ax)
            if _state(self._figure) == self._axes_state:
                return self._draw_sample(self._figure)
        self._figure = figure_with_axes(self._modality, sample, *SIZE)
        self._figure.supxlabel(NOTICE, fontsize=7, color="0.35")
        self._widen(self._figure.axes[0])
        self._draw_axes(self._figure)
        return self._draw_sample(self._figure)

    def _plot(self, sample: Tensor, ax: Axes) -> None:
        self._modality.plot(sample, ax)
        self._widen(ax)

    def _widen(self, ax: Axes) -> None:
        """Widen the limits of an axis to those of all samples so far, in its direction."""
        for name, (start, end) in (("xlim", ax.get_xlim()), ("ylim", ax.get_ylim())):
            kept = self._limits.get(name, (start, end))
            low, high = min(start, end, *kept), max(start, end, *kept)
            self._limits[name] = low, high
            if (low, high) != (min(start, end), max(start, end)):
                ax.set(**{name: (low, high) if start <= end else (high, low)})

    def _draw_axes(self, figure: Figure) -> None:
        """Lay out a figure, and draw and keep all of it but the sample."""
        canvas, above = FigureCanvasAgg(figure), _above(figure.axes[0])
        for artist in above:
            artist.set_visible(False)
        canvas.draw()  # type: ignore[no-untyped-call]
        for artist in above:
            artist.set_visible(True)
        self._axes_state = _state(figure)
        self._background = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def _draw_sample(self, figure: Figure) -> Pixels:
        """Draw the sample on a copy of the axes."""
        canvas, ax = figure.canvas, figure.axes[0]
        assert isinstance(canvas, FigureCanvasAgg)  # noqa: S101  (_draw_axes makes it)
        canvas.restore_region(self._background)  # type: ignore[no-untyped-call]
        for artist in _above(ax):
            ax.draw_artist(artist)
        return np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


def _above(ax: Axes) -> list[Artist]:
    """Return the artists of a sample and the edges of the axis, which lie above it, in the order of drawing."""
    edges = ax.spines.values() if ax.axison else ()
    return sorted([*_content(ax), *edges], key=Artist.get_zorder)


def _content(ax: Axes) -> list[Artist]:
    """Return what a plot added to an axis."""
    groups = (ax.artists, ax.collections, ax.images, ax.lines, ax.patches, ax.tables, ax.texts, ax.child_axes)
    return [artist for group in groups for artist in group]


def _clear(ax: Axes) -> None:
    """Remove a plot from an axis, and let the next one choose the limits."""
    for artist in _content(ax):
        artist.remove()
    ax.relim()
    ax.set_autoscale_on(True)
    ax.set_prop_cycle(None)


def _state(figure: Figure) -> tuple[Any, ...]:
    """Return what the picture shows besides the sample: limits, words and color scales, and the number of axes."""
    ax = figure.axes[0]
    words: list[str] = [ax.get_xlabel(), ax.get_ylabel(), ax.get_title()]
    if ax.axison:
        words += [label.get_text() for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels()]
    colors = [artist.get_clim() for artist in (*ax.images, *ax.collections)]
    return (*ax.get_xlim(), *ax.get_ylim(), *words, *colors, ax.axison, len(figure.axes))


def png(pixels: Pixels, notice: str = NOTICE) -> bytes:
    """Return a picture as PNG with a notice in its metadata, under the keyword ``Warning``.

    Source: ISO/IEC 15948, *Portable Network Graphics*, 11.3.4.
    """
    metadata = PngInfo()
    metadata.add_text("Warning", notice)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG", pnginfo=metadata, compress_level=1)
    return buffer.getvalue()


def png_uri(pixels: Pixels, notice: str = NOTICE) -> str:
    """Return a picture as a data URI of :func:`png`."""
    return "data:image/png;base64," + base64.b64encode(png(pixels, notice)).decode()
