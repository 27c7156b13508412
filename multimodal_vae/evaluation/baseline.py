"""The simplest rival: a Gaussian a class, in the space of principal components."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.samples import LabeledSamples


class GaussianBaseline:
    """A Gaussian with each class's mean and covariance, over the principal components of all modalities together.

    What a generator does not do better than this, it need not have been trained for. Values may leave a modality's
    range, since to clip them would change the moments.

    Args:
        components: how many principal components.
        seed: of the principal components' solver.

    Example:
        >>> real = LabeledSamples({"x": torch.randn(50, 3)}, torch.arange(50) % 2)
        >>> GaussianBaseline().fit(real).sample({0: 4, 1: 2}, seed=0).counts()
        {0: 4, 1: 2}
    """

    def __init__(self, components: int = 64, seed: int = 0) -> None:
        self.pca = JointPCA(components, seed)
        self._classes: dict[int, tuple[Tensor, Tensor]] = {}

    def fit(self, real: LabeledSamples) -> Self:
        """Learn from training samples.

        Raises:
            DataError: naming a class with fewer than two samples.
        """
        scores = self.pca.fit(real.values).transform(real.values)
        for label, count in real.counts().items():
            if count < 2:
                raise DataError(f"class {label} has one sample, from which no covariance can be learned")
            rows = scores[real.labels == label]
            self._classes[label] = rows.mean(0), (rows - rows.mean(0)) / (count - 1) ** 0.5
        return self

    def sample(self, counts: Mapping[int, int], seed: int) -> LabeledSamples:
        """Draw new samples, so many of each class."""
        rng = torch.Generator().manual_seed(seed)
        drawn = []
        for label, count in counts.items():
            mean, root = self._classes[label]
            # root' root is the covariance, also where it has not full rank.
            drawn.append(mean + torch.randn(count, len(root), generator=rng, dtype=root.dtype) @ root)
        labels = torch.repeat_interleave(torch.tensor(list(counts)), torch.tensor(list(counts.values())))
        return LabeledSamples(self.pca.inverse(torch.cat(drawn)), labels)

    def project(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """LabeledSamples as far as the principal components hold them: the simplest rival of a reconstruction."""
        return self.pca.inverse(self.pca.transform(values))
