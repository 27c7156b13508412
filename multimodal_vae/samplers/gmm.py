"""A Gaussian mixture per class, with selection of components and covariance."""

import itertools
import warnings
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as ExpectationMaximization
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.samplers.base import DensitySampler, require_spread
from multimodal_vae.scopes import Seed

Covariance = Literal["diag", "full", "tied", "spherical", "shrunk"]
Points = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class GMM(DensitySampler):
    """A mixture of a few Gaussians, fitted by scikit-learn.

    If ``components`` or ``covariance`` is a list, all combinations are fitted and ``selection`` keeps the best.

    Args:
        components: number of components, or candidates; at most half the latents of the class, and at most the number
            of distinct latents.
        covariance: ``"spherical"``, one variance per component; ``"diag"``, one per dimension; ``"full"``; ``"tied"``,
            a full covariance that all components share; ``"shrunk"``, full ones that are shrunk toward the common one,
            by a Wishart prior; or candidates.
        regularization: variance to add to each dimension, as a fraction of the latents' mean variance. Default: a tenth
            of the number of dimensions per latent, D / (10 N), at least 0.01.
        seed: seed of the k-means initialization.
        selection: ``"bic"``, the lowest Bayesian information criterion (Schwarz 1978); or ``"held_out"``, the highest
            cross-validated likelihood.
        folds: number of folds for ``"held_out"``, contiguous blocks as in scikit-learn's ``KFold``; at most the number
            of latents.
        shrinkage: for ``"shrunk"``, weight of the common covariance in that of a component of average size.
        method: ``"em"``, expectation maximization; or ``"variational"``, variational inference with a Dirichlet process
            prior on the weights (Blei and Jordan 2006), which empties unneeded components. Its density is the mixture
            at the posterior means; it has no BIC, so set ``selection`` to ``"held_out"``. So are ``"shrunk"`` mixtures,
            with a Dirichlet prior.

    Raises:
        ConfigurationError: if BIC is to select among fits that have none.

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
        components: PositiveInt | Annotated[list[PositiveInt], Field(min_length=1)] = 3,
        covariance: Covariance | Annotated[list[Covariance], Field(min_length=1)] = "tied",
        regularization: PositiveFloat | None = None,
        seed: Seed = 0,
        selection: Literal["bic", "held_out"] = "bic",
        folds: Annotated[int, Field(ge=2)] = 5,
        method: Literal["em", "variational"] = "em",
        shrinkage: Annotated[float, Field(gt=0, lt=1)] = 0.7,
    ) -> None:
        super().__init__()
        self.components = components
        self.covariance = covariance
        self.regularization = regularization
        self.seed = seed
        self.selection = selection
        self.folds = folds
        self.method = method
        self.shrinkage = shrinkage
        numbers = components if isinstance(components, list) else [components]
        shapes = covariance if isinstance(covariance, list) else [covariance]
        self._candidates = list(itertools.product(numbers, shapes))
        if (method == "variational" or "shrunk" in shapes) and selection == "bic" and len(self._candidates) > 1:
            setting = "covariance = 'shrunk'" if method == "em" else "method = 'variational'"
            raise ConfigurationError(f"'gmm' with {setting} has no BIC; set selection to 'held_out'")
        for buffer in ("weights", "means", "scale"):
            self.register_buffer(buffer, None)

    def fit(self, latents: Tensor) -> Self:
        """Fit the mixture, or the best candidate, to latents (N, D)."""
        require_spread(latents, self.name)
        points = latents.detach().to("cpu", torch.float64).numpy()
        share = self.regularization or max(_LEAST_SHARE, points.shape[1] / (10 * len(points)))
        added = share * float(points.var(0).mean())
        density = _as_torch(self._best(points, added))
        self.weights, self.means, self.scale = (
            values.to(latents) for values in (density.weights, density.means, density.scale)
        )
        return self

    def _best(self, points: Points, added: float) -> Any:
        """Return the selected mixture, fitted."""
        if len(self._candidates) == 1:
            return self._fit(points, *self._candidates[0], added)
        if self.selection == "bic":
            mixtures = [self._fit(points, *candidate, added) for candidate in self._candidates]
            return min(mixtures, key=lambda mixture: mixture.bic(points))
        if len(points) < 3:
            raise SamplerError(
                f"{self.name!r} needs at least 3 latents to select by held-out likelihood, not {len(points)}; set one "
                "number of components and one covariance"
            )
        blocks = np.array_split(np.arange(len(points)), min(self.folds, len(points)))

        def held_out(candidate: tuple[int, Covariance]) -> float:
            scores = 0.0
            for block in blocks:
                density = _as_torch(self._fit(np.delete(points, block, 0), *candidate, added))
                scores += float(density.log_prob(torch.from_numpy(points[block])).sum())
            return scores

        return self._fit(points, *max(self._candidates, key=held_out), added)

    def _fit(self, points: Points, components: int, covariance: Covariance, added: float) -> Any:
        """Fit a mixture by scikit-learn."""
        kind: Any = ExpectationMaximization if self.method == "em" else BayesianGaussianMixture
        count = max(1, min(components, len(points) // 2, len(np.unique(points, axis=0))))
        shared = {"n_components": count, "reg_covar": added, "max_iter": 500, "random_state": self.seed}
        with warnings.catch_warnings():
            # A mixture that has not fully converged after 500 iterations is still a valid density.
            warnings.simplefilter("ignore", ConvergenceWarning)
            if covariance != "shrunk":
                return kind(covariance_type=covariance, **shared).fit(points)
            common = ExpectationMaximization(covariance_type="tied", **shared).fit(points).covariances_
            strength = max(points.shape[1], self.shrinkage / (1 - self.shrinkage) * len(points) / count)  # in latents
            prior = {
                "covariance_prior": strength * common,
                "degrees_of_freedom_prior": strength,
                "mean_precision_prior": 1e-6,
            }
            weights = "dirichlet_distribution" if self.method == "em" else "dirichlet_process"
            return BayesianGaussianMixture(weight_concentration_prior_type=weights, **prior, **shared).fit(points)

    def forward(self) -> Distribution:
        """Return the fitted mixture."""
        self.state()
        return GaussianMixture(self.weights, self.means, self.scale)


_LEAST_SHARE = 0.01


def _as_torch(mixture: Any) -> GaussianMixture:
    """Convert a mixture of scikit-learn to float64 tensors; a variational one is taken at its posterior means."""
    covariances = torch.from_numpy(mixture.covariances_)
    means = torch.from_numpy(mixture.means_)
    match mixture.covariance_type:
        case "full":
            scale = torch.linalg.cholesky(covariances)
        case "tied":
            scale = torch.linalg.cholesky(covariances)[None]
        case "diag":
            scale = covariances.sqrt()
        case _:
            scale = covariances.sqrt()[:, None].repeat(1, means.shape[1])
    return GaussianMixture(torch.from_numpy(mixture.weights_), means, scale)
