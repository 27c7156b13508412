"""The precision in which networks train; fusion, latent and losses of a model are always float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from multimodal_vae.trainable import Precision, Trainable


def resolve_precision(precision: Precision | Literal["auto"], device: str) -> Precision:
    """Return a precision; ``"auto"`` is bfloat16 on CUDA devices that support it (since Ampere), float32 elsewhere.

    On a CPU, ``"auto"`` is float32 even where bfloat16 is faster, so that results on two CPUs agree up to rounding.
    """
    if precision != "auto":
        return precision
    if not torch.cuda.is_available() or not (device == "auto" or device.startswith("cuda")):
        return "float32"
    major, _ = torch.cuda.get_device_capability(None if device == "auto" else device)
    return "bfloat16" if major >= 8 else "float32"


@contextmanager
def train_precision(model: Trainable, precision: Precision) -> Iterator[None]:
    """Set the precision in which a model's networks train, within a block."""
    before, model.precision = model.precision, precision
    try:
        yield
    finally:
        model.precision = before
