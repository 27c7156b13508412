"""Made-up ECGs: every wave a Gaussian, every beat at its own distance; for tests and demonstrations."""

import math

import torch
from torch import Tensor

WAVES = {  # seconds after R, standard deviation in seconds, mV; ordinary values of lead II
    "P": (-0.16, 0.025, 0.12),
    "Q": (-0.035, 0.010, -0.08),
    "R": (0.0, 0.012, 1.0),
    "S": (0.035, 0.012, -0.2),
    "T": (0.26, 0.045, 0.3),
}


def synthetic_ecg(count: int, leads: int, rate: float, length: int) -> Tensor:
    """Draw ECGs (count, leads, length) in mV from torch's default generator.

    Heart rate is between 50 and 110 beats a minute with a variation of 4 % from beat to beat; each lead sees each wave
    with a size of its own. The sum of a Gaussian a wave follows McSharry et al., "A dynamical model for generating
    synthetic electrocardiogram signals" (IEEE Trans. Biomed. Eng. 50, 2003), without its differential equations.

    Args:
        count: how many.
        leads: leads of each.
        rate: samples a second.
        length: samples of each lead.

    Example:
        >>> synthetic_ecg(2, 3, 128.0, 256).shape
        torch.Size([2, 3, 256])
    """
    seconds = length / rate
    places, widths, sizes = torch.tensor(list(WAVES.values())).T
    interval = 60 / (50 + 60 * torch.rand(count, 1))
    beats = 3 + math.ceil(seconds / (60 / 110 * 0.7))
    intervals = interval * (1 + 0.04 * torch.randn(count, beats)).clamp(0.7, 1.3)
    # The second beat stands where a window round one beat would have it; the first only lends its T wave.
    peaks = 0.4 * min(seconds, 1.0) + intervals.cumsum(1) - intervals[:, :2].sum(1, keepdim=True)
    # T comes later in slow hearts; Bazett's square root is the usual rule.
    stretch = torch.where(places > 0.1, interval.sqrt(), torch.ones(()))
    centers = peaks[:, :, None] + places * stretch[:, None]
    amplitudes = sizes * (0.25 * torch.randn(count, leads, len(WAVES))).exp()
    amplitudes = amplitudes * (0.4 + 0.8 * torch.rand(count, leads, 1))
    time = torch.arange(length) / rate
    waves = torch.zeros(count, len(WAVES), length)
    for beat in centers.unbind(1):  # one at a time: all at once would not fit the memory for a day of ECG
        waves += torch.exp(-0.5 * ((time - beat[:, :, None]) / widths[:, None]).square())
    ecg: Tensor = amplitudes @ waves + 0.005 * torch.randn(count, leads, length)
    return ecg
