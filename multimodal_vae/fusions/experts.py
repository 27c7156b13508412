"""Base class of fusions with one expert per modality, and subsets encoded as numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.fusions.base import LOGVAR, Fusion


class Experts(Fusion):
    """A fusion in which each modality has an expert: a Gaussian computed from its features alone."""

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make one linear layer per modality for mean and log-variance."""
        self.heads = nn.ModuleList(nn.Linear(size, 2 * latent_dim) for size in sizes.values())

    def experts(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return each modality's Gaussian, (N, M, latent_dim); absent ones are finite but meaningless."""
        outputs = [
            # Replace absent rows: zero times NaN is NaN, also in the gradient of the weights.
            head(torch.where(present[:, column, None], x, 0))
            for column, (head, x) in enumerate(zip(self.heads, features.values(), strict=True))
        ]
        mean, logvar = torch.stack(outputs, 1).chunk(2, -1)
        return Gaussian(mean, logvar.clamp(-LOGVAR, LOGVAR))


def masks_of_numbers(numbers: Tensor, present: Tensor) -> Tensor:
    """Return the subsets of the present modalities with given numbers; binary digits select modalities.

    Args:
        numbers: (K, N) of int64, from 0 (no modality) to 2^P - 1 (all P present modalities).
        present: (N, M) of bool.

    Returns:
        (K, N, M) of bool.

    Example:
        >>> masks_of_numbers(torch.tensor([[1], [2], [3]]), torch.tensor([[True, False, True]])).int().tolist()
        [[[1, 0, 0]], [[0, 0, 1]], [[1, 0, 1]]]
    """
    place = present.cumsum(1) - 1
    return present & ((numbers[..., None] >> place.clamp(min=0)) & 1).bool()


def count_subsets(present: Tensor) -> Tensor:
    """Return the number of non-empty subsets of the present modalities, (N,) of int64."""
    return 2 ** present.sum(1) - 1


def draw_numbers(count: int, present: Tensor) -> Tensor:
    """Draw numbers of non-empty subsets uniformly: (count, N)."""
    # The remainder of a number below 2^62 is uniform to rounding for a few million subsets.
    return torch.randint(2**62, (count, len(present)), device=present.device) % count_subsets(present).clamp(min=1) + 1
