"""Mean and spread of each class, element by element."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import same_classes


@dataclass(frozen=True)
class ClassMaps:
    """Mean and spread of a class.

    Attributes:
        mean: (*shape), in the modality's unit.
        spread: (*shape), standard deviation with n - 1, in the same unit.
    """

    mean: Tensor
    spread: Tensor


def class_maps(x: Tensor, labels: Tensor) -> dict[int, ClassMaps]:
    """Compute the mean and spread of each class at each element.

    Args:
        x: (N, *shape) of one modality.
        labels: (N,).

    Raises:
        DataError: if a class has a single sample.

    Example:
        >>> class_maps(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 0]))[0].mean
        tensor([1.])
    """
    maps = {}
    for label in torch.unique(labels).tolist():
        rows = x[labels == label]
        if len(rows) < 2:
            raise DataError(f"class {label} has one sample; a spread needs two")
        maps[int(label)] = ClassMaps(rows.mean(0), rows.std(0))
    return maps


def map_differences(x: Tensor, labels: Tensor, y: Tensor, y_labels: Tensor) -> dict[int, tuple[float, float]]:
    """Return the mean absolute difference of mean maps and of spread maps per class, in the modality's unit.

    It includes sampling error: the means of two sets of n real samples differ by about 1.13 σ / √n (Gaussian, σ the
    element's spread). A small test set therefore hides a generator's error; use a large one if there is one.

    Example:
        >>> labels = torch.tensor([0, 0])
        >>> map_differences(torch.tensor([[0.0], [2.0]]), labels, torch.tensor([[1.0], [3.0]]), labels)
        {0: (1.0, 0.0)}
    """
    same_classes(labels, y_labels)
    one, other = class_maps(x, labels), class_maps(y, y_labels)
    return {
        label: (
            float((one[label].mean - other[label].mean).abs().mean()),
            float((one[label].spread - other[label].spread).abs().mean()),
        )
        for label in one
    }


def spread_ratio(x: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> float:
    """Return the within-class standard deviation of samples over that of real ones; below one for collapsed classes.

    The standard deviation is the root of the total variance over all elements; ratios are averaged over classes.

    Example:
        >>> real, labels = torch.randn(20, 3), torch.arange(20) % 2
        >>> round(spread_ratio(real / 2, labels, real, labels), 6)
        0.5
    """
    ratios = []
    for label in same_classes(labels, real_labels):
        total, real_total = (
            float(each.detach().flatten(1).double().var(0).sum())
            for each in (x[labels == label], real[real_labels == label])
        )
        ratios.append((total / real_total) ** 0.5 if real_total > 0 else float("nan"))
    return sum(ratios) / len(ratios)
