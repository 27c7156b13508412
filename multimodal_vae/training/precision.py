"""In which precision encoders and decoders train; fusion, latent and losses are always float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from multimodal_vae.model import MultimodalVAE, Precision


def chosen_precision(precision: Precision | Literal["auto"], device: str) -> Precision:
    """What ``"auto"`` comes to: bfloat16 on a CUDA device that has it (from Ampere on), float32 elsewhere.

    A CPU computes in float32 unless it is asked, also where bfloat16 would be faster: which processor it was should
    show in a result's last digits only.
    """
    if precision != "auto":
        return precision
    if not torch.cuda.is_available() or not (device == "auto" or device.startswith("cuda")):
        return "float32"
    major, _ = torch.cuda.get_device_capability(None if device == "auto" else device)
    return "bfloat16" if major >= 8 else "float32"


@contextmanager
def training_in(vae: MultimodalVAE, precision: Precision) -> Iterator[None]:
    """Let the model's encoders and decoders train in a precision, for the length of a block."""
    before, vae.precision = vae.precision, precision
    try:
        yield
    finally:
        vae.precision = before
