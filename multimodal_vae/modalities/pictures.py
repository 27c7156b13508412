"""Read pictures of the documented file formats, in the range that their type states."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read, recognized by content and not by name; PPM includes PGM and PBM. Reading some other formats,
such as EPS, would start programs."""

MOST_PIXELS = 50_000_000
"""Images with more pixels are refused before decoding, since a small file can decode to more than memory holds."""


def read_picture(path: str | Path, mode: Literal["L", "RGB"]) -> NDArray[np.float32]:
    """Read an image file as (height, width, channels) in [0, 1].

    8 bits are divided by 255, 16 bits by 65535. Transparent pixels show black, in proportion to their transparency.

    Args:
        path: a file of one of :data:`FORMATS`.
        mode: ``"L"`` for one channel, ``"RGB"`` for three.

    Raises:
        DataError: if the file is no image of these formats, is damaged, has several frames, more than
            :data:`MOST_PIXELS` pixels, or values of a type that states no range (32 bits); or if 16 bits hold values of
            12 bits or fewer.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            picture = Pillow.open(path, formats=FORMATS)
        with picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(f"has {picture.width} x {picture.height} pixels; the limit is {MOST_PIXELS:,} in all")
            if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:  # MPO: a photograph and its preview
                raise DataError(f"has {picture.n_frames} frames; save one of them as a file")  # type: ignore[attr-defined]
            pixels = _values(ImageOps.exif_transpose(picture), mode, sixteen_bits=picture.format == "PPM")
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise DataError(f"has too many pixels; the limit is {MOST_PIXELS:,}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"is not an image of the formats {', '.join(FORMATS)}; save it as PNG") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"is a damaged image ({error})") from error
    return pixels


def _values(picture: "Image", mode: Literal["L", "RGB"], sixteen_bits: bool) -> NDArray[np.float32]:
    """Return pixels, (height, width, channels) in [0, 1]; ``sixteen_bits``: integers of the mode I are 16 bits wide."""
    from PIL import Image as Pillow

    if picture.mode.startswith("I;16") or (picture.mode == "I" and sixteen_bits):
        levels = np.asarray(picture).astype(np.float32)[..., None]
        brightest = int(levels.max(initial=0))
        if 0 < brightest < 2**12:
            raise DataError(
                f"uses {brightest.bit_length()} of its 16 bits (the brightest value is {brightest}); scale it to 16 "
                "bits, or save it with 8"
            )
        return np.repeat(levels / np.float32(65535), len(mode), 2)
    if picture.mode in ("I", "F"):
        raise DataError("has values of 32 bits, whose range is unknown; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        picture = Pillow.new("RGB", layers.size)
        picture.paste(layers, mask=layers.getchannel("A"))
    pixels = np.asarray(picture.convert(mode), dtype=np.float32) / np.float32(255)
    return pixels.reshape(*pixels.shape[:2], -1)
