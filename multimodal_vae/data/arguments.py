"""Checks of the arguments of which data sets are made."""

from typing import Any

import torch
from torch import Tensor

from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import DataError


def mask_of(present: Any) -> Tensor:
    """Return which samples are present as (N, M) of bool."""
    try:
        mask = torch.from_numpy(real_numbers(present.cpu() if isinstance(present, Tensor) else present))
    except DataError as error:
        raise DataError(f"'present' {error}") from error
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise DataError("'present' has values other than True and False; give one truth value per sample and modality")
    return mask.bool()


def check_length(what: str, length: int, count: int) -> None:
    """Raise DataError unless there is one per label."""
    if length != count:
        raise DataError(f"there are {length} {what} and {count} labels; give one per sample")
