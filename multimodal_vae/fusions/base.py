"""The door for a fusion of your own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.part import Part

LOGVAR = 20.0
"""Greatest size of an expert's log-variance: exp(-20) and exp(20) are still far from float32's ends, and no posterior
of use lies beyond."""


@dataclass(frozen=True)
class Subsets:
    """Which subsets of its modalities a step of training asks of each sample, K of them.

    Attributes:
        asked: (K, N, M) of bool, what each subset consists of; never more than is present.
        weights: (K, N), how much each counts in the loss; one with weight zero is never asked.
        reconstruction_weight: (K, N, M), how much each modality's reconstruction from it counts; an absent
            one's never does.
    """

    asked: Tensor
    weights: Tensor
    reconstruction_weight: Tensor

    @classmethod
    def whole(cls, present: Tensor) -> "Subsets":
        """Ask for all that is present, once, and have it rebuild everything.

        Example:
            >>> Subsets.whole(torch.tensor([[True, False]])).asked
            tensor([[[ True, False]]])
        """
        ones = torch.ones(1, *present.shape, device=present.device)
        return cls(present[None], ones[..., 0], ones)


class Fusion(Part, nn.Module, ABC):
    """Answers one question: given these modalities, which Gaussian is the latent's?

    Which subsets of the modalities a step of training asks, and what the answer costs, a fusion may say besides;
    without a word, it is all that is present, and the KL divergence from the prior N(0, I).

    Sizes are not known when a fusion is made, so its layers are made in :meth:`build`.

    Attributes:
        private: how many dimensions of the latent are each modality's own. The latent is ``[z | w_1 | ... | w_M]``,
            z shared by all and w_m of ``private`` dimensions; the decoder of modality m sees ``[z | w_m]``, the metric
            loss z.
    """

    kind = "fusion"
    private: int = 0

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the layers.

        Args:
            sizes: number of features of each modality, in the model's order.
            latent_dim: length of the latent, private dimensions included.
        """

    @abstractmethod
    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Fuse.

        Args:
            features: (N, size) by modality, in the order of ``sizes``; what stands in the rows of what is absent
                must have no say, were it NaN.
            present: (N, M) of bool, a column a modality: what is to be fused, be it all there is or a part of it.

        Raises:
            DataError: if the fusion cannot do without a modality that is absent.
        """

    def subsets(self, present: Tensor) -> Subsets:
        """The subsets that a step of training asks; all that is present, unless a fusion says otherwise.

        Args:
            present: (N, M) of bool.
        """
        return Subsets.whole(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """What an answer costs, in nats, summed over dimensions; the KL divergence from N(0, I) unless told otherwise.

        A row is one subset of one sample.

        Args:
            posterior: the answers, (R, latent_dim).
            latents: (R, latent_dim), drawn from them.
            features: (R, size) by modality, of the samples.
            asked: (R, M) of bool, the subsets.
            present: (R, M) of bool, all that is present of the samples.

        Returns:
            (R,); for a divergence that is estimated from ``latents``, right in its expectation.
        """
        return posterior.kl_to_standard_normal().sum(1)
