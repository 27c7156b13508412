"""Copies from the CPU to an accelerator, and choices of rows that the CPU makes.

A step of a training is fast on a GPU if the CPU never waits for it: the CPU then prepares the next steps meanwhile. So
masks and labels stay on the CPU, where decisions follow from them, and copies to the GPU are queued.
"""

import torch
from torch import Tensor


def copy_to(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; a copy from the CPU to a GPU is queued, through page-locked memory.

    Args:
        x: the tensor; returned as it is if it is on the device.
        device: the device.
    """
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def copy_mask(x: Tensor, device: torch.device) -> Tensor:
    """Return a mask or weights on a device; they are made there, without a copy, if all values are the same.

    Args:
        x: masks or weights, small and usually constant; returned as they are if they are on the device.
        device: the device.
    """
    if x.device == device or not x.numel():
        return x.to(device)
    value = x.flatten()[0]
    return torch.full_like(x, value.item(), device=device) if bool((x == value).all()) else copy_to(x, device)


def select(x: Tensor, mask: Tensor) -> Tensor:
    """Return the rows (n, ...) of a tensor (N, ...) for which a mask (N,) is true; the tensor itself if it always is.

    Args:
        x: the tensor, on any device.
        mask: the mask; if it is on the CPU, nothing is read from a GPU.

    Example:
        >>> select(torch.tensor([1, 2, 3]), torch.tensor([True, False, True]))
        tensor([1, 3])
    """
    return x if bool(mask.all()) else x[copy_to(mask.nonzero()[:, 0], x.device)]
