"""The precision in which encoders and decoders train; fusion, latent and losses are always float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from multimodal_vae.model import MultimodalVAE, Precision


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
def train_precision(vae: MultimodalVAE, precision: Precision) -> Iterator[None]:
    """Set the precision in which a model's encoders and decoders train, within a block."""
    before, vae.precision = vae.precision, precision
    try:
        yield
    finally:
        vae.precision = before
