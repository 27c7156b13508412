"""Detail by spatial frequency, which blur reduces and most other metrics do not notice."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

BANDS = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Edges of the frequency bands, in cycles per element; 0.5 is the Nyquist frequency."""


def energy(x: Tensor, bands: Sequence[float] = BANDS) -> Tensor:
    """Return the energy of each sample in each band of the radial power spectrum.

    Args:
        x: (N, channels, *space) of one modality, with at least one spatial dimension.
        bands: ascending edges; a band includes its upper edge. The mean, at frequency zero, is in no band.

    Returns:
        (N, len(bands) - 1); zero if the grid is too coarse for a band.

    Source: Parseval's theorem: over bands up to √(dimensions) / 2, the sum is a sample's sum of squares about its mean.

    Example:
        >>> wave = torch.sin(2 * math.pi * 0.25 * torch.arange(64)).reshape(1, 1, 64)
        >>> [round(float(each), 3) for each in energy(wave)[0]]
        [0.0, 0.0, 0.0, 32.0]
    """
    return torch.stack([band.abs().square().sum((1, 2)) for band in _banded(x, bands)], 1)


def energy_ratio(x: Tensor, real: Tensor, bands: Sequence[float] = BANDS) -> Tensor:
    """Return the energy of samples over that of real ones per band; one if as detailed, less if blurred.

    Noise counts as detail: missing noise looks like blur in the finest bands, added noise like sharpness. Use
    :func:`reproduced_energy` if samples and references form pairs.

    Returns:
        (len(bands) - 1,); NaN if real samples have no energy.
    """
    return energy(x, bands).mean(0) / energy(real, bands).mean(0)


def reproduced_energy(
    x: Tensor, reference: Tensor, bands: Sequence[float] = BANDS, mask: Tensor | None = None
) -> Tensor:
    """Return the share of a reference's energy that samples reproduce in place, per band.

    With F the spectrum of the reference and G that of x, the gain is ``Re Σ F*G / Σ|F|²`` over samples, channels and
    the frequencies of a band. The share is the squared gain if it is positive, else zero: one for the reference
    itself, the power transfer for a blur, near zero for unrelated samples and noise. Content that all samples share
    counts as well.

    Args:
        x: (N, channels, *space), such as reconstructions.
        reference: (N, channels, *space), the same samples, without noise if known.
        bands: as for :func:`energy`.
        mask: weights between zero and one, broadcast to (N, 1, *space); None: all elements count.

    Returns:
        (len(bands) - 1,); NaN if the reference has no energy.

    Source: the gain is the least-squares transfer function pooled over a band; Bendat and Piersol, *Random data*
        (2010), chapter 6.

    Example:
        >>> x = torch.randn(4, 1, 32, 32)
        >>> [round(float(each), 6) for each in reproduced_energy(0.5 * x, x)]
        [0.25, 0.25, 0.25, 0.25]
    """
    if x.shape != reference.shape:
        raise DataError(f"samples have shape {tuple(x.shape)}, but references have {tuple(reference.shape)}")
    shares = []
    for g, f in zip(_banded(x, bands, mask), _banded(reference, bands, mask), strict=True):
        gain = (f.conj() * g).real.sum() / f.abs().square().sum()
        shares.append(gain.clamp(min=0).square())
    return torch.stack(shares)


def _banded(x: Tensor, bands: Sequence[float], mask: Tensor | None = None) -> list[Tensor]:
    """Return the spectrum of samples without their mean per band, (N, channels, frequencies)."""
    if x.dim() < 3:
        raise DataError(f"samples of shape {tuple(x.shape)} have no spatial dimension")
    x = x.detach().double()
    space = tuple(range(2, x.dim()))
    weight = torch.ones_like(x[:, :1]) if mask is None else mask.double().expand(len(x), 1, *x.shape[2:])
    total = weight.sum(space, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    x = (x - (weight * x).sum(space, keepdim=True) / total) * weight
    spectrum = torch.fft.fftn(x, dim=space) / math.sqrt(math.prod(x.shape[2:]))
    axes = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=x.dtype) for n in x.shape[2:]), indexing="ij")
    radius = torch.stack([axis.square() for axis in axes]).sum(0).sqrt()
    # Rounding keeps frequencies from equaling an edge such as 0.2 exactly.
    edges = [edge + 1e-9 for edge in bands]
    inside = [(radius > low) & (radius <= high) for low, high in pairwise(edges)]
    return [spectrum[:, :, chosen] for chosen in inside]
