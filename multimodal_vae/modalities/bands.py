"""Figures that compare sets of signals over time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from multimodal_vae.modalities.ranges import COLORS, QUANTILES, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST, _HEIGHT = 24, 1.1  # channels, and inches of each


def draw_bands(sets: Mapping[str, Tensor], times: ArrayLike, time: str, channels: Sequence[str]) -> "Figure":
    """Return a figure with one row per channel: the median of each set, and a band from its 5 % to its 95 % quantile.

    Args:
        sets: signals (N, channels, length) by name of the set, at least one of each.
        times: points in time, (length,).
        time: label of their axis, with its unit.
        channels: label of each channel, with its unit; of more than 24, the first are shown.
    """
    from matplotlib.figure import Figure

    shown = channels[:_MOST]
    figure = Figure(figsize=(WIDTH, 0.9 + _HEIGHT * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
    for color, (name, samples) in zip(COLORS, sets.items(), strict=False):
        low, middle, high = np.quantile(samples.numpy(), QUANTILES, axis=0)
        for row, ax in enumerate(axes):
            ax.fill_between(times, low[row], high[row], color=color, alpha=0.25, linewidth=0)
            ax.plot(times, middle[row], color=color, linewidth=1, label=name)
    for ax, channel in zip(axes, shown, strict=True):
        ax.set_ylabel(channel, fontsize=7, parse_math=False)
        ax.tick_params(labelsize=7)
        ax.margins(x=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(f"{time}; line: median; band: 5 to 95 %", fontsize=8)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return figure
