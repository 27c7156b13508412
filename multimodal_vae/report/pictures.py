"""Pictures of samples, drawn by :meth:`~multimodal_vae.modalities.base.Modality.plot`, as bytes within a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.modalities.base import Modality

Pixels = NDArray[np.uint8]
"""(height, width, 3)."""

_DPI = 96
_QUALITY = 82
BYTES_A_PIXEL = 0.8
"""More than a picture takes at this quality, noise included, as bytes of WebP."""
BASE64 = 4 / 3


def tile(modality: Modality, sample: Tensor, side: int) -> Pixels:
    """One sample (*shape) without axes, (side, side, 3)."""
    figure = Figure(figsize=(side / _DPI, side / _DPI), dpi=_DPI, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    modality.plot(sample, ax)
    ax.set_axis_off()
    return _pixels(figure)


def with_axes(modality: Modality, sample: Tensor, width: int = 300, height: int = 250, scale: bool = True) -> Pixels:
    """One sample with its axes, and with a scale of its colors where the modality names what they mean."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white", layout="constrained")
    ax = figure.add_subplot()
    modality.plot(sample, ax)
    ax.tick_params(labelsize=7)
    ax.xaxis.label.set_fontsize(8)
    ax.yaxis.label.set_fontsize(8)
    named = [drawn for drawn in (*ax.collections, *ax.images) if not str(drawn.get_label()).startswith("_")]
    if scale and named:
        bar = figure.colorbar(named[0], ax=ax, fraction=0.05, pad=0.02)
        bar.set_label(str(named[0].get_label()), fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return _pixels(figure)


def spread_picture(modality: Modality, spread: Tensor) -> tuple[Pixels, float]:
    """A standard deviation (*shape) with axes, and what the top of its range stands for.

    Where samples have a range, the spread is stretched over it, since it would fill little of it.
    """
    largest = float(spread.max())
    if modality.range is None or largest <= 0:
        return with_axes(modality, spread), largest
    low, high = modality.range
    return with_axes(modality, low + (high - low) * spread / largest, scale=False), largest


def sheet(tiles: Sequence[Pixels], columns: int, gap: int = 0) -> Pixels:
    """Tiles of one size in rows, with a gap after each; what is left is white.

    Example:
        >>> sheet([np.zeros((4, 4, 3), np.uint8)] * 3, columns=2).shape
        (8, 8, 3)
    """
    side, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    whole = np.full((rows * (side + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, each in enumerate(tiles):
        top, left = index // columns * (side + gap), index % columns * (width + gap)
        whole[top : top + side, left : left + width] = each
    return whole


def data_uri(pixels: Pixels) -> str:
    """A picture as the address that holds it."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def as_many(most: int, each: int, side: int, budget: float) -> int:
    """How many may be shown, one at least, if each takes some square tiles and all together a budget of bytes.

    Example:
        >>> as_many(400, each=2, side=72, budget=1e9), as_many(400, each=20, side=72, budget=1e6)
        (400, 9)
    """
    return max(1, min(most, int(budget / (each * side * side * BYTES_A_PIXEL * BASE64))))


def _pixels(figure: Figure) -> Pixels:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=_DPI)
    width, height = (round(inches * _DPI) for inches in figure.get_size_inches())
    return np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]


def evenly(count: int, most: int) -> list[int]:
    """At most so many row numbers, evenly spaced.

    Example:
        >>> evenly(10, 3), evenly(2, 3)
        ([0, 4, 9], [0, 1])
    """
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist() if count else []
