"""Distances between many records of many numbers, fast and yet exactly zero for copies."""

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

_BLOCK = 256
_SPARE = 4
"""Neighbors that are looked at beyond those asked for, since products may change the order of near ties."""


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, M), float64, by products: quick, and off by some 1e-7 of the rows' size near zero."""
    x, y = x.detach().double(), y.detach().double()
    center = y.mean(0)
    x, y = x - center, y - center
    squared = torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1)[:, None])
    return squared.clamp_min_(0).sqrt_()


def nearest(x: Tensor, records: Tensor, k: int = 1, itself: bool = False) -> tuple[Tensor, Tensor]:
    """The k records nearest to each row, and how far they are.

    Products choose the records, and differences measure them, so that a copy is at no distance at all.

    Args:
        x: (N, D).
        records: (M, D).
        k: how many.
        itself: whether ``x`` *is* the records, of which none is then its own neighbor.

    Returns:
        Distances (N, k), ascending, float64; and rows of ``records``, (N, k).

    Raises:
        DataError: if there are too few records.

    Example:
        >>> far, rows = nearest(torch.tensor([[3.0], [0.5]]), torch.tensor([[0.0], [3.0]]), k=2)
        >>> far.tolist(), rows.tolist()
        ([[0.0, 3.0], [0.5, 2.5]], [[1, 0], [0, 1]])
    """
    there = len(records) - itself
    if there < k:
        raise DataError(f"there are {len(records)} records, and {k + itself} are needed to find {k} neighbors")
    x, records = x.detach().double(), records.detach().double()
    found = []
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK]
        about = distances(part, records)
        if itself:
            rows = torch.arange(len(part))
            about[rows, start + rows] = torch.inf
        chosen = about.topk(min(k + _SPARE, there), largest=False).indices
        exact = torch.stack([(part - records[column]).square().sum(1).sqrt() for column in chosen.unbind(1)], 1)
        order = exact.argsort(dim=1, stable=True)[:, :k]
        found.append((exact.gather(1, order), chosen.gather(1, order)))
    if not found:
        return x.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    far, near = (torch.cat(each) for each in zip(*found, strict=True))
    return far, near
