"""The triplet loss; the paper uses it with semi-hard mining."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from multimodal_vae.metric_losses.base import MetricLoss

_CHUNK = 2**22  # pairs to process at one time

Distance = Literal["euclidean", "squared", "cosine"]
Mining = Literal["semi-hard", "hard", "all"]


class Triplet(MetricLoss):
    r"""Return the mean of :math:`d_{ap} - d_{an} + \alpha` over the mined triplets of a batch.

    A triplet is an anchor *a*, a positive *p* of its class and a negative *n* of another class; its loss is positive
    if :math:`d_{an} < d_{ap} + \alpha` (Schroff et al. 2015, equation 3). A batch without mined triplets gives zero.

    Args:
        margin: :math:`\alpha`, in units of the distance. The paper gives no value; FaceNet uses 0.2.
        distance: ``"euclidean"`` between latents without normalization, since densities are fitted without it;
            ``"squared"``, its square; or ``"cosine"``, one minus the cosine similarity.
        mining: ``"semi-hard"``, the paper's choice, takes triplets whose negative is farther than the positive, but by
            less than the margin: :math:`d_{ap} < d_{an} < d_{ap} + \alpha` (ibid., equation 4). ``"hard"`` takes
            triplets whose negative is no farther than the positive. ``"all"`` takes both: the "batch all" of Hermans
            et al. 2017, section 2, averaged over non-zero triplets.

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
        """Compute the loss; time grows with N squared log N, memory with N squared."""
        distances = pairwise_distances(latents, self.distance)
        weights, triplets = _pair_weights(distances.detach(), labels, self.margin, self.mining)
        # Each triplet adds +1 to the weight of its pair (a, p) and -1 to that of (a, n).
        return (weights * distances).sum() / max(triplets, 1) + (self.margin if triplets else 0.0)


def pairwise_distances(latents: Tensor, distance: Distance) -> Tensor:
    """Return the distances between all rows, (N, N)."""
    if distance == "cosine":
        unit = F.normalize(latents, dim=1)
        return 1 - unit @ unit.T
    # From 26 rows on, cdist would use matrix products, which are off by about 1e-3 for near neighbors.
    euclidean = torch.cdist(latents, latents, compute_mode="donot_use_mm_for_euclid_dist")
    return euclidean.square() if distance == "squared" else euclidean


def _pair_weights(distances: Tensor, labels: Tensor, margin: float, mining: Mining) -> tuple[Tensor, int]:
    """Count per pair the mined triplets in which it is (a, p), minus those in which it is (a, n).

    The negatives that a positive is compared with are a run among the anchor's negatives, sorted by distance. A binary
    search finds the ends of the run, so no tensor of all triplets is made.
    """
    negative = labels[:, None] != labels
    positive = ~negative & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    weights = torch.zeros_like(distances)
    triplets = 0
    rows = torch.arange(len(labels), device=labels.device)
    for anchors in torch.split(rows, max(1, _CHUNK // max(1, len(labels)))):
        near = distances[anchors]
        others, order = near.masked_fill(~negative[anchors], torch.inf).sort(1)
        nearer = torch.searchsorted(others, near, right=True)
        first = nearer if mining == "semi-hard" else torch.zeros_like(nearer)
        last = nearer if mining == "hard" else torch.maximum(nearer, torch.searchsorted(others, near + margin))
        count = (last - first) * positive[anchors]
        # A negative belongs to as many triplets as runs cover it.
        ends = torch.zeros(len(anchors), len(labels) + 1, dtype=torch.int64, device=labels.device)
        ends.scatter_add_(1, first, positive[anchors].long()).scatter_add_(1, last, -positive[anchors].long())
        runs = torch.zeros_like(count).scatter_(1, order, ends.cumsum(1)[:, :-1])
        weights[anchors] = (count - runs).to(weights)
        triplets += int(count.sum())
    return weights, triplets
