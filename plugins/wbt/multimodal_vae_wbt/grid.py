"""The common grid of pressure and frequency, and bilinear resampling onto it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae_wbt.sweep import Sweep

Real = NDArray[np.float64]
FrequencyAxis = Literal["log", "linear"]

SLACK = 1e-6
"""Share of the wanted range by which a measurement may fall short of it: what rounding does to the ends of an axis."""


UNITS = {"Pressure": {"hPa": 10.0, "mmHg": 13.3322, "kPa": 100.0}, "Frequency": {"kHz": 1000.0}}
"""Units in which a measurement may be by mistake, each with its size in the unit of the grid, in
ascending order."""


class Resampled(NamedTuple):
    """A measurement on the grid.

    Attributes:
        absorbance: (pressures, frequencies) in [0, 1].
        clipped: how many measured values, of those that the grid uses, were outside [0, 1].
    """

    absorbance: Real
    clipped: int


@dataclass(frozen=True)
class Grid:
    """A regular grid.

    Attributes:
        size: steps of pressure, steps of frequency.
        pressure: first and last, in daPa; evenly spaced.
        frequency: first and last, in Hz.
        frequency_axis: evenly spaced in the logarithm of the frequency, or in the frequency.

    Example:
        >>> grid = Grid((3, 3), (200.0, -200.0), (250.0, 4000.0), "log")
        >>> grid.pressures.tolist(), grid.frequencies.round().tolist()
        ([200.0, 0.0, -200.0], [250.0, 1000.0, 4000.0])
    """

    size: tuple[int, int]
    pressure: tuple[float, float]
    frequency: tuple[float, float]
    frequency_axis: FrequencyAxis

    @cached_property
    def pressures(self) -> Real:
        """Pressure of each row, in daPa."""
        return np.linspace(*self.pressure, self.size[0])

    @cached_property
    def frequencies(self) -> Real:
        """Frequency of each column, in Hz; both ends are exact."""
        return (np.geomspace if self.frequency_axis == "log" else np.linspace)(*self.frequency, self.size[1])

    def resample(self, sweep: Sweep) -> Resampled:
        """Interpolate a sweep, linearly in pressure and in the coordinate in which the frequencies are evenly spaced.

        Samples are sorted, and those at one pressure or frequency averaged, so that a sweep gives the same whichever
        way it ran. Values are clipped before they are interpolated: one that a leak threw far out of [0, 1] must not
        reach its neighbors.

        Raises:
            DataError: if the sweep does not cover the grid.
        """
        pressure, absorbance = _ascending(sweep.pressure, sweep.absorbance)
        frequency, transposed = _ascending(sweep.frequency, absorbance.T)
        rows = _cover("Pressure", "daPa", pressure, self.pressures)
        columns = _cover("Frequency", "Hz", frequency, self.frequencies)
        used = transposed.T[rows, columns]
        clipped = used.clip(0, 1)
        coordinate = np.log if self.frequency_axis == "log" else np.asarray
        along_pressure = _interpolate(pressure[rows], clipped, self.pressures)
        resampled = _interpolate(coordinate(frequency[columns]), along_pressure.T, coordinate(self.frequencies)).T
        return Resampled(resampled, int((used != clipped).sum()))


def _ascending(axis: Real, values: Real) -> tuple[Real, Real]:
    """Sort (n,) with the rows of (n, m), averaging the rows of equal values."""
    unique, place, count = np.unique(axis, return_inverse=True, return_counts=True)
    sums = np.zeros((len(unique), values.shape[1]))
    np.add.at(sums, place, values)
    return unique, sums / count[:, None]


def _cover(name: str, unit: str, measured: Real, wanted: Real) -> slice:
    """Return the part of an ascending axis that the grid uses, and refuse to extrapolate."""
    low, high = float(wanted.min()), float(wanted.max())
    slack = SLACK * (high - low)
    if measured[0] > low + slack or measured[-1] < high - slack:
        raise DataError(
            f"{name} was measured from {measured[0]:g} to {measured[-1]:g} {unit} and the grid reaches from {low:g} to "
            f"{high:g} {unit}: {_advice(name, measured, low + slack, high - slack)}"
        )
    first = max(0, int(np.searchsorted(measured, low, side="right")) - 1)
    last = min(len(measured) - 1, int(np.searchsorted(measured, high, side="left")))
    return slice(first, last + 1)


def _advice(name: str, measured: Real, low: float, high: float) -> str:
    """Say how to mend a range that does not cover the grid's: by its unit, if that would do."""
    for unit, factor in UNITS[name].items():
        covers = measured[0] * factor <= low and measured[-1] * factor >= high
        if covers and factor * (measured[-1] - measured[0]) < 4 * (high - low):
            return f"it seems to be in {unit}; multiply it by {factor:g}"
    return (
        f"values are never extrapolated; set {name.lower()} to a range that every sweep covers, or leave this one out"
    )


def _interpolate(axis: Real, values: Real, wanted: Real) -> Real:
    """Interpolate the rows of (n, m) on an ascending axis (n,) linearly at wanted places."""
    wanted = wanted.clip(axis[0], axis[-1])
    left = np.searchsorted(axis, wanted, side="right").clip(1, len(axis) - 1) - 1
    share = ((wanted - axis[left]) / (axis[left + 1] - axis[left]))[:, None]
    return np.asarray((1 - share) * values[left] + share * values[left + 1])
