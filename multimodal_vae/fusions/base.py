"""The door for a fusion of your own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.part import Part


class Fusion(Part, nn.Module, ABC):
    """Answers one question: given the modalities that are present, which Gaussian is the latent's?

    Sizes are not known when a fusion is made, so its layers are made in :meth:`build`.
    """

    kind = "fusion"

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the layers.

        Args:
            sizes: number of features of each modality, in the model's order.
            latent_dim: length of the latent.
        """

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Fuse.

        Args:
            features: (N, size) by modality, in the order of ``sizes``; rows of absent samples are zero.
            present: (N, M) of bool, a column a modality.

        Raises:
            DataError: if the fusion cannot do without a modality that is absent.
        """
