"""Joint principal components of several modalities."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from multimodal_vae.bounds import require_seed
from multimodal_vae.errors import DataError


class JointPCA:
    """Principal components of all modalities together, after scaling each to a total variance of one.

    Without scaling, the modality with the most elements or the largest values would dominate.

    Args:
        components: maximum number of components; limited by the number of rows - 1 and of elements.
        seed: seed of the randomized solver.

    Example:
        >>> values = {"a": torch.randn(20, 3, 4), "b": torch.randn(20, 2)}
        >>> pca = JointPCA(components=100).fit(values)
        >>> pca.transform(values).shape, pca.inverse(pca.transform(values))["a"].shape
        (torch.Size([20, 14]), torch.Size([20, 3, 4]))
    """

    def __init__(self, components: int = 20, seed: int = 0) -> None:
        self.components = components
        self.seed = require_seed(seed)
        self._fitted: PCA | None = None

    def fit(self, values: Mapping[str, Tensor]) -> Self:
        """Fit scales and components to (N, *shape) per modality, N at least 2."""
        count = min((len(x) for x in values.values()), default=0)
        if count < 2:
            raise DataError(f"principal components need at least two samples; there are {count}")
        self._shapes = {name: tuple(x.shape[1:]) for name, x in values.items()}
        variances = {name: float(x.detach().flatten(1).double().var(0).sum()) for name, x in values.items()}
        self._scales = {name: variance**0.5 or 1.0 for name, variance in variances.items()}
        flat = self._flat(values)
        self._fitted = PCA(min(self.components, count - 1, flat.shape[1]), random_state=self.seed).fit(flat)
        return self

    def transform(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the scores of samples, (N, components)."""
        return torch.from_numpy(self._pca.transform(self._flat(values)))

    def inverse(self, scores: Tensor) -> dict[str, Tensor]:
        """Return the samples with the given scores, (N, *shape) per modality."""
        flat = torch.from_numpy(self._pca.inverse_transform(scores.numpy()))
        samples, start = {}, 0
        for name, shape in self._shapes.items():
            end = start + int(np.prod(shape))
            samples[name] = (self._scales[name] * flat[:, start:end]).reshape(len(flat), *shape)
            start = end
        return samples

    @property
    def _pca(self) -> PCA:
        if self._fitted is None:
            raise DataError("the principal components are not fitted; call fit first")
        return self._fitted

    def _flat(self, values: Mapping[str, Tensor]) -> NDArray[np.float64]:
        return np.concatenate(
            [values[name].detach().flatten(1).cpu().numpy() / scale for name, scale in self._scales.items()], 1
        )
