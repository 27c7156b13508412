"""Base class of all metric losses."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from multimodal_vae.part import Part


class MetricLoss(Part, nn.Module, ABC):
    """Map the latents and labels of a batch to a scalar that is small if classes form separate clusters."""

    kind = "metric_loss"

    def __init__(self) -> None:
        super().__init__()

    def build(self, latent_dim: int, classes: int) -> None:
        """Make the parameters, if there are any. The model calls this once, when it knows the sizes."""

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            latents: (N, latent_dim).
            labels: (N,) of int64, never negative: the core drops unlabeled samples.

        Returns:
            A scalar with a gradient; zero if the batch has nothing to compare.
        """
