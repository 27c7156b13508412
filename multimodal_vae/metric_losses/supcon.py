"""Supervised contrastive loss."""

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from multimodal_vae.metric_losses.base import MetricLoss


class SupCon(MetricLoss):
    r"""Contrast each sample's class with the rest of the batch (Khosla et al. 2020, equation 2).

    .. math:: \frac{1}{|A|} \sum_{i \in A} \frac{-1}{|P(i)|} \sum_{p \in P(i)}
        \log \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \neq i} \exp(z_i \cdot z_a / \tau)}

    with latents *z* normalized to unit length, the other samples *P(i)* of the class of *i*, and the samples *A* for
    which there are any. As in the authors' code, the sum over *A* is a mean. Batches of one class, and batches without
    two samples of a class, contribute zero.

    Args:
        temperature: :math:`\tau`; default as in the paper of Khosla et al.

    Example:
        >>> SupCon(temperature=1.0)(torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1]))  # log(1 + exp(-1))
        tensor(0.3133)
    """

    def __init__(self, temperature: PositiveFloat = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the loss; time and memory grow with N squared."""
        diagonal = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        same_class = labels[:, None] == labels
        positive = same_class & ~diagonal
        anchors = positive.any(1) & ~same_class.all(1)
        unit = F.normalize(latents, dim=1)
        similarity = (unit @ unit.T / self.temperature).masked_fill(diagonal, -torch.inf)
        # Fill, not multiply: the diagonal is -inf, and zero times -inf is NaN.
        log_share = (similarity - similarity.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
        losses = -log_share.sum(1) / positive.sum(1).clamp_min(1)
        return torch.where(anchors, losses, 0).sum() / anchors.sum().clamp_min(1)
