"""The supervised contrastive loss."""

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from multimodal_vae.metric_losses.base import MetricLoss


class SupCon(MetricLoss):
    r"""Contrast each sample with its own class against the rest of the batch (Khosla et al. 2020, equation 2).

    .. math:: \frac{1}{|A|} \sum_{i \in A} \frac{-1}{|P(i)|} \sum_{p \in P(i)}
        \log \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \neq i} \exp(z_i \cdot z_a / \tau)}

    with latents *z* of unit length, *P(i)* the other samples of *i*'s class, and *A* the samples with a non-empty
    *P(i)*. The equation's sum is a mean here, as in the authors' code. A batch of one class, or without two samples of
    any class, gives zero.

    Args:
        temperature: :math:`\tau`; the authors found 0.1 best.

    Example:
        >>> SupCon(temperature=1.0)(torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1]))  # log(1 + exp(-1))
        tensor(0.3133)
    """

    def __init__(self, temperature: PositiveFloat = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss; time and memory grow with N squared."""
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        alike = labels[:, None] == labels
        anchors = (alike & ~itself).any(1) & ~alike.all(1)
        positive = (alike & ~itself)[anchors]
        unit = F.normalize(latents, dim=1)
        similarity = (unit[anchors] @ unit.T / self.temperature).masked_fill(itself[anchors], -torch.inf)
        # Entries of -inf are no positives: set them to zero, since zero times infinity is NaN.
        log_share = (similarity - similarity.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
        losses = -log_share.sum(1) / positive.sum(1)
        return losses.sum() / max(1, len(losses))
