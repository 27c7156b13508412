"""Base class of all metric losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from multimodal_vae.part import Part


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
