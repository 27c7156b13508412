"""The triplet loss; with semi-hard mining, the paper's."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from multimodal_vae.metric_losses.base import MetricLoss

_CHUNK = 2**22  # pairs that are looked at together

Distance = Literal["euclidean", "squared", "cosine"]
Mining = Literal["semi-hard", "hard", "all"]


class Triplet(MetricLoss):
    r"""Mean of :math:`d_{ap} - d_{an} + \alpha` over the triplets of a batch that are mined.

    A triplet is an anchor *a*, a positive *p* of its class and a negative *n* of another; it asks for something where
    :math:`d_{an} < d_{ap} + \alpha` (Schroff et al. 2015, equation 3). A batch in which none is mined contributes
    zero.

    Args:
        margin: :math:`\alpha`, in units of the distance. The paper names none; 0.2 is FaceNet's.
        distance: ``"euclidean"`` between the latents as they are, since densities are fitted to them as they are;
            its square; or ``"cosine"``, one minus the cosine similarity.
        mining: ``"semi-hard"``, the paper's, takes the triplets whose negative is farther than the positive, but by
            less than the margin, :math:`d_{ap} < d_{an} < d_{ap} + \alpha` (ibid., equation 4); ``"hard"`` those whose
            negative is no farther than the positive; ``"all"`` both of these, the "batch all" of Hermans et al. 2017,
            section 2, its mean taken over what is not zero.

    Example:
        >>> latents, labels = torch.tensor([[0.0], [1.0], [1.1]]), torch.tensor([0, 0, 1])
        >>> Triplet(margin=0.2)(latents, labels)
        tensor(0.1000)
        >>> Triplet(margin=0.2, mining="hard")(latents, labels)
        tensor(1.1000)
    """

    def __init__(
        self, margin: PositiveFloat = 0.2, distance: Distance = "euclidean", mining: Mining = "semi-hard"
    ) -> None:
        super().__init__()
        self.margin = margin
        self.distance = distance
        self.mining = mining

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss; time grows with N squared log N, and memory with N squared."""
        distances = pairwise_distances(latents, self.distance)
        weights, triplets = _mined(distances.detach(), labels, self.margin, self.mining)
        # Each triplet adds +1 to the weight of its pair (a, p) and -1 to that of (a, n): the sum over triplets is a
        # sum over pairs.
        return (weights * distances).sum() / max(triplets, 1) + (self.margin if triplets else 0.0)


def pairwise_distances(latents: Tensor, distance: Distance) -> Tensor:
    """Distances between all rows, (N, N)."""
    if distance == "cosine":
        unit = F.normalize(latents, dim=1)
        return 1 - unit @ unit.T
    # The matrix-product form of cdist is faster from 26 rows on, and wrong by some 1e-3 for near neighbors.
    euclidean = torch.cdist(latents, latents, compute_mode="donot_use_mm_for_euclid_dist")
    return euclidean.square() if distance == "squared" else euclidean


def _mined(distances: Tensor, labels: Tensor, margin: float, mining: Mining) -> tuple[Tensor, int]:
    """Count, for each pair, the mined triplets in which it is (a, p) less those in which it is (a, n).

    Among an anchor's negatives, sorted by distance, those of a positive are a run: a search finds its ends, and there
    never is a tensor of all triplets.
    """
    negative = labels[:, None] != labels
    positive = ~negative & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    weights = torch.zeros_like(distances)
    triplets = 0
    everyone = torch.arange(len(labels), device=labels.device)
    for anchors in torch.split(everyone, max(1, _CHUNK // max(1, len(labels)))):
        near = distances[anchors]
        others, order = near.masked_fill(~negative[anchors], torch.inf).sort(1)
        nearer = torch.searchsorted(others, near, right=True)
        first = nearer if mining == "semi-hard" else torch.zeros_like(nearer)
        last = nearer if mining == "hard" else torch.maximum(nearer, torch.searchsorted(others, near + margin))
        count = (last - first) * positive[anchors]
        # A negative is in as many triplets as runs have begun before it and not ended.
        ends = torch.zeros(len(anchors), len(labels) + 1, dtype=torch.int64, device=labels.device)
        ends.scatter_add_(1, first, positive[anchors].long()).scatter_add_(1, last, -positive[anchors].long())
        runs = torch.zeros_like(count).scatter_(1, order, ends.cumsum(1)[:, :-1])
        weights[anchors] = (count - runs).to(weights)
        triplets += int(count.sum())
    return weights, triplets
