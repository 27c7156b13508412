"""What the fusions share that have an expert a modality: the experts, and subsets by number."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.fusions.base import LOGVAR, Fusion


class Experts(Fusion):
    """A fusion in which each modality's features alone give a Gaussian, its expert."""

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make a linear layer a modality, for mean and log-variance."""
        self.heads = nn.ModuleList(nn.Linear(size, 2 * latent_dim) for size in sizes.values())

    def experts(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Every modality's Gaussian, (N, M, latent_dim); that of an absent one is finite, and means nothing."""
        answers = [
            # Zero times NaN is NaN, in the gradient of the weights too.
            head(torch.where(present[:, [column]], x, 0))
            for column, (head, x) in enumerate(zip(self.heads, features.values(), strict=True))
        ]
        mean, logvar = torch.stack(answers, 1).chunk(2, -1)
        return Gaussian(mean, logvar.clamp(-LOGVAR, LOGVAR))


def numbered(numbers: Tensor, present: Tensor) -> Tensor:
    """Subsets of what is present by their numbers, whose binary digits say who is in.

    Args:
        numbers: (K, N) of int64, from 0, nothing, to 2^P - 1, all P modalities that are present.
        present: (N, M) of bool.

    Returns:
        (K, N, M) of bool.

    Example:
        >>> numbered(torch.tensor([[1], [2], [3]]), torch.tensor([[True, False, True]])).int().tolist()
        [[[1, 0, 0]], [[0, 0, 1]], [[1, 0, 1]]]
    """
    place = present.cumsum(1) - 1
    return present & ((numbers[..., None] >> place.clamp(min=0)) & 1).bool()


def count_subsets(present: Tensor) -> Tensor:
    """How many subsets of what is present are not empty, (N,) of int64."""
    return 2 ** present.sum(1) - 1


def drawn(count: int, present: Tensor) -> Tensor:
    """Numbers of so many subsets, (count, N), each of those that are not empty as likely as any other."""
    # Of numbers below 2^62, the remainders of a few million subsets are as good as equally likely.
    return torch.randint(2**62, (count, len(present)), device=present.device) % count_subsets(present).clamp(min=1) + 1
