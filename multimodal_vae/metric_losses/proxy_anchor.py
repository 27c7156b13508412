"""The proxy anchor loss: samples are compared with one learned proxy per class."""

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from multimodal_vae.metric_losses.base import MetricLoss


class ProxyAnchor(MetricLoss):
    r"""Pull samples toward the proxy of their class and push others away, hard samples most.

    .. math:: \frac{1}{|P^+|} \sum_{p \in P^+} \log\Bigl(1 + \sum_{x \in X_p^+} e^{-\alpha (s(x, p) - \delta)}\Bigr)
        + \frac{1}{|P|} \sum_{p \in P} \log\Bigl(1 + \sum_{x \in X_p^-} e^{\alpha (s(x, p) + \delta)}\Bigr)

    with the cosine similarity *s*, all proxies *P*, and those whose class is in the batch :math:`P^+` (Kim et al. 2020,
    equation 4). Samples are not compared with each other, so a batch may have one class, and a class one sample. An
    empty batch gives zero. Proxies learn at the rate of all other weights.

    Args:
        margin: :math:`\delta`, in units of the cosine similarity; the authors use 0.1.
        scale: :math:`\alpha`, the sharpness; the authors use 32.

    Example:
        >>> loss = ProxyAnchor()
        >>> loss.build(latent_dim=4, classes=3)
        >>> loss(torch.randn(6, 4), torch.arange(6) % 3).shape
        torch.Size([])
    """

    def __init__(self, margin: NonNegativeFloat = 0.1, scale: PositiveFloat = 32.0) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale

    def build(self, latent_dim: int, classes: int) -> None:
        """Draw the proxies, (classes, latent_dim), from the normal distribution of the authors' code."""
        self.proxies = nn.Parameter(torch.empty(classes, latent_dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss; time and memory grow with N times the number of classes."""
        similarity = F.normalize(latents, dim=1) @ F.normalize(self.proxies, dim=1).T
        own = labels[:, None] == torch.arange(len(self.proxies), device=labels.device)
        near = _log_one_plus_sum_exp(-self.scale * (similarity - self.margin), own)
        far = _log_one_plus_sum_exp(self.scale * (similarity + self.margin), ~own)
        return near.sum() / own.any(0).sum().clamp_min(1) + far.mean()


def _log_one_plus_sum_exp(x: Tensor, mask: Tensor) -> Tensor:
    """Return log(1 + sum of masked exponentials) per column; the sum may be empty."""
    exponents = x.masked_fill(~mask, -torch.inf)
    return torch.cat([x.new_zeros(1, x.shape[1]), exponents]).logsumexp(0)
