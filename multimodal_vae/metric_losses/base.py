"""The door for a metric loss of your own."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from multimodal_vae.part import Part


class MetricLoss(Part, nn.Module, ABC):
    """Maps a batch's latents and labels to one scalar that is small where classes are clusters."""

    kind = "metric_loss"

    def __init__(self) -> None:
        super().__init__()

    def build(self, latent_dim: int, classes: int) -> None:
        """Make parameters, if there are any, once the length of the latent and the number of classes are known."""

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            latents: (N, latent_dim).
            labels: (N,) of int64, none negative: the core drops unlabeled samples.

        Returns:
            A scalar; zero, with a gradient, where the batch has nothing to compare.
        """
