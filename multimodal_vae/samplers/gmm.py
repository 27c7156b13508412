"""A Gaussian mixture fitted by expectation maximisation."""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from sklearn.mixture import GaussianMixture as ExpectationMaximisation
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.samplers.base import DensitySampler, require_spread


class GMM(DensitySampler):
    """A mixture of a few Gaussians, by scikit-learn's expectation maximisation.

    Args:
        components: how many; never more than half the latents of the class, so that each has something to learn, nor
            than there are distinct ones.
        covariance: ``"diag"``, a variance by dimension; or ``"full"``.
        regularisation: added to the variances, as a fraction of the latents' mean variance.
        seed: of the fit's k-means start.

    Example:
        >>> density = GMM(components=2).fit(torch.randn(50, 3))()
        >>> density.log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    weights: Tensor
    means: Tensor
    scale: Tensor

    def __init__(
        self,
        components: PositiveInt = 3,
        covariance: Literal["diag", "full"] = "diag",
        regularisation: PositiveFloat = 1e-3,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.components = components
        self.covariance = covariance
        self.regularisation = regularisation
        self.seed = seed
        for buffer in ("weights", "means", "scale"):
            self.register_buffer(buffer, None)

    def fit(self, latents: Tensor) -> Self:
        """Run expectation maximisation."""
        require_spread(latents, self.name)
        points = latents.detach().double().cpu().numpy()
        mixture = ExpectationMaximisation(
            max(1, min(self.components, len(points) // 2, len(np.unique(points, axis=0)))),
            covariance_type=self.covariance,
            reg_covar=self.regularisation * float(points.var(0).mean()),
            max_iter=500,
            random_state=self.seed,
        ).fit(points)
        covariances = mixture.covariances_
        scale = np.sqrt(covariances) if self.covariance == "diag" else np.linalg.cholesky(covariances)
        self.weights, self.means, self.scale = (
            torch.as_tensor(values).to(latents) for values in (mixture.weights_, mixture.means_, scale)
        )
        return self

    def forward(self) -> Distribution:
        """The density."""
        self.state()
        return GaussianMixture(self.weights, self.means, self.scale)
