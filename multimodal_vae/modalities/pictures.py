"""Read pictures of the documented file formats, in the range that their type states."""

import logging
import struct
import warnings
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError
from multimodal_vae.files import open_sample

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read, recognized by content and not by name; PPM includes PGM and PBM. Reading some other formats,
such as EPS, would start programs."""

MOST_PIXELS = 24_000_000
"""Images with more pixels are refused before decoding, since a small file can decode to more than memory holds."""

LONGEST_SIDE = 2**16
"""Pixels of a side above which a picture is not resampled, since the filter takes memory in proportion."""

Resize: TypeAlias = Literal["crop", "pad", "stretch"]
"""How a picture of any size gets the size of samples; see :func:`resize_picture`."""

MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
"""Pillow's names of pixel types with 8 bits per channel, or fewer, that convert to gray and RGB."""

DARK = 16
"""Share of a type's range, one in so many, that a picture exceeds unless its values have fewer bits than their type."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow logs is in the error

PHOTOMETRIC, SAMPLE_FORMAT = 262, 339
"""Tags of TIFF: whether 0 is white, and whether values have a sign."""


class _Facts(NamedTuple):
    """What a file states about its values, and Pillow forgets in decoding.

    Attributes:
        raw: Pillow's name for the values in the file.
        deep: whether channels have 16 bits.
        white: the greatest value, if Pillow leaves it as it is.
        inverted: whether 0 is white, and Pillow leaves it so.
    """

    raw: str
    deep: bool
    white: int
    inverted: bool


def read_picture(
    path: str | Path,
    mode: Literal["L", "RGB"],
    notes: Counter[str] | None = None,
    size: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Read an image file as (height, width, channels) in [0, 1].

    8 bits are divided by 255, 16 bits by 65535. Transparent pixels show black, in proportion to their transparency.
    Color profiles are not applied.

    Args:
        path: a file of one of :data:`FORMATS`.
        mode: ``"L"`` for one channel, ``"RGB"`` for three.
        notes: counts what was assumed: that a dark picture of 8 bits, or one of 14 bits in 16, uses all its range, that
            transparent pixels are black, and that a stated color profile or gamma is near sRGB.
        size: (height, width) that is needed; a picture of another is not decoded. Default: any size.

    Raises:
        DataError: if the file is no image of these formats, is damaged, has several frames, more than
            :data:`MOST_PIXELS` pixels, a color space other than gray, RGB and CMYK, or values of a type that states no
            range (32 bits, or with a sign); or if 16 bits hold values of 12 bits or fewer.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    notes = Counter() if notes is None else notes
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open_sample(path))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # about metadata that do not affect the pixels
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            _require_canvas(file.peek(30))
            picture = stack.enter_context(Pillow.open(file, formats=FORMATS))
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(f"has {picture.width} x {picture.height} pixels; the limit is {MOST_PIXELS:,} in all")
            if size and sorted(picture.size) != sorted(size):  # it may still be turned
                shape = (len(mode), picture.height, picture.width)
                raise DataError(
                    f'has shape {shape}, but {(len(mode), *size)} is expected; resize it, or set resize = "crop", '
                    '"pad" or "stretch"'
                )
            if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:  # MPO: a photograph and its preview
                raise DataError(f"has {picture.n_frames} frames; save one of them as a file")  # type: ignore[attr-defined]
            facts = _facts(picture)
            _note_colors(picture, notes)
            pixels = _values(ImageOps.exif_transpose(picture), facts, mode, notes)
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise DataError(f"has too many pixels; the limit is {MOST_PIXELS:,}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"is not an image of the formats {', '.join(FORMATS)}; save it as PNG") from error
    except (FileNotFoundError, PermissionError):
        raise
    except (
        OSError,
        SyntaxError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        MemoryError,
        struct.error,
    ) as error:
        raise DataError(f"is a damaged image ({error})") from error
    if 0 < pixels.max(initial=0) <= 1 / DARK:
        notes[f"image that uses less than 1/{DARK} of its range"] += 1
    return pixels


def resize_picture(pixels: NDArray[np.float32], size: tuple[int, int], how: Resize) -> NDArray[np.float32]:
    """Resize a picture (height, width, channels) in [0, 1] to (height, width) pixels.

    A picture of this size already is returned unchanged.

    Args:
        pixels: the picture.
        size: (height, width) that is wanted.
        how: ``"crop"`` cuts off what is too long on both sides, ``"pad"`` keeps all of it between black margins, and
            ``"stretch"`` changes the proportions.

    Raises:
        DataError: if a side has more than :data:`LONGEST_SIDE` pixels.

    Example:
        >>> white = np.ones((4, 8, 1), np.float32)
        >>> [float(resize_picture(white, (4, 4), how).mean()) for how in ("crop", "pad", "stretch")]
        [1.0, 0.5, 1.0]
    """
    height, width = pixels.shape[:2]
    if (height, width) == size:
        return pixels
    if max(height, width) > LONGEST_SIDE:
        raise DataError(f"has {width} x {height} pixels; sides of at most {LONGEST_SIDE:,} are resized; crop it first")
    scales = size[0] / height, size[1] / width
    if how == "stretch":
        return resample(pixels, size)
    if how == "crop":
        tall, wide = (wanted / max(scales) for wanted in size)
        top, left = max(0.0, (height - tall) / 2), max(0.0, (width - wide) / 2)
        return resample(pixels, size, (left, top, min(left + wide, width), min(top + tall, height)))
    inner = max(1, round(height * min(scales))), max(1, round(width * min(scales)))
    top, left = ((wanted - kept) // 2 for wanted, kept in zip(size, inner, strict=True))
    padded = np.zeros((*size, pixels.shape[2]), np.float32)
    padded[top : top + inner[0], left : left + inner[1]] = resample(pixels, inner)
    return padded


def resample(
    pixels: NDArray[np.floating], size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> NDArray[np.float32]:
    """Resample a picture (height, width, channels) in [0, 1] by an antialiasing Lanczos filter, without overshoot.

    Args:
        pixels: the picture.
        size: (height, width) of the result.
        box: left, top, right and bottom of the part that is resampled. Default: all of it.
    """
    from PIL import Image as Pillow

    planes = [
        Pillow.fromarray(np.ascontiguousarray(plane, dtype=np.float32)).resize(
            size[::-1], Pillow.Resampling.LANCZOS, box
        )
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack([np.asarray(plane, dtype=np.float32) for plane in planes], 2).clip(0, 1)


def _require_canvas(head: bytes) -> None:
    """Refuse the first bytes of a WebP picture of too many pixels, for which Pillow would take memory in opening it.

    Source: Zern et al. (2024), RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1.
    """
    kind = head[12:16] if head[:4] == b"RIFF" else b""
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return
    if width * height > MOST_PIXELS:
        raise DataError(f"has {width} x {height} pixels; the limit is {MOST_PIXELS:,} in all")


def _facts(picture: "ImageFile") -> _Facts:
    """Return the facts about a file that is not decoded yet, and refuse values without a range."""
    arguments = picture.tile[0][3] if picture.tile else ""
    raw, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
    tags = getattr(picture, "tag_v2", {})
    integers = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")
    if 2 in tags.get(SAMPLE_FORMAT, ()) or (picture.mode in ("I", "F") and not integers):
        raise DataError("has values of 32 bits or with a sign, whose range is unknown; save it with 8 or 16 bits")
    if not integers and picture.mode not in MODES:
        raise DataError(f"is in the color space {picture.mode}; save it as RGB")
    if picture.format == "PNG" and picture.mode != "P" and "transparency" in picture.info and raw not in ("L", "RGB"):
        raise DataError("states a transparent color in another depth than 8 bits; save it with an alpha channel")
    deep = ";16" in str(raw) or (picture.format == "PPM" and rest[:1] == [2**16 - 1])
    return _Facts(str(raw), deep, 2**12 - 1 if raw == "I;12" else 2**16 - 1, tags.get(PHOTOMETRIC) == 0)


def _note_colors(picture: "ImageFile", notes: Counter[str]) -> None:
    """Note a stated color space that is not sRGB, to which no values are converted."""
    profile = picture.info.get("icc_profile") or b""
    if profile and not any("sRGB".encode(encoding) in profile for encoding in ("ascii", "utf-16-be")):
        notes["color profile other than sRGB, not applied"] += 1
    if picture.mode == "CMYK":
        notes["CMYK converted to RGB without a color profile"] += 1
    gamma = picture.info.get("gamma")
    if gamma and "srgb" not in picture.info and abs(gamma - 1 / 2.2) > 0.01:
        notes[f"gamma of {gamma:g} stated, not applied"] += 1


def _values(picture: "Image", facts: _Facts, mode: Literal["L", "RGB"], notes: Counter[str]) -> NDArray[np.float32]:
    """Return pixels, (height, width, channels) in [0, 1]."""
    from PIL import Image as Pillow

    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.float32)[..., None]
        _check_bits(int(levels.max(initial=0)), facts.white, notes)
        levels = facts.white - levels if facts.inverted else levels
        return np.repeat(levels / np.float32(facts.white), len(mode), 2)
    if facts.deep:
        channels = np.asarray(picture)
        colors = channels[..., :-1] if picture.mode[-1] in "Aa" else channels
        _check_bits(int(colors.max(initial=0)) * 256, facts.white, notes)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        opacity = layers.getchannel("A")
        if opacity.getextrema()[0] < 255:  # type: ignore[operator]  # the stubs allow for several channels
            notes["image with transparent pixels, taken as black"] += 1
        picture = Pillow.new("RGB", layers.size)
        picture.paste(layers, mask=opacity)
    pixels: NDArray[np.float32] = np.divide(np.asarray(picture.convert(mode)), np.float32(255), dtype=np.float32)
    return pixels.reshape(*pixels.shape[:2], -1)


def _check_bits(brightest: int, white: int, notes: Counter[str]) -> None:
    """Refuse values that have 12 bits or fewer, as of a camera, in 16; note those of 13 or 14."""
    bits = white.bit_length()
    used = brightest.bit_length()
    if 0 < brightest <= white // DARK + 1:
        used = min(used, bits - DARK.bit_length() + 1)
        raise DataError(
            f"uses {used} of its {bits} bits (the brightest value is about {brightest}); scale it to {bits} bits, or "
            "save it with 8"
        )
    if 0 < used < bits - 1:
        notes[f"image that uses {used} of its {bits} bits"] += 1
