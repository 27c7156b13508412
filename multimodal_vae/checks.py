"""Checks of values that functions take and return."""

import numbers
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import ConfigurationError, DataError, MultimodalVAEError, TrainingError, one_line


def require_finite(x: Tensor, part: str, error: type[MultimodalVAEError] = TrainingError) -> Tensor:
    """Return a part's output; NaN and infinity are never a result.

    Args:
        x: the output.
        part: the part, as the error names it, such as ``"the decoder of modality 'x'"``.
        error: class of the error.

    Raises:
        TrainingError: naming the part, if a value is NaN or infinite.
    """
    if not bool(torch.isfinite(x).all()):
        raise error(f"{part} gives values that are not finite; check its weights and its input, or train again")
    return x


def require_whole(name: str, value: Any, least: int) -> int:
    """Return a setting that counts.

    Raises:
        ConfigurationError: unless it is a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; give a whole number of at least {least}")
    return int(value)


def real_numbers(values: Any) -> NDArray[np.float32]:
    """Return booleans, integers or real numbers as a float32 array; masked values become NaN.

    Args:
        values: an array or nested lists. The result may share its memory.

    Raises:
        DataError: if they are anything else, such as complex numbers, whose imaginary part would be lost.
    """
    try:
        masked = isinstance(values, list | tuple) and any(isinstance(each, np.ma.MaskedArray) for each in values)
        array = np.ma.array(values) if masked else np.asanyarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise DataError(f"is no array of numbers ({one_line(error)})") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"holds values of type {array.dtype}; real numbers are expected")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, which a check refuses
        if isinstance(array, np.ma.MaskedArray):
            array = np.ma.filled(array.astype(np.float32), np.nan)
        return np.require(array, np.float32, ["C", "W"])


def real_samples(name: str, values: Any) -> Tensor:
    """Return samples of a modality as a float32 tensor on the CPU; see :func:`real_numbers`.

    Raises:
        DataError: naming the modality.
    """
    if isinstance(values, list | tuple) and values and all(isinstance(each, Tensor) for each in values):
        values = [real_samples(name, each).numpy() for each in values]
    try:
        if not isinstance(values, Tensor):
            return torch.from_numpy(real_numbers(values))
        dense = values.layout is torch.strided and not (values.is_nested or values.is_quantized or values.is_meta)
        if values.is_complex() or not dense or torch.masked.is_masked_tensor(values):
            raise DataError(
                f"is a {type(values).__name__} of {values.dtype}, {values.layout} on {values.device}; "
                "a dense tensor of real numbers is expected"
            )
        return values.detach().to("cpu", torch.float32)
    except DataError as error:
        raise DataError(f"modality {name!r}: a sample {error}") from error
