"""Finding the picture in the frame: an otoscope shows a bright disc on a black surround."""

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from multimodal_vae import DataError

WORKING_SIDE = 480
"""Frames are searched at about this many pixels on the shorter side, as otoscopes record them; more only adds noise."""

DARK = 0.12
"""A surround is never brighter than this: stray light lifts the black of old cameras to about 0.05."""

LIT = 0.2
"""A pixel is lit where it stands this share of the frame's contrast above the surround."""

BRIGHT = 0.98
"""Quantile of brightness that stands for the picture: few enough for a small disc, too many for glare alone."""

LEAST_CONTRAST = 4 / 255
"""Below this, a frame holds no picture but a sensor's noise."""


class Square(NamedTuple):
    """A square of pixels in a frame.

    Attributes:
        top: its first row.
        left: its first column.
        side: its rows, and its columns.
        found: whether a dark surround was there to be cut; otherwise this is the frame's center.
    """

    top: int
    left: int
    side: int
    found: bool


def lit_square(frame: NDArray[np.floating[Any]]) -> Square:
    """Find the square that holds the picture rather than the black around it.

    Brightness is the largest of the three colors, since a dark eardrum may be lit in red alone. The surround's level
    is that of the darkest corner: a disc never reaches all four, and a caption seldom covers them. What stands clearly
    above that level, in proportion to the frame's own contrast so that an underexposed picture counts too, is lit.
    Opening the lit pixels takes away noise, the ringing that JPEG leaves beside an edge, and the thin strokes of
    captions; parts much smaller than the largest, such as the rest of a caption, are dropped. The square is centered on
    what is left and as wide as its longer side, as far as the frame reaches. Where all corners are bright there is no
    surround, everything is picture, and the same rule gives the frame's central square.

    Args:
        frame: (height, width, channels) in [0, 1].

    Raises:
        DataError: if the frame is black all over.

    Example:
        >>> rows, columns = np.mgrid[:480, :640]
        >>> disc = (rows - 239.5) ** 2 + (columns - 319.5) ** 2 < 200**2
        >>> lit_square(disc[..., None] * 0.8)
        Square(top=40, left=120, side=400, found=True)
    """
    height, width = frame.shape[:2]
    factor = max(1, min(height, width) // WORKING_SIDE)
    brightest = reduce(np.maximum, np.moveaxis(frame, 2, 0))  # many times faster than frame.max(axis=2)
    brightness = _smoothed(_smoothed(_reduced(brightest, factor), 0), 1)
    corners = _corners(brightness)
    dark = min(float(np.median(corner)) for corner in corners)
    # The noise of the darkest corner; a bright one would show the picture's own texture.
    noise = min(float(np.median(np.abs(corner - np.median(corner)))) * 1.4826 for corner in corners)
    contrast = float(np.quantile(brightness, BRIGHT)) - dark
    if dark <= DARK and contrast < max(LEAST_CONTRAST, 4 * noise):
        raise DataError("is black all over, so there is no picture to crop; leave its cell empty or record it again")
    if dark > DARK:
        return _square(0, height, 0, width, height, width, found=False)
    lit = brightness > dark + max(LIT * contrast, 4 * noise)
    rows, columns = _bounds(lit)
    return _square(
        rows.start * factor,
        min(rows.stop * factor, height),
        columns.start * factor,
        min(columns.stop * factor, width),
        height,
        width,
        found=True,
    )


def crop_square(frame: NDArray[np.floating[Any]], square: Square) -> NDArray[np.floating[Any]]:
    """Cut a square from a frame (height, width, channels); a view, not a copy."""
    return frame[square.top : square.top + square.side, square.left : square.left + square.side]


def _reduced(brightness: NDArray[np.floating[Any]], factor: int) -> NDArray[np.floating[Any]]:
    """Average blocks of factor x factor; a rest at the end, narrower than a block, is repeated to fill one."""
    if factor == 1:
        return brightness
    height, width = brightness.shape
    padded = np.pad(brightness, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _smoothed(brightness: NDArray[np.floating[Any]], axis: int) -> NDArray[np.floating[Any]]:
    """Take the median of each pixel and its two neighbors, which leaves an edge where it is; a mean would move it."""
    before, after = np.roll(brightness, 1, axis), np.roll(brightness, -1, axis)
    low, high = np.minimum(before, after), np.maximum(before, after)
    return np.asarray(np.maximum(low, np.minimum(high, brightness)))


def _corners(brightness: NDArray[np.floating[Any]]) -> list[NDArray[np.floating[Any]]]:
    """Return the four corner patches, small enough to lie outside a disc that touches all edges of a square frame."""
    side = max(1, min(brightness.shape) // 16)
    first, last = slice(None, side), slice(-side, None)
    return [brightness[rows, columns] for rows in (first, last) for columns in (first, last)]


def _bounds(lit: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of what is lit, without specks, strokes and parts under a tenth of the largest."""
    stroke = 2 * (min(lit.shape) // 192) + 1  # odd, so that opening shifts nothing
    # Filters of least and greatest do the opening along one axis after the other, in a third of the time.
    eroded = ndimage.minimum_filter(lit.view(np.uint8), stroke, mode="constant", cval=1)
    opened = ndimage.maximum_filter(eroded, stroke, mode="constant", cval=0)
    labels, _ = ndimage.label(opened if opened.any() else lit)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0  # what is not lit
    kept = (sizes >= 0.1 * sizes.max())[labels]
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _square(top: int, bottom: int, left: int, right: int, height: int, width: int, found: bool) -> Square:
    """Return the square round a rectangle, moved and if need be shrunk to lie within the frame."""
    side = min(max(bottom - top, right - left), height, width)
    row = min(max(0, (top + bottom - side) // 2), height - side)
    column = min(max(0, (left + right - side) // 2), width - side)
    return Square(row, column, side, found)
