"""Euclidean distances and nearest neighbors of many rows, in bounded memory and exactly zero for copies."""

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

BLOCK = 1024
"""Rows of a distance matrix to hold in memory at one time."""

_SPARE = 4
"""Neighbors to check beyond the requested ones, since products may swap near ties."""

_IN_CACHE = 2**18
"""Differences to hold at one time: 2 MiB, which a processor's cache holds."""


def exact_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return distances (N, M) by differences: slower than products, exact near zero and far from the origin."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def product_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return distances (N, M), float64, by products: fast, but off by about 1e-7 of the rows' norm near zero."""
    x, y = x.detach().double(), y.detach().double()
    center = y.mean(0)
    x, y = x - center, y - center
    squared = torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1)[:, None])
    return squared.clamp_min_(0).sqrt_()


def nearest(x: Tensor, records: Tensor, k: int = 1, itself: bool = False) -> tuple[Tensor, Tensor]:
    """Return the k records nearest to each row, with their distances.

    Products select candidates and differences measure them, so that a copy has distance zero.

    Args:
        x: (N, D).
        records: (M, D).
        k: number of neighbors.
        itself: set if ``x`` is ``records``; no row is then its own neighbor.

    Returns:
        Distances (N, k), ascending, float64; and row indices into ``records``, (N, k).

    Raises:
        DataError: if there are too few records.

    Example:
        >>> distance, rows = nearest(torch.tensor([[3.0], [0.5]]), torch.tensor([[0.0], [3.0]]), k=2)
        >>> distance.tolist(), rows.tolist()
        ([[0.0, 3.0], [0.5, 2.5]], [[1, 0], [0, 1]])
    """
    available = len(records) - itself
    if available < k:
        raise DataError(f"there are {len(records)} records, and {k + itself} are needed to find {k} neighbors")
    x, records = x.detach().double(), records.detach().double()
    count = min(k + _SPARE, available)
    at_once = max(1, _IN_CACHE // (count * max(1, x.shape[1])))
    parts = []
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        approximate = product_distances(part, records)
        if itself:
            rows = torch.arange(len(part))
            approximate[rows, start + rows] = torch.inf
        candidates = approximate.topk(count, largest=False).indices
        exact = torch.cat(
            [
                (some[:, None] - records[rows]).square().sum(2).sqrt()
                for some, rows in zip(torch.split(part, at_once), torch.split(candidates, at_once), strict=True)
            ]
        )
        order = exact.argsort(dim=1, stable=True)[:, :k]
        parts.append((exact.gather(1, order), candidates.gather(1, order)))
    if not parts:
        return x.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    distance, rows = (torch.cat(each) for each in zip(*parts, strict=True))
    return distance, rows
