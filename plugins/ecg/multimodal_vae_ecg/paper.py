"""Drawing on ECG paper: 25 mm a second and 10 mm a millivolt, with a line every millimeter."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Real = NDArray[np.float64]

SPEED, GAIN = 25.0, 10.0
"""mm a second, mm a millivolt."""

LINES = ((1, "#f8dada", 0.3), (5, "#eba9a9", 0.5))
"""Distance in mm, color and width in points of the paper's lines."""

MOST_LINES = 2500
"""More would only make a gray surface: 100 s, or a signal that is no ECG."""

PULSE = 0.2
"""Seconds that the calibration pulse of 1 mV lasts."""


def draw_on_paper(
    signal: Real, rate: float, names: Sequence[str], ax: "Axes", limits: tuple[float, float] = (-1.0, 1.5)
) -> None:
    """Draw (leads, samples) in mV, one lead under the other; a millimeter is as wide as it is high.

    Leads of two seconds or more begin with a calibration pulse; for shorter ones it would take too much of the paper.

    Args:
        signal: (leads, samples) in mV.
        rate: samples a second.
        names: of the leads; shown where there are several.
        ax: where to draw.
        limits: mV below the lowest and above the highest baseline that the paper reaches at least, whatever the signal:
            pictures side by side are then of one scale.
    """
    duration = signal.shape[1] / rate
    margin = 2 * PULSE if duration >= 2 else 0.0
    baselines = _baselines(signal, 1.5 if margin else 0.5)
    left, right = -margin, duration
    low = _to_line(baselines[-1] + min(float(signal[-1].min()) - 0.1, limits[0]), math.floor)
    high = _to_line(max(float(signal[0].max()) + 0.1, limits[1]), math.ceil)
    _draw_lines(ax, left, right, low, high)
    time = np.arange(signal.shape[1]) / rate
    for lead, name, baseline in zip(signal, names, baselines, strict=True):
        ax.plot(time, lead + baseline, color="black", linewidth=0.8, solid_joinstyle="round")
        if margin:
            pulse = np.array([[-1.75, 0], [-1.5, 0], [-1.5, 1], [-0.5, 1], [-0.5, 0], [-0.25, 0]]) * [PULSE, 1]
            ax.plot(pulse[:, 0], pulse[:, 1] + baseline, color="black", linewidth=0.8)
        if len(signal) > 1:
            above = float(lead[: math.ceil(rate * 0.3)].max()) + baseline
            ax.annotate(name, (0.0, above), (0, 2), textcoords="offset points", fontsize=7, annotation_clip=True)
    ax.set(xlim=(left, right), ylim=(low, high), xticks=[], yticks=[])
    ax.set_aspect(GAIN / SPEED)
    for spine in ax.spines.values():
        spine.set(color=LINES[-1][1], linewidth=LINES[-1][2])
    ax.set_xlabel(f"{SPEED:g} mm/s, {GAIN:g} mm/mV", fontsize=7)


def _baselines(signal: Real, least: float) -> list[float]:
    """Where 0 mV of each lead is: on a heavy line, and so far below the last that the two keep 0.25 mV apart."""
    baselines = [0.0]
    for above, below in pairwise(signal):
        room = max(least, float((below - above).max()) + 0.25)
        baselines.append(baselines[-1] - _to_line(room, math.ceil))
    return baselines


def _to_line(millivolts: float, toward: Callable[[float], int]) -> float:
    """The next heavy line, which are 0.5 mV apart, by ``math.floor`` or ``math.ceil``."""
    return toward(2 * millivolts) / 2


def _draw_lines(ax: "Axes", left: float, right: float, low: float, high: float) -> None:
    from matplotlib.collections import LineCollection

    for step, color, width in LINES:
        if ((right - left) * SPEED + (high - low) * GAIN) / step > MOST_LINES:
            continue
        x = np.arange(round(left * SPEED / step), right * SPEED / step + 1e-6) * step / SPEED
        y = np.arange(round(low * GAIN / step), round(high * GAIN / step) + 1) * step / GAIN
        lines = [[(each, low), (each, high)] for each in x] + [[(left, each), (right, each)] for each in y]
        ax.add_collection(LineCollection(lines, colors=color, linewidths=width, zorder=0), autolim=False)
