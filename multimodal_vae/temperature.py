"""The temperature of a reconstruction loss that is no likelihood, and the number of measurements that it judges."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from multimodal_vae.modalities.base import Modality
from multimodal_vae.nn import Standardize
from multimodal_vae.scopes import evaluating

ROWS = 512
"""Maximum number of training samples that calibrate a temperature."""

BYTES = 1 << 27
"""Maximum bytes of these samples (128 MiB)."""

SMALLEST = 1e-6
"""Smallest temperature, as a share of the untrained decoder's loss; without it, a constant modality would outweigh all
others."""

_TINY = torch.finfo(torch.float32).tiny


class Temperature(nn.Module):
    """Turn a modality's loss into nats: ``E (L / s + log s)``, with the temperature s.

    This is, up to a constant, the negative logarithm of a density ``exp(-E L / s) / s ** E``. Its best temperature has
    a closed form, the mean of L over the batch, which is not differentiated. So the gradient does not depend on the
    units of the loss. Source: Rybkin, Daniilidis and Levine, *Simple and effective VAE training with calibrated
    decoders* (2021), section 3.2, for squared errors: with E half the number of :func:`independent_measurements`, a
    mean squared error is the negative log-likelihood of a Gaussian.

    L is the loss above :meth:`~multimodal_vae.Modality.least_loss`. If its mean is negative, the
    loss must be a negative log-likelihood, and counts as such: summed over the elements.

    Args:
        modality: modality whose :meth:`~multimodal_vae.Modality.likelihood` is None.
    """

    measurements: Tensor
    smallest: Tensor

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        self.elements = modality.elements
        self.register_buffer("measurements", torch.tensor(float(modality.elements)))  # until they are counted
        self.register_buffer("smallest", torch.tensor(_TINY))

    def calibrate(self, modality: Modality, decoder: nn.Module, latent_dim: int, samples: Tensor) -> None:
        """Set the buffers from training samples (N, *shape) and the decoder, which is not trained yet."""
        samples = evenly_spaced(samples, min(ROWS, max(1, BYTES // (4 * samples[0].numel())))).to(self.smallest.device)
        with evaluating(decoder):
            decoded = decoder(torch.zeros(len(samples), latent_dim, device=samples.device))
            loss = modality.reconstruction_loss(decoded, samples) - modality.least_loss(samples)
            self.smallest.copy_((SMALLEST * loss.mean()).clamp_min(_TINY))
            self.measurements.fill_(independent_measurements(samples, latent_dim))

    def forward(self, loss: Tensor, weight: Tensor, gather: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """Return nats, (N,).

        Args:
            loss: (N,), zero where the modality is absent.
            weight: (N,), weight of each loss that ``loss`` already contains; zero where the modality is absent.
            gather: concatenates rows over all processes that share a batch.
        """
        total, count = gather(torch.stack([loss.sum(), weight.sum()]).detach()[None]).sum(0)
        scale = torch.maximum(total / count.clamp_min(_TINY), self.smallest)
        nats = self.measurements / 2 * (loss / scale + weight * scale.log())
        return torch.where(total < 0, self.elements * loss, nats)


def evenly_spaced(rows: Tensor, most: int) -> Tensor:
    """Return at most so many rows, evenly spaced.

    Example:
        >>> evenly_spaced(torch.arange(10), 4)
        tensor([0, 2, 5, 7])
    """
    return rows if len(rows) <= most else rows[torch.arange(most) * len(rows) // most]


def independent_measurements(samples: Tensor, latent_dim: int) -> float:
    """Return how many of a sample's elements are independent, given ``latent_dim`` numbers that describe it.

    Neighboring pixels are off together: 12,288 of them are not 12,288 measurements, and counting each would drown the
    prior. What the largest principal components of one half of the samples leave of the other half has a power spectrum
    p; a sum of squares with this spectrum varies like one of ``(sum of p)**2 / (sum of p**2)`` independent terms
    (Satterthwaite, *An approximate distribution of estimates of variance components*, 1946). So the number hardly
    depends on the resolution. Elements are standardized first: their units do not matter.

    Args:
        samples: (N, *shape).
        latent_dim: number of principal components, at most a quarter of the elements and of the samples.

    Example:
        >>> x = torch.randn(400, 8, 16, generator=torch.Generator().manual_seed(0))
        >>> smooth = torch.nn.functional.avg_pool2d(x, 5, stride=1)  # means of 25 pixels, (400, 4, 12)
        >>> [round(independent_measurements(values, 4)) for values in (x, smooth)]
        [127, 22]
    """
    shape = samples.shape[1:]
    standardize = Standardize(shape).to(samples.device)
    standardize.measure(samples)
    x = standardize(samples).nan_to_num(0.0, 0.0, 0.0).flatten(1)  # missing elements count as their mean
    fitted, rest = x[::2], x[1::2]
    if not len(rest):
        return float(shape.numel())
    directions = torch.linalg.eigh(fitted @ fitted.T)[1]  # by increasing variance
    count = min(latent_dim, *(n // 4 for n in x.shape))
    components = torch.linalg.qr(fitted.T @ directions[:, len(fitted) - count :])[0]
    residual = rest - rest @ components @ components.T
    if residual.square().sum() < 1e-6 * rest.square().sum():  # rounding errors
        residual = rest
    power = torch.fft.fftn(residual.reshape(-1, *shape), dim=tuple(range(1, len(shape) + 1))).abs().square().mean(0)
    found = float(power.sum() ** 2 / power.square().sum())
    return found if math.isfinite(found) else float(shape.numel())
