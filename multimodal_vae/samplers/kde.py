"""Kernel density estimation, the paper's sampler."""

import math
from typing import Annotated, Self

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.samplers.base import DensitySampler, require_spread


class KDE(DensitySampler):
    r"""A Gaussian kernel on each latent, :math:`p(z) = \frac1N \sum_i \mathcal N(z; z_i, h^2 I)`.

    Args:
        bandwidth: *h*; where it is None, it is chosen from ``bandwidths`` by cross-validated likelihood.
        bandwidths: the grid; where it is None, 41 values from 0.03 to 3 times the latents' standard deviation.
        folds: of the cross-validation: contiguous blocks, as scikit-learn's ``KFold`` makes them; never more than
            there are latents.

    Example:
        >>> density = KDE(bandwidth=1.0).fit(torch.tensor([[0.0], [4.0]]))()
        >>> density.sample((3,)).shape
        torch.Size([3, 1])
    """

    points: Tensor
    chosen: Tensor

    def __init__(
        self,
        bandwidth: PositiveFloat | None = None,
        bandwidths: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None,
        folds: Annotated[int, Field(ge=2)] = 5,
    ) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        self.bandwidths = bandwidths
        self.folds = folds
        self.register_buffer("points", None)
        self.register_buffer("chosen", None)

    def fit(self, latents: Tensor) -> Self:
        """Keep the latents and choose the bandwidth."""
        require_spread(latents, self.name)
        latents = latents.detach().clone()
        self.points = latents
        chosen = self.bandwidth
        if chosen is None:
            spread = float(latents.double().var(0, correction=0).mean().sqrt())
            grid = self.bandwidths or (spread * torch.logspace(math.log10(0.03), math.log10(3), 41)).tolist()
            scores = cross_validated_log_likelihood(latents, grid, min(self.folds, len(latents)))
            chosen = grid[int(scores.argmax())]
        self.chosen = latents.new_tensor(chosen)
        return self

    def forward(self) -> Distribution:
        """The density, a mixture with one component a latent."""
        self.state()
        ones = self.points.new_ones(len(self.points))
        return GaussianMixture(ones, self.points, self.chosen.expand(1, self.points.shape[1]))


def cross_validated_log_likelihood(latents: Tensor, bandwidths: list[float], folds: int) -> Tensor:
    """Summed log density of each fold under the kernels of the others, one value a bandwidth, (B,), in nats.

    Exact: scikit-learn's ``KernelDensity`` gives these values with ``leaf_size=N``, and is far off in many dimensions
    at its default leaf size. Distances are computed once for all bandwidths and folds.
    """
    points = latents.detach().double()
    count, dimensions = points.shape
    squared = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    fold = torch.cat([part.new_full((len(part),), i) for i, part in enumerate(torch.arange(count).tensor_split(folds))])
    same_fold = fold[:, None] == fold
    others = (~same_fold).sum(1)
    squared.masked_fill_(same_fold, math.inf)
    # Kernels relative to the nearest latent's: their sum is at least 1 whatever the bandwidth, so that exp(-700), which
    # is 1e-304, adds nothing; below it exp is twenty times slower.
    nearest = squared.amin(1)
    squared.sub_(nearest[:, None])
    scores = []
    for h in bandwidths:
        relative = squared.mul(-0.5 / h**2).clamp_min_(-700).exp_().sum(1)
        mean = relative.log() - others.log() - 0.5 * nearest / h**2  # of the others' kernels, as a logarithm
        log_density = mean - dimensions * math.log(h * math.sqrt(2 * math.pi))
        scores.append(log_density.sum())
    return torch.stack(scores)
