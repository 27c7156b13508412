"""Whether samples are of the class that was asked for, and whether that class still has its width."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from multimodal_vae.evaluation.class_maps import spread_ratio
from multimodal_vae.evaluation.pixels import balanced_accuracy
from multimodal_vae.evaluation.samples import LabeledSamples


@dataclass(frozen=True)
class Purity:
    """Two figures of which neither means anything alone: a generator of one typical sample a class is perfectly pure.

    Attributes:
        purity: the share that a judge gives the wanted class, averaged over classes; 0 to 1.
        spread: by modality, within-class standard deviation over that of real samples; one is right.
    """

    purity: float
    spread: Mapping[str, float]


def purity(judged: Tensor, generated: LabeledSamples, real: LabeledSamples) -> Purity:
    """Judge's labels against the wanted ones, with the spread within the classes.

    Args:
        judged: (N,), the label that a judge, trained apart, gives each generated sample.
        generated: the samples, whose labels are the wanted ones.
        real: real samples of the same classes and modalities.

    Raises:
        DataError: if the classes are not the same.

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
    return Purity(balanced_accuracy(judged, generated.labels), spread)
