"""Precision, recall, density and coverage: whose neighborhoods hold whom."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

_BLOCK = 1024
"""Rows whose distances are in memory at one time."""


@dataclass(frozen=True)
class Neighbors:
    """What holds for each sample; the mean of each is the figure.

    Attributes:
        precise: (M,), whether a generated sample lies in a real one's neighborhood.
        density: (M,), in how many of them it lies, over k; its mean may exceed one.
        recalled: (N,), whether a real sample lies in a generated one's neighborhood.
        covered: (N,), whether a real sample has a generated one in its own.
    """

    precise: Tensor
    density: Tensor
    recalled: Tensor
    covered: Tensor

    def figures(self) -> dict[str, float]:
        """Precision, recall, density and coverage."""
        named = {"precision": self.precise, "recall": self.recalled, "density": self.density, "coverage": self.covered}
        return {name: float(x.double().mean()) for name, x in named.items()}


def neighbors(real: Tensor, generated: Tensor, k: int = 5) -> Neighbors:
    """Compare two clouds of features by the balls that reach from each sample to its k-th nearest neighbor.

    Precision and recall ask whether generated samples lie in the real cloud, and real ones in the generated cloud; an
    outlier's large ball flatters both. Density counts the balls, and coverage asks whether each real ball holds a
    generated sample. All hang on k, on the features, and on how many samples there are: take as many of each,
    and put real against real beside it. Distances are computed block by block.

    Args:
        real: (N, D), N above k.
        generated: (M, D), M above k.
        k: which neighbor.

    Raises:
        DataError: if there are too few samples.

    Source: precision and recall: Kynkäänniemi et al., *Improved precision and recall metric for assessing generative
        models* (2019), equation 1; density and coverage: Naeem et al., *Reliable fidelity and diversity metrics for
        generative models* (2020), section 3. Boundaries are outside, as in the latter's code.

    Example:
        >>> x = torch.randn(100, 4)
        >>> neighbors(x, x).figures()["recall"], neighbors(x, x + 100).figures()["recall"]
        (1.0, 0.0)
    """
    if min(len(real), len(generated)) <= k:
        raise DataError(
            f"there are {len(real)} real and {len(generated)} generated samples; {k + 1} of each are needed"
        )
    x, y = real.detach().double(), generated.detach().double()
    real_radius, radius = _radii(x, k), _radii(y, k)
    count = torch.zeros(len(y), dtype=torch.int64, device=y.device)
    recalled, covered = [], []
    for start in range(0, len(x), _BLOCK):
        distance = _distances(x[start : start + _BLOCK], y)
        inside = distance < real_radius[start : start + _BLOCK, None]
        count += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance < radius).any(1))
    return Neighbors(count > 0, count.double() / k, torch.cat(recalled), torch.cat(covered))


def _radii(x: Tensor, k: int) -> Tensor:
    """The distance of each row to its k-th nearest neighbor; the row itself is the nearest of all."""
    starts = range(0, len(x), _BLOCK)
    return torch.cat([_distances(x[start : start + _BLOCK], x).kthvalue(k + 1, 1).values for start in starts])


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """By differences: products would lose digits far from zero, and give equal rows a distance."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
