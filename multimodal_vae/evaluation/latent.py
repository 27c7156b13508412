"""Separability of the classes in the latent or in any other representation."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from multimodal_vae.bounds import require_seed
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
    """Predict each sample's label by a classifier trained on other patients.

    The balanced accuracy of these labels is the metric. Comparing embeddings with the samples themselves, with the
    same classifier, shows what the latent gains or loses.

    Args:
        values: (N, *shape) per modality; for embeddings ``{"latent": z}``.
        labels: (N,).
        groups: (N,), patient of each sample; None: each sample is its own group.
        classifier: the classifier; None: quadratic discriminant analysis of principal components.
        folds: number of folds.
        seed: seed of the folds.

    Returns:
        Labels (N,).

    Raises:
        DataError: if a class has fewer groups than there are folds, or too few samples outside one of them.

    Example:
        >>> from multimodal_vae.evaluation.pixels import balanced_accuracy
        >>> labels = torch.arange(60) % 2
        >>> z = 6 * labels[:, None] + torch.randn(60, 3)
        >>> balanced_accuracy(cross_validated_labels({"latent": z}, labels), labels) > 0.9
        True
    """
    numbers = group_numbers(groups, len(labels))
    for label in torch.unique(labels).tolist():
        count = len(np.unique(numbers[(labels == label).numpy()]))
        if count < folds:
            raise DataError(f"class {label} has {count} groups, but there are {folds} folds; use fewer folds")
    classifier = classifier or PixelClassifier()
    predicted = torch.zeros_like(labels)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=require_seed(seed))
    for train, held_out in split.split(np.zeros(len(labels)), labels.numpy(), numbers):
        try:
            classifier.fit({name: x[train] for name, x in values.items()}, labels[train])
        except DataError as error:
            raise DataError(
                f"the held-out samples are too few for {folds} folds: {error}. Enlarge their share in [data] split, or "
                "evaluate all patients in turn with mmvae cross-validate"
            ) from error
        predicted[held_out] = classifier.predict({name: x[held_out] for name, x in values.items()})
    return predicted
