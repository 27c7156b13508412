"""The center loss: one learned center per class."""

import torch
from torch import Tensor, nn

from multimodal_vae.metric_losses.base import MetricLoss


class Center(MetricLoss):
    r"""Return half the squared distance of samples from the center of their class, averaged over the batch.

    .. math:: \frac{1}{2N} \sum_i \lVert z_i - c_{y_i} \rVert^2

    (Wen et al. 2016, equation 2, with a mean instead of a sum, so that the loss does not depend on the batch size.)

    The loss pulls classes together but does not separate them: its authors add it to a classification loss, and here
    the reconstruction losses keep the centers apart. Centers are ordinary weights; the authors' update rule (equation
    4) is a gradient step of another length. An empty batch gives zero.

    Example:
        >>> loss = Center()
        >>> loss.build(latent_dim=2, classes=1)
        >>> with torch.no_grad():
        ...     _ = loss.centers.zero_()
        >>> loss(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([0, 0])).item()
        6.25
    """

    def build(self, latent_dim: int, classes: int) -> None:
        """Draw the centers, (classes, latent_dim), from the prior N(0, I)."""
        self.centers = nn.Parameter(torch.randn(classes, latent_dim))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss; time and memory grow linearly with N."""
        squared = (latents - self.centers[labels]).square().sum(1)
        return 0.5 * squared.sum() / max(1, len(labels))
