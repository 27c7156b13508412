"""Batches of a data set on the device of a training, which holds all samples if they fit."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from multimodal_vae.data.batch import Batch
from multimodal_vae.data.columns import FLOAT, Column
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.transfer import copy_to

SHARE = 0.25
"""Largest share of a GPU's free memory that samples may take; the rest is for the training."""


def loader(data: MultimodalDataset, device: torch.device) -> Callable[[Tensor], Batch]:
    """Return a function that returns the batch of some rows (n,) on a device.

    A GPU gets all samples once if they take at most :data:`SHARE` of its free memory. Otherwise each batch is copied.
    """
    size = sum(math.prod(column.shape) * FLOAT.itemsize for column in data.samples.columns.values())
    if device.type == "cuda" and size <= SHARE * torch.cuda.mem_get_info(device)[0]:
        return staged(data, device)
    return lambda rows: data.batch(rows).to(device)


def staged(data: MultimodalDataset, device: torch.device) -> Callable[[Tensor], Batch]:
    """Copy all samples to a device, and return a function that returns the batch of some rows (n,) there."""
    samples = {name: _staged(column, device) for name, column in data.samples.columns.items()}
    bare = copy.copy(data)
    bare.samples = {}

    def batch(rows: Tensor) -> Batch:
        there = copy_to(rows, device)
        return bare.batch(rows).to(device).with_samples({name: x[there] for name, x in samples.items()})

    return batch


def _staged(column: Column, device: torch.device) -> Tensor:
    """Return all rows of a column on a device, copied chunk by chunk."""
    whole, row = torch.empty(column.shape, device=device), 0
    for chunk in column.chunks():
        whole[row : row + len(chunk)] = chunk
        row += len(chunk)
    return whole
