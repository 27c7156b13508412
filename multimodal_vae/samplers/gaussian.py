"""One Gaussian per class with a shrunk full covariance."""

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

    *S* is the maximum likelihood covariance of the latents. Without shrinkage, *S* is singular if there are fewer
    latents than dimensions; fitting then raises :class:`~multimodal_vae.errors.SamplerError`.

    Args:
        shrinkage: :math:`\rho`, from 0 (the covariance itself) to 1 (a sphere). Default: the estimate of Ledoit and
            Wolf (2004), *A well-conditioned estimator for large-dimensional covariance matrices*, section 3.2.

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
        """Estimate the mean and the shrunk covariance from latents (N, D)."""
        from sklearn.covariance import ledoit_wolf_shrinkage  # importing scikit-learn takes a second

        require_spread(latents, self.name)
        points = latents.detach().to("cpu", torch.float64)
        count, dimensions = points.shape
        mean = points.mean(0)
        covariance = (points - mean).T @ (points - mean) / count
        shrinkage = float(ledoit_wolf_shrinkage(points.numpy())) if self.shrinkage is None else self.shrinkage
        sphere = covariance.trace() / dimensions * torch.eye(dimensions, dtype=torch.float64)
        covariance = (1 - shrinkage) * covariance + shrinkage * sphere
        variances = torch.linalg.eigvalsh(covariance)
        if variances[0] <= _FLATTEST * variances[-1]:
            raise SamplerError(
                f"{self.name!r}: the covariance of {count} latents of {dimensions} dimensions is singular with "
                f"shrinkage = {shrinkage:.3g}; set a larger shrinkage, such as 0.5"
            )
        self.mean = mean.to(latents)
        self.factor = torch.linalg.cholesky(covariance).to(latents)
        return self

    def forward(self) -> Distribution:
        """Return the fitted Gaussian, as a mixture of one component."""
        self.state()
        return GaussianMixture(self.mean.new_ones(1), self.mean[None], self.factor[None])


_FLATTEST = 1e-10
"""Directions below this share of the largest variance count as flat; rounding leaves about 1e-15."""
