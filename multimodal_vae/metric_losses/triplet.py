"""Triplet loss; with semi-hard mining, the loss of the paper."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from multimodal_vae.metric_losses.base import MetricLoss

_CHUNK = 2**22  # pairs per chunk of anchors

Distance = Literal["euclidean", "squared", "cosine"]
Mining = Literal["semi-hard", "hard", "all"]


class Triplet(MetricLoss):
    r"""Mean of :math:`d_{ap} - d_{an} + \alpha` over the mined triplets of a batch.

    A triplet is an anchor *a*, a positive *p* of its class and a negative *n* of another class. Its loss is positive if
    :math:`d_{an} < d_{ap} + \alpha` (Schroff et al. 2015, equation 3). Batches without a mined triplet contribute zero.

    Args:
        margin: :math:`\alpha`, in units of the distance. The paper gives none; 0.2 is that of Schroff et al.
        distance: ``"euclidean"``, without normalization, like the latents to which densities are fitted;
            ``"squared"``, its square; or ``"cosine"``, one minus the cosine similarity.
        mining: ``"semi-hard"``, as in the paper, takes triplets with :math:`d_{ap} < d_{an} < d_{ap} + \alpha` (ibid.,
            equation 4); ``"hard"`` takes those with :math:`d_{an} \le d_{ap}`; ``"all"`` takes both ("batch all" of
            Hermans et al. 2017, section 2, averaged over losses that are not zero).

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
        """Return the loss; time grows with N squared log N, memory with N squared."""
        distances = pairwise_distances(latents, self.distance)
        weights, triplets = _pair_weights(distances.detach(), labels, self.margin, self.mining)
        # The sum over triplets is a weighted sum over pairs: each triplet counts (a, p) once and (a, n) minus once.
        return (weights * distances).sum() / triplets.clamp_min(1) + self.margin * (triplets > 0).to(distances)


def pairwise_distances(latents: Tensor, distance: Distance) -> Tensor:
    """Return the distances between all rows, (N, N)."""
    if distance == "cosine":
        unit = F.normalize(latents, dim=1)
        return 1 - unit @ unit.T
    # With more than 25 rows, cdist would use matrix products, whose error for near neighbors is about 1e-3.
    euclidean = torch.cdist(latents, latents, compute_mode="donot_use_mm_for_euclid_dist")
    return euclidean.square() if distance == "squared" else euclidean


def _pair_weights(distances: Tensor, labels: Tensor, margin: float, mining: Mining) -> tuple[Tensor, Tensor]:
    """Return the weight of each pair, (N, N), and the number of mined triplets, a scalar.

    The weight is the number of triplets in which the pair is (a, p) minus the number in which it is (a, n). Sorted by
    distance, the negatives of (a, p) are consecutive: binary search finds both ends without a tensor of all triplets.
    """
    negative = labels[:, None] != labels
    positive = ~negative & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    weights = torch.zeros_like(distances)
    triplets = torch.zeros((), dtype=torch.int64, device=labels.device)
    rows = torch.arange(len(labels), device=labels.device)
    for anchors in torch.split(rows, max(1, _CHUNK // max(1, len(labels)))):
        to_all = distances[anchors]
        to_negatives, order = to_all.masked_fill(~negative[anchors], torch.inf).sort(1)
        nearer = torch.searchsorted(to_negatives, to_all, right=True)
        first = nearer if mining == "semi-hard" else torch.zeros_like(nearer)
        last = nearer if mining == "hard" else torch.maximum(nearer, torch.searchsorted(to_negatives, to_all + margin))
        count = (last - first) * positive[anchors]
        # A negative is in one triplet per range [first, last) that contains it: a cumulative sum of starts minus ends.
        steps = torch.zeros(len(anchors), len(labels) + 1, dtype=torch.int64, device=labels.device)
        steps.scatter_add_(1, first, positive[anchors].long()).scatter_add_(1, last, -positive[anchors].long())
        as_negative = torch.zeros_like(count).scatter_(1, order, steps.cumsum(1)[:, :-1])
        weights[anchors] = (count - as_negative).to(weights)
        triplets += count.sum()
    return weights, triplets
