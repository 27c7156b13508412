"""Base class of all fusions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.fusions.subsets import Subsets
from multimodal_vae.part import Part

LOGVAR = 20.0
"""Bound on the absolute log-variance of an expert. exp(-20) and exp(20) are well within float32's range."""


class Fusion(Part, nn.Module, ABC):
    """Map the features of the present modalities to the Gaussian posterior of the latent.

    Subclasses write :meth:`build` and :meth:`forward`. They may also choose the subsets that a training step encodes
    (:meth:`subsets`; default: all present modalities) and the divergence of a posterior (:meth:`divergence`; default:
    the KL divergence from the prior N(0, I)).

    Attributes:
        private: number of latent dimensions that belong to each modality alone. The latent is
            ``[z | w_1 | ... | w_M]``: all modalities share z, and each w_m has ``private`` dimensions. The decoder of
            modality m takes ``[z | w_m]``; the metric loss takes z.
    """

    kind = "fusion"
    private: int = 0

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the layers. The model calls this once, when it knows the sizes.

        Args:
            sizes: number of features of each modality, in the model's order.
            latent_dim: number of latent dimensions, private ones included.
        """

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the posterior given the present modalities.

        Args:
            features: (N, size) by modality, in the order of ``sizes``. Rows of absent modalities must not change the
                result, even if they hold NaN.
            present: (N, M) of bool, one column per modality: the modalities to fuse.

        Raises:
            DataError: if the fusion needs a modality that is absent.
        """

    def subsets(self, present: Tensor) -> Subsets:
        """Return the subsets that a training step encodes. Default: all present modalities.

        Args:
            present: (N, M) of bool, on the CPU, as the result: the CPU decides by it what is computed.
        """
        return Subsets.whole(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the divergence of each posterior, in nats, summed over dimensions. Default: KL from N(0, I).

        Each row is one subset of one sample.

        Args:
            posterior: posteriors, (R, latent_dim).
            latents: (R, latent_dim), one draw from each posterior.
            features: (R, size) by modality.
            mask: (R, M) of bool, the modalities of each subset.
            present: (R, M) of bool, the modalities of each sample.

        Returns:
            (R,); an estimate from ``latents`` must be unbiased.
        """
        return posterior.kl_to_standard_normal().sum(1)
