"""How well classes can be told apart in the latent, or in anything else."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pixels import PixelClassifier
from multimodal_vae.evaluation.samples import group_numbers


def cross_validated_labels(
    values: Mapping[str, Tensor],
    labels: Tensor,
    groups: Sequence[str] | None = None,
    classifier: PixelClassifier | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Tensor:
    """The label that a classifier gives each sample when it has learned from other patients only.

    Asked of embeddings and of the samples themselves, with the same classifier, it tells what the latent gained or
    lost. The balanced accuracy of the answer is the figure.

    Args:
        values: (N, *shape) by modality; embeddings are ``{"latent": z}``.
        labels: (N,).
        groups: (N,), whose each sample is; each its own where it is None.
        classifier: what learns; quadratic discrimination after principal components where it is None.
        folds: how many.
        seed: of the folds.

    Returns:
        Labels (N,).

    Raises:
        DataError: if a class has fewer groups than there are folds.

    Example:
        >>> from multimodal_vae.evaluation.pixels import balanced_accuracy
        >>> labels = torch.arange(60) % 2
        >>> z = 6 * labels[:, None] + torch.randn(60, 3)
        >>> balanced_accuracy(cross_validated_labels({"latent": z}, labels), labels) > 0.9
        True
    """
    numbers = group_numbers(groups, len(labels))
    for label in torch.unique(labels).tolist():
        held = len(np.unique(numbers[(labels == label).numpy()]))
        if held < folds:
            raise DataError(f"class {label} has {held} groups and there are {folds} folds; take fewer folds")
    classifier = classifier or PixelClassifier()
    predicted = torch.zeros_like(labels)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for kept, held_out in split.split(np.zeros(len(labels)), labels.numpy(), numbers):
        classifier.fit({name: x[kept] for name, x in values.items()}, labels[kept])
        predicted[held_out] = classifier.predict({name: x[held_out] for name, x in values.items()})
    return predicted
