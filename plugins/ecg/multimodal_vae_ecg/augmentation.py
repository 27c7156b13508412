"""Random changes to ECGs (N, leads, samples): each draws from torch's default generator, a draw a sample of the batch.

A heart never beats backwards, and an inverted complex is another diagnosis: nothing here flips time or sign.
"""

import math

import torch
from torch import Tensor

WANDER = (0.05, 0.5)
"""Hz; baseline wander comes from breathing and moving, and a high-pass at 0.5 Hz is what usually takes it out."""


def scaled(x: Tensor, gain: float) -> Tensor:
    """Multiply all leads of a sample by one factor between 1 / (1 + gain) and 1 + gain, evenly in its logarithm.

    One factor for all, so that leads keep to Einthoven's law, III = II - I.
    """
    exponent = 2 * torch.rand(len(x), 1, 1, device=x.device) - 1
    return x * (math.log1p(gain) * exponent).exp()


def shifted(x: Tensor, samples: int) -> Tensor:
    """Move all leads of a sample by up to so many samples either way; what comes into view repeats the last value."""
    length = x.shape[-1]
    offset = torch.randint(-samples, samples + 1, (len(x), 1, 1), device=x.device)
    source = (torch.arange(length, device=x.device) - offset).clamp(0, length - 1)
    return x.gather(-1, source.expand(x.shape))


def wandering(x: Tensor, rate: float, amplitude: float) -> Tensor:
    """Add a slow sine to each lead: amplitude up to the given one, frequency one for all leads of a sample."""
    low, high = WANDER
    seconds = torch.arange(x.shape[-1], device=x.device) / rate
    frequency = low + (high - low) * torch.rand(len(x), 1, 1, device=x.device)
    phase, share = torch.rand(2, *x.shape[:2], 1, device=x.device).unbind(0)
    return x + amplitude * share * torch.sin(2 * math.pi * (frequency * seconds + phase))


def without_leads(x: Tensor, probability: float) -> Tensor:
    """Make leads flat, each with a probability, as a loose electrode does; one lead of a sample is always kept."""
    draw = torch.rand(x.shape[:2], device=x.device)
    loose = (draw < probability) & (draw < draw.amax(1, keepdim=True))
    return x.masked_fill(loose[..., None], 0.0)
