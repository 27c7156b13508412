"""The precision in which networks train; fusion, latent and losses of a model are always float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from multimodal_vae.trainable import Precision, Trainable


def resolve_precision(precision: Precision | Literal["auto"], device: str) -> Precision:
    """Return a precision; ``"auto"`` is bfloat16 where the device has units for it, and float32 elsewhere.

    CUDA devices have them since Ampere, and CPUs with AMX. A CPU with AVX512-BF16 alone trains in float32, since
    bfloat16 gains little there.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available() and (device == "auto" or device.startswith("cuda")):
        major, _ = torch.cuda.get_device_capability(None if device == "auto" else device)
        return "bfloat16" if major >= 8 else "float32"
    on_cpu = device == "cpu" or (device == "auto" and not torch.backends.mps.is_available())
    return "bfloat16" if on_cpu and cpu_has_matrix_units() else "float32"


def cpu_has_matrix_units() -> bool:
    """Return whether the processor has AMX; False if this version of torch cannot tell."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


@contextmanager
def train_precision(model: Trainable, precision: Precision) -> Iterator[None]:
    """Set the precision in which a model's networks train, within a block."""
    before, model.precision = model.precision, precision
    try:
        yield
    finally:
        model.precision = before
