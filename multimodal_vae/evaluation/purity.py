"""Purity: whether samples belong to the class they were generated for, and whether that class keeps its spread."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from multimodal_vae.evaluation.class_maps import spread_ratio
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.samples import LabeledSamples


@dataclass(frozen=True)
class Purity:
    """Purity and spread. Report both: a generator of one typical sample per class is perfectly pure.

    Attributes:
        purity: share of samples that a judge assigns to the target class, averaged over classes; 0 to 1.
        spread: within-class standard deviation over that of real samples, per modality; 1 = as real samples.
    """

    purity: float
    spread: Mapping[str, float]


def purity(predicted: Tensor, generated: LabeledSamples, real: LabeledSamples) -> Purity:
    """Compare a judge's labels with the target labels, and the spread within classes with that of real samples.

    Args:
        predicted: (N,), labels of the generated samples by a separately trained judge.
        generated: generated samples with their target labels.
        real: real samples of the same classes and modalities.

    Raises:
        DataError: if the classes differ.

    Example:
        >>> import torch
        >>> real = LabeledSamples({"x": torch.randn(40, 3)}, torch.arange(40) % 2)
        >>> collapsed = LabeledSamples({"x": real.values["x"] / 4}, real.labels)
        >>> p = purity(real.labels, collapsed, real)
        >>> p.purity, round(p.spread["x"], 6)
        (1.0, 0.25)
    """
    spread = {
        name: spread_ratio(x, generated.labels, real.values[name], real.labels) for name, x in generated.values.items()
    }
    return Purity(balanced_accuracy(predicted, generated.labels), spread)
