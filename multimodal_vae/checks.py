"""Checks of values that functions take and return."""

import numbers
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.errors import ConfigurationError, MultimodalVAEError, TrainingError


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
