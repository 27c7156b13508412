"""Find the image within an otoscopic frame, a bright disc on a black surround, and crop to it."""

from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from multimodal_vae import DataError

WORKING_SIDE = 480
"""Pixels on the shorter side at which frames are searched, as otoscopes record them; more would only add noise."""

MAX_SURROUND = 0.12
"""Maximum brightness of a surround; stray light lifts the black of old cameras to about 0.05."""

LIT_SHARE = 0.2
"""Share of the frame's contrast by which a lit pixel exceeds the surround."""

BRIGHT_QUANTILE = 0.98
"""Quantile of brightness that represents the image: high enough for a small disc, too low for glare alone."""

MIN_CONTRAST = 4 / 255
"""Minimum contrast of an image; below it, a frame is sensor noise."""


class Square(NamedTuple):
    """A square of pixels in a frame.

    Attributes:
        top: first row.
        left: first column.
        side: number of rows and columns.
        has_surround: whether the frame has a dark surround; otherwise the square is the center of the frame.
    """

    top: int
    left: int
    side: int
    has_surround: bool


def find_square(frame: NDArray[np.floating[Any]]) -> Square:
    """Return the square that contains the image without its black surround.

    Brightness is the maximum of the three colors, since a dark eardrum may be lit in red only. The surround's level is
    that of the darkest corner: a disc never reaches all four corners, and a caption rarely covers them. Pixels clearly
    above that level are lit; the threshold is relative to the frame's contrast, so that underexposed images count.
    Morphological opening removes noise, JPEG ringing beside edges and the thin strokes of captions; regions much
    smaller than the largest, such as the rest of a caption, are dropped. The square is centered on the remaining pixels
    and as wide as their longer side, within the frame. If all corners are bright, there is no surround, and the same
    rule returns the central square of the frame.

    Args:
        frame: (height, width, channels) in [0, 1].

    Raises:
        DataError: if the whole frame is black.

    Example:
        >>> rows, columns = np.mgrid[:480, :640]
        >>> disc = (rows - 239.5) ** 2 + (columns - 319.5) ** 2 < 200**2
        >>> find_square(disc[..., None] * 0.8)
        Square(top=40, left=120, side=400, has_surround=True)
    """
    height, width = frame.shape[:2]
    factor = max(1, min(height, width) // WORKING_SIDE)
    brightest = reduce(np.maximum, np.moveaxis(frame, 2, 0))  # many times faster than frame.max(axis=2)
    brightness = _smooth(_smooth(_reduce(brightest, factor), 0), 1)
    corners = _corners(brightness)
    dark = min(float(np.median(corner)) for corner in corners)
    # Noise of the darkest corner; a bright one contains the image's texture.
    noise = min(float(np.median(np.abs(corner - np.median(corner)))) * 1.4826 for corner in corners)
    contrast = float(np.quantile(brightness, BRIGHT_QUANTILE)) - dark
    if dark <= MAX_SURROUND and contrast < max(MIN_CONTRAST, 4 * noise):
        raise DataError("is entirely black; leave its cell empty, or record it again")
    if dark > MAX_SURROUND:
        return _square(0, height, 0, width, height, width, has_surround=False)
    lit = brightness > dark + max(LIT_SHARE * contrast, 4 * noise)
    rows, columns = _bounds(lit)
    return _square(
        rows.start * factor,
        min(rows.stop * factor, height),
        columns.start * factor,
        min(columns.stop * factor, width),
        height,
        width,
        has_surround=True,
    )


def crop_square(frame: NDArray[np.floating[Any]], square: Square) -> NDArray[np.floating[Any]]:
    """Crop a frame (height, width, channels) to a square; the result is a view."""
    return frame[square.top : square.top + square.side, square.left : square.left + square.side]


def _reduce(brightness: NDArray[np.floating[Any]], factor: int) -> NDArray[np.floating[Any]]:
    """Average blocks of factor x factor pixels; incomplete blocks at the end are padded with their last value."""
    if factor == 1:
        return brightness
    height, width = brightness.shape
    padded = np.pad(brightness, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _smooth(brightness: NDArray[np.floating[Any]], axis: int) -> NDArray[np.floating[Any]]:
    """Take the median of each pixel and its two neighbors, which does not move edges as a mean would."""
    before, after = np.roll(brightness, 1, axis), np.roll(brightness, -1, axis)
    low, high = np.minimum(before, after), np.maximum(before, after)
    return np.asarray(np.maximum(low, np.minimum(high, brightness)))


def _corners(brightness: NDArray[np.floating[Any]]) -> list[NDArray[np.floating[Any]]]:
    """Return the four corner patches, small enough to lie outside a disc that touches all edges of a square frame."""
    side = max(1, min(brightness.shape) // 16)
    first, last = slice(None, side), slice(-side, None)
    return [brightness[rows, columns] for rows in (first, last) for columns in (first, last)]


def _bounds(lit: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of lit pixels, without specks, strokes and regions under a tenth of the largest."""
    stroke = 2 * (min(lit.shape) // 192) + 1  # odd, so that opening does not shift
    # Minimum and maximum filters are separable, so opening takes a third of the time.
    eroded = ndimage.minimum_filter(lit.view(np.uint8), stroke, mode="constant", cval=1)
    opened = ndimage.maximum_filter(eroded, stroke, mode="constant", cval=0)
    labels, _ = ndimage.label(opened if opened.any() else lit)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0  # the background
    large = (sizes >= 0.1 * sizes.max())[labels]
    rows, columns = np.flatnonzero(large.any(axis=1)), np.flatnonzero(large.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _square(top: int, bottom: int, left: int, right: int, height: int, width: int, has_surround: bool) -> Square:
    """Return the square around a rectangle, moved and shrunk as needed to lie within the frame."""
    side = min(max(bottom - top, right - left), height, width)
    row = min(max(0, (top + bottom - side) // 2), height - side)
    column = min(max(0, (left + right - side) // 2), width - side)
    return Square(row, column, side, has_surround)
