"""Dependence of latents on covariates within classes, which training lowers."""

from collections.abc import Callable

import torch
from torch import Tensor

from multimodal_vae.transfer import select

FEWEST = 4
"""Samples of a class in a batch, below which they say nothing of dependence."""

_TINY = 1e-9


def distance_correlation(latents: Tensor, conditions: Tensor, labels: Tensor) -> Tensor:
    r"""Return how far latents depend on covariates within classes, a scalar: about 0 if they do not, at most 1.

    .. math:: \frac{\sum_k \langle A_k, B_k \rangle}{\sqrt{\sum_k \|A_k\|^2 \sum_k \|B_k\|^2}}

    with the U-centered matrices of distances between the latents, and between the covariates, of class :math:`k`.
    Without dependence its expected value is about 0 for any number of samples. Latents are standardized within classes,
    and their products count as further dimensions, so that a covariate that changes only their variances is noticed.

    Args:
        latents: (N, D).
        conditions: (N, W), numbers that stand for the covariates.
        labels: (N,); a class of fewer than :data:`FEWEST` samples has no part. Unlabeled samples, -1, are one class.

    Source: Székely and Rizzo (2013), *The distance correlation t-test of independence in high dimension*.

    Example:
        >>> site = torch.arange(200.0)[:, None] % 2
        >>> z, labels = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(200)
        >>> [round(float(distance_correlation(x, site, labels)), 1) for x in (z, z + 3 * site, z * (1 + 3 * site))]
        [0.0, 0.8, 0.5]
    """
    both, own, given = (latents.new_zeros(()) for _ in range(3))
    classes = [rows for label in torch.unique(labels) if int((rows := labels == label).sum()) >= FEWEST]
    centered = [x - x.mean(0) for x in (select(latents, rows) for rows in classes)]
    deviation = torch.cat(centered).square().mean(0).sqrt().clamp_min(_TINY).detach() if classes else latents
    for rows, x in zip(classes, centered, strict=True):
        products = (x / deviation) @ (x / deviation).T
        a = _u_centered(products + products.square() / latents.shape[1])
        given_rows = select(conditions, rows)
        b = _u_centered(given_rows @ given_rows.T)
        both, own, given = both + (a * b).sum(), own + a.square().sum(), given + b.square().sum()
    return both / (own * given).clamp_min(_TINY).sqrt()


def _u_centered(products: Tensor) -> Tensor:
    """Return the U-centered matrix of the distances between vectors of which the inner products (n, n) are given."""
    n, squares = len(products), products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_min(_TINY).sqrt()
    outside = 1 - torch.eye(n, device=products.device, dtype=products.dtype)
    distances = distances * outside
    sums = distances.sum(1) / (n - 2)
    return (distances - sums[:, None] - sums + distances.sum() / ((n - 1) * (n - 2))) * outside


def dependence_over_subsets(
    latents: Tensor, weights: Tensor, conditions: Tensor, labels: Tensor, gather: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return :func:`distance_correlation` of the latents of several subsets of modalities, averaged over the subsets.

    Args:
        latents: (N, K, D), of each sample and subset.
        weights: (N, K), weight of each; latents of weight zero have no part.
        conditions: (N, W).
        labels: (N,).
        gather: concatenates rows over all processes that share a batch.

    With weights and labels on the CPU, nothing is read from a GPU.
    """
    latents, weights, conditions, labels = (gather(x) for x in (latents, weights, conditions, labels))
    total, whole = latents.new_zeros(()), weights.sum()
    for number in range(latents.shape[1]):
        known = weights[:, number] > 0
        given = select(latents[:, number].contiguous(), known), select(conditions, known), select(labels, known)
        total = total + float(weights[:, number].sum() / whole) * distance_correlation(*given)
    return total
