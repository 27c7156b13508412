"""Read a picture from a DICOM file, as its header says that it is to be shown.

Source: DICOM PS3.3, sections C.7.6.3 (image pixel), C.11.1 (modality LUT) and C.11.2 (VOI LUT).
"""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.errors import one_line
from multimodal_vae.files import open_sample
from multimodal_vae.modalities.pictures import MOST_PIXELS

LARGEST = 2**28
"""Most bytes of a file."""

LARGEST_RLE = 2**23
"""Most bytes of a file in run-length encoding, which may decode to 64 times as many."""

DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a gray picture (ITU-R BT.601)."""


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as a DICOM file."""
    with open_sample(path, LARGEST) as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom(
    path: Path, frame: int | None, window: tuple[float, float] | None, notes: Counter[str]
) -> NDArray[np.float32]:
    """Read one frame as (height, width, 1 or 3) in [0, 1], 1 being white.

    Args:
        path: the file.
        frame: number of the frame, from 1. Default: the only one.
        window: values that become 0 and 1, in the unit that the file states, such as Hounsfield units. Default: the
            file's own window; without one, the range of a picture of 8 bits, and else that of its values.
        notes: counts what was assumed.

    Raises:
        DataError: if the file is damaged, holds no picture or several, is compressed in a way that no installed decoder
            reads, or has too many pixels.
    """
    from PIL.Image import DecompressionBombWarning

    if not is_dicom(path):
        raise DataError("does not begin as a DICOM file; convert it, for example with dcmconv")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values against the standard, which are checked where they are used
            warnings.simplefilter("error", DecompressionBombWarning)
            return _read(path, frame, window, notes)
    except (DataError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # a damaged file can be wrong in any way, and is decoded where it is used
        raise DataError(f"is a damaged DICOM file ({one_line(error)}); export it again") from error


def _read(
    path: Path, frame: int | None, window: tuple[float, float] | None, notes: Counter[str]
) -> NDArray[np.float32]:
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
    if syntax == DEFLATED:
        raise DataError("is deflated; convert it, for example with dcmconv +te")
    if syntax == RLE and path.stat().st_size > LARGEST_RLE:
        raise DataError(f"has more than {LARGEST_RLE:,} bytes in run-length encoding; convert it with dcmdrle")
    data = dcmread(path)
    _check(data, frame)
    index = (frame or 1) - 1
    values = _pixels(data, index)
    if data.get("BurnedInAnnotation") == "YES":
        notes["text is burned into the image, which may name the patient"] += 1
    if values.ndim == 3:
        return values.astype(np.float32) / np.float32(2 ** int(data.BitsStored) - 1)
    shown = _windowed(data, _rescaled(data, values, index), index, window, notes)
    if data.PhotometricInterpretation == "MONOCHROME1":  # the lowest value is white
        shown = 1 - shown
    return shown[..., None].astype(np.float32)


def _check(data: Any, frame: int | None) -> None:
    """Refuse what is no picture, and sizes beyond memory."""
    if "PixelData" not in data:
        kind = str(data.get("Modality", "?"))[:20]
        raise DataError(f"holds no picture (its modality is {kind!r}); leave its cell empty")
    height, width, samples = int(data.Rows), int(data.Columns), int(data.SamplesPerPixel)
    frames, bits = int(data.get("NumberOfFrames") or 1), int(data.BitsAllocated)
    if not (0 < height * width <= MOST_PIXELS and samples in (1, 3) and 1 <= bits <= 32):
        raise DataError(
            f"states {width} x {height} pixels of {samples} x {bits} bits; up to {MOST_PIXELS:,} pixels of 1 or 3 "
            "values of 32 bits are read"
        )
    if frame is None and frames > 1:
        raise DataError(f"has {frames} frames; name one in the cell, as 'file.dcm#frame=1'")
    if frame is not None and not 1 <= frame <= frames:
        raise DataError(f"has {frames} frames, and frame {frame} is wanted; correct the cell")


def _pixels(data: Any, index: int) -> NDArray[Any]:
    """Return the stored values, (height, width), or colors, (height, width, 3)."""
    from pydicom.pixels import apply_color_lut, pixel_array

    try:
        values = np.asarray(pixel_array(data, index=index))
    except RuntimeError as error:  # of the decoders
        syntax = data.file_meta.TransferSyntaxUID
        raise DataError(
            f"is compressed as {syntax.name!r}, which no installed decoder reads; pip install pylibjpeg[all], or "
            f"convert it, for example with gdcmconv --raw ({one_line(error)})"
        ) from error
    if data.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, data)
        values = (values >> 8 if values.dtype.itemsize > 1 else values).astype(np.uint8)
        data.BitsStored = 8
    expected = (int(data.Rows), int(data.Columns))
    if values.shape[:2] != expected or values.shape[2:] not in ((), (3,)):
        raise DataError(f"decodes to {values.shape}, but states {expected} pixels; export it again")
    return values


def _functional(data: Any, index: int, group: str) -> Any:
    """Return the item of a functional group of an enhanced multi-frame file, or the data set itself."""
    for sequence in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        items = data.get(sequence) or []
        item = items[min(index, len(items) - 1)] if len(items) else None
        if item is not None and item.get(group):
            return item.get(group)[0]
    return data


def _rescaled(data: Any, values: NDArray[Any], index: int) -> NDArray[np.float64]:
    """Return values in the unit that the file states."""
    from pydicom.pixels import apply_modality_lut

    if data.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(values, data), np.float64)
    stated = _functional(data, index, "PixelValueTransformationSequence")
    slope, intercept = (float(stated.get(key) or 0) for key in ("RescaleSlope", "RescaleIntercept"))
    return values.astype(np.float64) * (slope or 1.0) + intercept


def _windowed(
    data: Any, values: NDArray[np.float64], index: int, window: tuple[float, float] | None, notes: Counter[str]
) -> NDArray[np.float64]:
    """Return values in [0, 1]."""
    stated = _functional(data, index, "FrameVOILUTSequence")
    centers, widths = ([*np.atleast_1d(stated.get(key) or [])] for key in ("WindowCenter", "WindowWidth"))
    if window is None and centers and widths:
        center, width = float(centers[0]), float(widths[0])
        function = str(stated.get("VOILUTFunction") or "LINEAR")
        if not math.isfinite(center) or not width > 0:
            raise ValueError(f"a window of center {center:g} and width {width:g}")
        if function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700))))
        if function == "LINEAR" and width > 1:  # C.11.2.1.2.1; LINEAR_EXACT has no such shift
            center, width = center - 0.5, width - 1
        window = center - width / 2, center + width / 2
    elif window is None and int(data.BitsStored) <= 8 and not int(data.PixelRepresentation):
        window = 0.0, 2.0 ** int(data.BitsStored) - 1
    elif window is None:
        notes["no window in the file, taken from the lowest to the highest value"] += 1
        window = float(values.min()), float(values.max())
    low, high = window
    if not low < high:
        raise DataError(f"is {low:g} everywhere; leave its cell empty")
    return np.asarray(((values - low) / (high - low)).clip(0, 1))
