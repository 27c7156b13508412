"""The optimizer."""

import torch

from multimodal_vae.model import MultimodalVAE


def adam(vae: MultimodalVAE, learning_rate: float) -> torch.optim.Adam:
    """Adam in one pass over the memory where that is possible: the same to rounding, in a third of the time.

    That pass takes a weight and what Adam keeps of it by their places in memory, and so is silently wrong where they
    are laid out differently, as they come to be when weights in an unusual layout are restored from a checkpoint.
    """
    parameters = list(vae.parameters())
    usual = all(parameter.is_contiguous() and parameter.is_floating_point() for parameter in parameters)
    return torch.optim.Adam(parameters, lr=learning_rate, fused=usual and vae.device.type in ("cpu", "cuda"))
