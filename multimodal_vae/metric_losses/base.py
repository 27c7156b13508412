"""Base class of all metric losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from multimodal_vae.part import Part
from multimodal_vae.transfer import copy_to, select


class MetricLoss(Part, nn.Module, ABC):
    """Map the latents and labels of a batch to a scalar that is small if classes are separate clusters."""

    kind = "metric_loss"

    def __init__(self) -> None:
        super().__init__()

    def build(self, latent_dim: int, classes: int) -> None:
        """Make parameters, if any. The model calls this once.

        Args:
            latent_dim: number of latent dimensions that the loss takes.
            classes: number of classes.
        """

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the loss.

        Args:
            latents: (N, latent_dim).
            labels: (N,) of int64, none negative: the model leaves out unlabeled samples.

        Returns:
            A scalar; zero, with a gradient, if the batch has nothing to compare.
        """


def loss_over_subsets(loss: MetricLoss, latents: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
    """Return the metric loss of latents of several subsets of modalities, averaged over the subsets, a scalar.

    Args:
        loss: the metric loss.
        latents: (N, K, D), of each sample and subset.
        weights: (N, K), weight of each; latents of weight zero have no part in the loss.
        labels: (N,), -1 for unlabeled samples, which have no part either.

    With weights and labels on the CPU, nothing is read from a GPU.
    """
    total, whole = latents.new_zeros(()), weights.sum()
    for number in range(latents.shape[1]):
        known = (labels >= 0) & (weights[:, number] > 0)
        share = float(weights[:, number].sum() / whole)
        chosen = select(latents[:, number].contiguous(), known)
        total = total + share * loss(chosen, copy_to(select(labels, known), latents.device))
    return total
