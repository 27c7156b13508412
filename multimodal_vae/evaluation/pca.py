"""Samples of several modalities as one short vector, and back."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from multimodal_vae.errors import DataError


class JointPCA:
    """Principal components of all modalities together, each scaled to a total variance of one first.

    Without the scaling, the modality with most numbers, or the largest unit, would be the only one.

    Args:
        components: how many, at most; never more than rows - 1 or than there are numbers.
        seed: of the randomized solver.

    Example:
        >>> values = {"a": torch.randn(20, 3, 4), "b": torch.randn(20, 2)}
        >>> pca = JointPCA(components=100).fit(values)
        >>> pca.transform(values).shape, pca.inverse(pca.transform(values))["a"].shape
        (torch.Size([20, 14]), torch.Size([20, 3, 4]))
    """

    def __init__(self, components: int = 20, seed: int = 0) -> None:
        self.components = components
        self.seed = seed
        self._fitted: PCA | None = None

    def fit(self, values: Mapping[str, Tensor]) -> Self:
        """Learn scales and components from (N, *shape) by modality, N at least 2."""
        count = min((len(x) for x in values.values()), default=0)
        if count < 2:
            raise DataError(f"principal components need two samples at least, and there are {count}")
        self._shapes = {name: tuple(x.shape[1:]) for name, x in values.items()}
        variances = {name: float(x.detach().flatten(1).double().var(0).sum()) for name, x in values.items()}
        self._scales = {name: variance**0.5 or 1.0 for name, variance in variances.items()}
        flat = self._flat(values)
        self._fitted = PCA(min(self.components, count - 1, flat.shape[1]), random_state=self.seed).fit(flat)
        return self

    def transform(self, values: Mapping[str, Tensor]) -> Tensor:
        """The scores of samples, (N, components)."""
        return torch.from_numpy(self._pca.transform(self._flat(values)))

    def inverse(self, scores: Tensor) -> dict[str, Tensor]:
        """The samples that have such scores, (N, *shape) by modality."""
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
            raise DataError("the principal components have not been learned; call fit first")
        return self._fitted

    def _flat(self, values: Mapping[str, Tensor]) -> NDArray[np.float64]:
        return np.concatenate(
            [values[name].detach().flatten(1).cpu().numpy() / scale for name, scale in self._scales.items()], 1
        )
