"""A classifier of the samples themselves by principal components and discriminant analysis."""

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

MIN_PER_CLASS = 4
"""Samples per class that a classifier needs."""


class PixelClassifier:
    """Principal components of all modalities together, then scikit-learn's quadratic or logistic discrimination.

    Classes have equal weight, whatever their number of samples.

    Args:
        kind: ``"qda"``, a Gaussian per class; or ``"logistic"``, linear.
        components: number of principal components; for ``"qda"`` at most half the size of the smallest class.
        seed: seed of the PCA solver.

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
        """Fit to (N, *shape) per modality and labels (N,).

        Raises:
            DataError: if there is a single class, or one with fewer than :data:`MIN_PER_CLASS` samples.
        """
        counts = torch.unique(labels, return_counts=True)[1]
        if len(counts) < 2 or int(counts.min()) < MIN_PER_CLASS:
            raise DataError(
                f"a classifier needs two classes with {MIN_PER_CLASS} samples each; there are {counts.tolist()}"
            )
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
        """Return the label of each sample, (N,)."""
        return torch.from_numpy(self._model.predict(self._pca.transform(values).numpy()))


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of correct labels per class, averaged over the classes that occur.

    Example:
        >>> balanced_accuracy(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]))
        0.75
    """
    correct = (predicted == labels).double()
    return float(torch.stack([correct[labels == label].mean() for label in torch.unique(labels)]).mean())
