"""Detail by frequency: what blur takes away, and most other measures do not notice."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

BANDS = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Edges of the bands, in cycles per element; 0.5 is the finest that a grid can hold."""


def energy(x: Tensor, bands: Sequence[float] = BANDS) -> Tensor:
    """Energy of each sample in each band of the radial power spectrum.

    Args:
        x: (N, channels, *space) of one modality, over one dimension of space or more.
        bands: ascending edges; a frequency belongs to the band whose upper edge it does not exceed. The mean, of
            frequency zero, belongs to none.

    Returns:
        (N, len(bands) - 1); zero where a grid is too coarse to have such frequencies.

    Source: Parseval's theorem: over bands up to √(dimensions) / 2, the sum is a sample's sum of squares about its mean.

    Example:
        >>> wave = torch.sin(2 * math.pi * 0.25 * torch.arange(64)).reshape(1, 1, 64)
        >>> [round(float(each), 3) for each in energy(wave)[0]]
        [0.0, 0.0, 0.0, 32.0]
    """
    return torch.stack([band.abs().square().sum((1, 2)) for band in _banded(x, bands)], 1)


def energy_ratio(x: Tensor, real: Tensor, bands: Sequence[float] = BANDS) -> Tensor:
    """Energy of samples over that of real ones, by band: one where they are as detailed, less where they are blurred.

    It counts noise as detail: noise that real samples have and generated ones lack looks like blur in the finest bands,
    and noise that a generator adds looks like sharpness. :func:`reproduced` does not, where samples are known in pairs.

    Returns:
        (len(bands) - 1,); NaN where real samples have no energy.
    """
    return energy(x, bands).mean(0) / energy(real, bands).mean(0)


def reproduced(x: Tensor, reference: Tensor, bands: Sequence[float] = BANDS, mask: Tensor | None = None) -> Tensor:
    """The share of a reference's energy that is found again, in its place, in what was made from it, by band.

    With F the reference's spectrum and G that of x, the gain is ``Re Σ F*G / Σ|F|²`` over samples, channels and the
    band's frequencies, and the share its square where it is positive: one for the reference itself; for a blur, its
    power transfer; near zero for whatever is unrelated, noise included. What all samples have in common counts as well.

    Args:
        x: (N, channels, *space), such as reconstructions.
        reference: the same samples, free of noise where that is known.
        bands: as for :func:`energy`.
        mask: (N, 1, *space) or one that broadcasts to it, of weights between zero and one: where to look.

    Returns:
        (len(bands) - 1,); NaN where the reference has no energy.

    Source: the gain is the least-squares transfer function pooled over a band; Bendat and Piersol, *Random data*
        (2010), chapter 6.

    Example:
        >>> x = torch.randn(4, 1, 32, 32)
        >>> [round(float(each), 6) for each in reproduced(0.5 * x, x)]
        [0.25, 0.25, 0.25, 0.25]
    """
    if x.shape != reference.shape:
        raise DataError(f"samples of shape {tuple(x.shape)} cannot be laid on references of {tuple(reference.shape)}")
    shares = []
    for g, f in zip(_banded(x, bands, mask), _banded(reference, bands, mask), strict=True):
        gain = (f.conj() * g).real.sum() / f.abs().square().sum()
        shares.append(gain.clamp(min=0).square())
    return torch.stack(shares)


def _banded(x: Tensor, bands: Sequence[float], mask: Tensor | None = None) -> list[Tensor]:
    """The spectrum of samples without their mean, (N, channels, frequencies), band by band."""
    if x.dim() < 3:
        raise DataError(f"samples of shape {tuple(x.shape)} have no space to look for detail in")
    x = x.detach().double()
    space = tuple(range(2, x.dim()))
    weight = torch.ones_like(x[:, :1]) if mask is None else mask.double().expand(len(x), 1, *x.shape[2:])
    total = weight.sum(space, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    x = (x - (weight * x).sum(space, keepdim=True) / total) * weight
    spectrum = torch.fft.fftn(x, dim=space) / math.sqrt(math.prod(x.shape[2:]))
    axes = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=x.dtype) for n in x.shape[2:]), indexing="ij")
    radius = torch.stack([axis.square() for axis in axes]).sum(0).sqrt()
    # An edge such as 0.2 is not met exactly by any frequency that should equal it.
    edges = [edge + 1e-9 for edge in bands]
    inside = [(radius > low) & (radius <= high) for low, high in pairwise(edges)]
    return [spectrum[:, :, chosen] for chosen in inside]
