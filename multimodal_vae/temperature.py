"""The temperature of a reconstruction loss that is no likelihood."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from multimodal_vae.modalities.base import Modality
from multimodal_vae.scopes import evaluating

ROWS = 512
"""Maximum number of training samples that calibrate a temperature."""

SMALLEST = 1e-6
"""Smallest temperature, as a share of the untrained decoder's loss; without it, a constant modality would outweigh all
others."""

_TINY = torch.finfo(torch.float32).tiny


class Temperature(nn.Module):
    """Turn a modality's loss into nats: ``E (L / s + log s)``, for E independent measurements and the temperature s.

    This is, up to a constant, the negative logarithm of a density ``exp(-E L / s) / s ** E``. Its best temperature has
    a closed form, the mean of L over the batch, which is not differentiated. So the gradient does not depend on the
    units of the loss. Source: Rybkin, Daniilidis and Levine, *Simple and effective VAE training with calibrated
    decoders* (2021), section 3.2, for squared errors.

    L is the loss above :meth:`Modality.least_loss <multimodal_vae.Modality.least_loss>`. If its mean is negative, the
    loss must be a negative log-likelihood, and counts as such: summed over the elements.

    Args:
        modality: modality whose :meth:`~multimodal_vae.Modality.likelihood` is None.
    """

    measurements: Tensor
    smallest: Tensor

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.elements = modality.elements
        self.register_buffer("measurements", torch.tensor(float(modality.elements)))
        self.register_buffer("smallest", torch.tensor(_TINY))

    def calibrate(self, modality: Modality, decoder: nn.Module, latent_dim: int, samples: Tensor) -> None:
        """Set the buffers from training samples (N, *shape) and the decoder, which is not trained yet."""
        count = min(ROWS, len(samples))
        samples = samples[torch.arange(count) * len(samples) // count].to(self.smallest.device)
        with evaluating(decoder):
            decoded = decoder(torch.zeros(count, latent_dim, device=samples.device))
            loss = modality.reconstruction_loss(decoded, samples) - modality.least_loss(samples)
            self.smallest.copy_((SMALLEST * loss.mean()).clamp_min(_TINY))

    def forward(self, loss: Tensor, weight: Tensor, gather: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """Return nats, (N,).

        Args:
            loss: (N,), zero where the modality is absent.
            weight: (N,), weight of each loss that ``loss`` already contains; zero where the modality is absent.
            gather: concatenates rows over all processes that share a batch.
        """
        total, count = gather(torch.stack([loss.sum(), weight.sum()]).detach()[None]).sum(0)
        scale = torch.maximum(total / count.clamp_min(_TINY), self.smallest)
        nats = self.measurements * (loss / scale + weight * scale.log())
        return torch.where(total < 0, self.elements * loss, nats)
