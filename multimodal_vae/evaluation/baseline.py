"""The baseline of every metric: a Gaussian per class over principal components."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.samples import LabeledSamples


class GaussianBaseline:
    """A Gaussian with the mean and covariance of each class, over principal components of all modalities together.

    A generator that does no better need not be trained. Values are not clipped to a modality's range, since clipping
    would change the moments.

    Args:
        components: number of principal components.
        seed: seed of the PCA solver.

    Example:
        >>> real = LabeledSamples({"x": torch.randn(50, 3)}, torch.arange(50) % 2)
        >>> GaussianBaseline().fit(real).sample({0: 4, 1: 2}, seed=0).counts()
        {0: 4, 1: 2}
    """

    def __init__(self, components: int = 64, seed: int = 0) -> None:
        self.pca = JointPCA(components, seed)
        self._classes: dict[int, tuple[Tensor, Tensor]] = {}

    def fit(self, real: LabeledSamples) -> Self:
        """Fit the Gaussians to training samples.

        Raises:
            DataError: if a class has fewer than two samples.
        """
        scores = self.pca.fit(real.values).transform(real.values)
        for label, count in real.counts().items():
            if count < 2:
                raise DataError(f"class {label} has one sample; a covariance needs two")
            rows = scores[real.labels == label]
            self._classes[label] = rows.mean(0), (rows - rows.mean(0)) / (count - 1) ** 0.5
        return self

    def sample(self, counts: Mapping[int, int], seed: int) -> LabeledSamples:
        """Draw a number of new samples per class."""
        rng = torch.Generator().manual_seed(require_seed(seed, LARGEST_DERIVED_SEED))
        scores = []
        for label, count in counts.items():
            mean, root = self._classes[label]
            # root.T @ root is the covariance, also if it is singular.
            scores.append(mean + torch.randn(count, len(root), generator=rng, dtype=root.dtype) @ root)
        labels = torch.repeat_interleave(torch.tensor(list(counts)), torch.tensor(list(counts.values())))
        return LabeledSamples(self.pca.inverse(torch.cat(scores)), labels)

    def project(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return samples projected onto the principal components: the baseline of a reconstruction."""
        return self.pca.inverse(self.pca.transform(values))
