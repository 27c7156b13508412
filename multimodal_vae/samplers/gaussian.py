"""One Gaussian, whose covariance is shrunk so that few latents suffice."""

from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.errors import SamplerError
from multimodal_vae.samplers.base import DensitySampler, require_spread


class ShrunkGaussian(DensitySampler):
    r"""One Gaussian with a full covariance, :math:`(1 - \rho) S + \rho \frac{\operatorname{tr} S}{D} I`.

    *S* is the latents' covariance, divided by their number. Without shrinkage, fewer latents than dimensions leave *S*
    without an inverse; such a density is refused.

    Args:
        shrinkage: :math:`\rho`, from 0, the covariance as it is, to 1, a sphere; where it is None, Ledoit and Wolf's
            estimate of the best, :func:`ledoit_wolf_shrinkage`. For two latents that is 0.

    Example:
        >>> density = ShrunkGaussian(shrinkage=1.0).fit(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))()
        >>> density.mean
        tensor([1., 0.])
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, shrinkage: Annotated[float, Field(ge=0, le=1)] | None = None) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.register_buffer("mean", None)
        self.register_buffer("factor", None)

    def fit(self, latents: Tensor) -> Self:
        """Take the mean and the shrunk covariance."""
        require_spread(latents, self.name)
        points = latents.detach().to("cpu", torch.float64)
        count, dimensions = points.shape
        mean = points.mean(0)
        covariance = (points - mean).T @ (points - mean) / count
        shrinkage = ledoit_wolf_shrinkage(points) if self.shrinkage is None else self.shrinkage
        sphere = covariance.trace() / dimensions * torch.eye(dimensions, dtype=torch.float64)
        covariance = (1 - shrinkage) * covariance + shrinkage * sphere
        variances = torch.linalg.eigvalsh(covariance)
        if variances[0] <= _FLATTEST * variances[-1]:
            raise SamplerError(
                f"{self.name!r} finds no spread along some direction of {count} latents of {dimensions} dimensions "
                f"with the shrinkage {shrinkage:.3g}; set a larger shrinkage, such as 0.5"
            )
        self.mean = mean.to(latents)
        self.factor = torch.linalg.cholesky(covariance).to(latents)
        return self

    def forward(self) -> Distribution:
        """The density, a mixture of one."""
        self.state()
        return GaussianMixture(self.mean.new_ones(1), self.mean[None], self.factor[None])


_FLATTEST = 1e-10
"""Share of the largest variance below which a direction counts as having none: rounding leaves about 1e-15."""


def ledoit_wolf_shrinkage(latents: Tensor) -> float:
    r"""The shrinkage toward a sphere that is expected to bring a covariance closest to the true one.

    Ledoit and Wolf (2004), *A well-conditioned estimator for large-dimensional covariance matrices*, section 3.2, in
    the squared Frobenius norm over D: :math:`\min(b^2, d^2) / d^2`, where :math:`d^2 = \|S - \mu I\|^2` is how far the
    covariance is from the sphere of its mean variance, and :math:`b^2 = \frac1{N^2} \sum_i \|x_i x_i^\top - S\|^2`
    how far it is expected to be from the truth.

    Args:
        latents: (N, D).
    """
    count, dimensions = latents.shape
    centered = latents - latents.mean(0)
    covariance = centered.T @ centered / count
    size = covariance.square().sum()
    distance = size - covariance.trace().square() / dimensions
    error = (centered.square().sum(1).square().mean() - size) / count
    if distance <= _FLATTEST * size:  # a sphere already
        return 0.0
    return float((error / distance).clamp(0, 1))
