"""A classifier of samples as they are, pixel by pixel, with nothing learned but a few linear directions."""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pca import JointPCA

FEWEST = 4
"""Samples of a class from which a classifier can be learned at all."""


class PixelClassifier:
    """Principal components of all modalities together, then scikit-learn's quadratic or logistic discrimination.

    Classes count alike, however many samples they have.

    Args:
        kind: ``"qda"``, a Gaussian a class; or ``"logistic"``, linear.
        components: how many principal components; for ``"qda"`` at most half the smallest class.
        seed: of the principal components' solver.

    Example:
        >>> x, labels = torch.cat([torch.randn(20, 2), 5 + torch.randn(20, 2)]), torch.arange(40) // 20
        >>> bool((PixelClassifier().fit({"x": x}, labels).predict({"x": x}) == labels).all())
        True
    """

    def __init__(self, kind: Literal["qda", "logistic"] = "qda", components: int = 20, seed: int = 0) -> None:
        self.kind = kind
        self.components = components
        self.seed = seed

    def fit(self, values: Mapping[str, Tensor], labels: Tensor) -> Self:
        """Learn from (N, *shape) by modality and labels (N,).

        Raises:
            DataError: if there is but one class, or one with fewer than :data:`FEWEST` samples.
        """
        counts = torch.unique(labels, return_counts=True)[1]
        if len(counts) < 2 or int(counts.min()) < FEWEST:
            raise DataError(f"a classifier needs two classes with {FEWEST} samples each; there are {counts.tolist()}")
        components = self.components
        if self.kind == "qda":
            components = min(components, int(counts.min()) // 2)
            model = QuadraticDiscriminantAnalysis(priors=[1 / len(counts)] * len(counts), reg_param=0.1)
        else:
            model = LogisticRegression(class_weight="balanced", max_iter=2000)
        self._pca = JointPCA(components, self.seed).fit(values)
        self._model: Pipeline = make_pipeline(StandardScaler(), model)
        self._model.fit(self._pca.transform(values).numpy(), labels.numpy())
        return self

    def predict(self, values: Mapping[str, Tensor]) -> Tensor:
        """The label of each sample, (N,)."""
        return torch.from_numpy(self._model.predict(self._pca.transform(values).numpy()))


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The share of each class that is labeled rightly, averaged over the classes that occur.

    Example:
        >>> balanced_accuracy(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]))
        0.75
    """
    right = (predicted == labels).double()
    return float(torch.stack([right[labels == label].mean() for label in torch.unique(labels)]).mean())
