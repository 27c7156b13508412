"""Precision, recall, density and coverage of generated samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.distances import BLOCK, exact_distances
from multimodal_vae.errors import DataError


@dataclass(frozen=True)
class Neighbors:
    """Neighborhood membership per sample; each metric is a mean.

    Attributes:
        precise: (M,), whether a generated sample lies in the neighborhood of a real one.
        density: (M,), number of real neighborhoods a generated sample lies in, over k; the mean may exceed one.
        recalled: (N,), whether a real sample lies in the neighborhood of a generated one.
        covered: (N,), whether the neighborhood of a real sample holds a generated one.
    """

    precise: Tensor
    density: Tensor
    recalled: Tensor
    covered: Tensor

    def metrics(self) -> dict[str, float]:
        """Return precision, recall, density and coverage."""
        named = {"precision": self.precise, "recall": self.recalled, "density": self.density, "coverage": self.covered}
        return {name: float(x.double().mean()) for name, x in named.items()}


def neighbors(real: Tensor, generated: Tensor, k: int = 5) -> Neighbors:
    """Compare two sets of features by balls from each sample to its k-th nearest neighbor.

    Precision is the share of generated samples in a real ball; recall is the share of real samples in a generated
    ball. An outlier's large ball raises both. Density counts the real balls that hold a generated sample; coverage is
    the share of real balls that hold one. All depend on k, the features and the number of samples: use equally many
    of both, and compare with real against real. Distances are computed in blocks.

    Args:
        real: (N, D), N above k.
        generated: (M, D), M above k.
        k: rank of the neighbor that sets the radius of a ball.

    Raises:
        DataError: if there are too few samples.

    Source: precision and recall: Kynkäänniemi et al., *Improved precision and recall metric for assessing generative
        models* (2019), equation 1; density and coverage: Naeem et al., *Reliable fidelity and diversity metrics for
        generative models* (2020), section 3. Boundaries count as outside, as in the latter's code.

    Example:
        >>> x = torch.randn(100, 4)
        >>> neighbors(x, x).metrics()["recall"], neighbors(x, x + 100).metrics()["recall"]
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
    for start in range(0, len(x), BLOCK):
        distance = exact_distances(x[start : start + BLOCK], y)
        inside = distance < real_radius[start : start + BLOCK, None]
        count += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance < radius).any(1))
    return Neighbors(count > 0, count.double() / k, torch.cat(recalled), torch.cat(covered))


def _radii(x: Tensor, k: int) -> Tensor:
    """Return the distance of each row to its k-th nearest neighbor, without the row itself."""
    starts = range(0, len(x), BLOCK)
    return torch.cat([exact_distances(x[start : start + BLOCK], x).kthvalue(k + 1, 1).values for start in starts])
