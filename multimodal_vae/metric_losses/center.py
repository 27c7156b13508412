"""The center loss: a learned center a class, near which its samples should be."""

import torch
from torch import Tensor, nn

from multimodal_vae.metric_losses.base import MetricLoss


class Center(MetricLoss):
    r"""Half the squared distance of a sample from the center of its class, a mean over the batch.

    .. math:: \frac{1}{2N} \sum_i \lVert z_i - c_{y_i} \rVert^2

    (Wen et al. 2016, equation 2, whose sum is a mean here, so that the batch's size is no weight.)

    It draws each class together and none apart: its authors put it beside a classifier's loss, and here it is the
    reconstruction that keeps the centers from falling into one. The centers are weights like any other; the authors'
    rule of their own for moving them (equation 4) is a gradient step of another length. A batch of one class, and a
    class of one sample, count as any other; an empty batch contributes zero.

    Example:
        >>> loss = Center()
        >>> loss.build(latent_dim=2, classes=1)
        >>> with torch.no_grad():
        ...     _ = loss.centers.zero_()
        >>> loss(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([0, 0])).item()
        6.25
    """

    def build(self, latent_dim: int, classes: int) -> None:
        """Draw the centers, (classes, latent_dim), from the latent's prior."""
        self.centers = nn.Parameter(torch.randn(classes, latent_dim))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss; time and memory grow with the samples."""
        squared = (latents - self.centers[labels]).square().sum(1)
        return 0.5 * squared.sum() / max(1, len(labels))
