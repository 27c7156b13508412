"""The wideband tympanometer: sweeps the canal pressure and writes the absorbance it measures to a `.mat` file.

The axes and fields are those of the Interacoustics Titan as in published recordings: 107 frequencies, a pressure axis
that is irregular and differs from record to record, and conventional tympanograms at four frequencies besides. Noise,
bias and artifacts are modeling choices.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.ndimage import gaussian_filter1d

from simulator.causes import Ear, State
from simulator.middle_ear import energy_absorbance, impedance

Real = NDArray[np.float64]

# 1/24 octave down from 8 kHz to 594.6 Hz; below that the instrument's grid is irregular. The first six of these values
# are the instrument's; the other ten are a choice among the 1/24-octave frequencies.
_LOWEST = (226.0, 257.33, 280.62, 297.30, 324.21, 343.49)
_LOW = (363.91, 385.55, 408.48, 432.77, 458.50, 471.94, 500.0, 514.65, 545.25, 577.68)
FREQUENCIES: Real = np.round(np.concatenate([_LOWEST, _LOW, 8000 * 2 ** (-np.arange(90, -1, -1) / 24)]), 2)
"""Hz, 107 values from 226 to 8000, of which 83 at or below 4000."""
ADMITTANCE_FREQUENCIES: Real = np.array([226.0, 678.0, 800.0, 1000.0])
"""Hz of the conventional tympanograms."""

LEAKS = 0.03
MOVEMENTS = 0.06
HEADER = b"MATLAB 5.0 MAT-file, simulated wideband tympanogram, not for diagnosis"


@dataclass(frozen=True)
class Probe:
    """One instrument, with the small errors left by its calibration."""

    level: float
    """Bias of absorbance."""
    tilt: float
    """Bias of absorbance per decade of frequency, zero at 1 kHz."""
    gain: float
    """Factor on admittance."""


def probes() -> tuple[Probe, ...]:
    """The clinic's instruments."""
    return (Probe(0.0, 0.0, 1.0), Probe(0.008, -0.012, 1.02), Probe(-0.010, 0.010, 0.985))


@dataclass(frozen=True)
class Measurement:
    """What the instrument reports for one ear: sweep order, values as they come."""

    pressure: Real
    """(P,) daPa over ambient."""
    absorbance: Real
    """(P, 107); noise may take it a little out of 0 to 1."""
    admittance: Real
    """(P, 4) magnitude, mmho, canal included."""
    phase: Real
    """(P, 4) degrees."""


def measure(ear: Ear, state: State, probe: Probe, rng: np.random.Generator) -> Measurement:
    """Sweeps the canal pressure over an ear."""
    downwards = rng.random() < 0.75
    pressure = _pressure_axis(rng)
    if not downwards:
        pressure = pressure[::-1].copy()
    # The drum lags behind the pump, so the peak appears further along the sweep than the middle-ear pressure lies.
    lag = rng.uniform(4, 12) * (1 if downwards else -1)
    frequencies = np.concatenate([FREQUENCIES, ADMITTANCE_FREQUENCIES])
    at_probe = impedance(ear, state, frequencies, pressure + lag)
    if rng.random() < LEAKS:
        at_probe = _leaking(at_probe, frequencies, rng)

    absorbance = energy_absorbance(at_probe[:, : len(FREQUENCIES)], ear.canal_area)
    absorbance = absorbance + probe.level + probe.tilt * np.log10(FREQUENCIES / 1e3)
    absorbance = absorbance + _noise(rng, len(pressure))
    if rng.random() < MOVEMENTS:
        absorbance = absorbance + _movement(rng, len(pressure))

    admittance = probe.gain * 1e3 / at_probe[:, len(FREQUENCIES) :]
    uneven = rng.normal(size=(2, *admittance.shape))
    admittance = admittance * (1 + 0.01 * (uneven[0] + 1j * uneven[1]))
    return Measurement(
        pressure=np.round(pressure, 1),
        absorbance=np.round(absorbance, 5),
        admittance=np.round(np.abs(admittance), 4),
        phase=np.round(np.degrees(np.angle(admittance)), 2),
    )


def to_mat(measurement: Measurement) -> bytes:
    """The measurement as a MATLAB file with one struct `WBT`; equal measurements give equal bytes."""
    struct = {
        "Pressure": measurement.pressure[:, None],
        "Frequency": FREQUENCIES[None, :],
        "Absorbance": measurement.absorbance,
        "FrequencyAdmittance": ADMITTANCE_FREQUENCIES[None, :],
        "YAdmittance": measurement.admittance,
        "PhaseAdmittance": measurement.phase,
    }
    buffer = io.BytesIO()
    savemat(buffer, {"WBT": struct})  # type: ignore[arg-type]  # the stubs know paths only
    # The format opens with 116 bytes of free text, where scipy writes the time.
    return HEADER.ljust(116) + buffer.getvalue()[116:]


def _pressure_axis(rng: np.random.Generator) -> Real:
    """Falling pressures from about 200 to -300 daPa, unevenly spaced as the pump's speed varies."""
    count = int(rng.integers(45, 71))
    speed = np.exp(gaussian_filter1d(0.5 * rng.normal(size=count - 1), 2) + 0.08 * rng.normal(size=count - 1))
    way = np.concatenate([[0.0], np.cumsum(speed)]) / speed.sum()
    start, end = rng.uniform(188, 212), -rng.uniform(288, 312)
    return np.asarray(start + (end - start) * way)


def _noise(rng: np.random.Generator, count: int) -> Real:
    """Measurement noise: larger at low frequencies, where the ear absorbs little; smooth along the pressure.

    Breathing, pulse and small movements change slowly over the sweep; a small part is new at each pressure.
    """
    slow = gaussian_filter1d(rng.normal(size=(count, len(FREQUENCIES))), 4, axis=0)
    slow = gaussian_filter1d(slow, 2, axis=1)
    fast = gaussian_filter1d(rng.normal(size=(count, len(FREQUENCIES))), 1, axis=1)
    size = 0.006 + 0.016 * (226 / FREQUENCIES) ** 0.8
    return np.asarray(size * (slow / slow.std() + 0.35 * fast / fast.std()))


def _movement(rng: np.random.Generator, count: int) -> Real:
    """A swallow or a turn of the head: a few pressures off, mostly at low frequencies."""
    rows = np.exp(-0.5 * ((np.arange(count) - rng.uniform(0, count)) / rng.uniform(0.5, 1.5)) ** 2)
    columns = (226 / FREQUENCIES) ** rng.uniform(0.2, 0.8)
    return np.asarray(rng.normal() * 0.12 * rows[:, None] * columns)


def _leaking(at_probe: NDArray[np.complex128], frequencies: Real, rng: np.random.Generator) -> NDArray[np.complex128]:
    """A narrow slit beside the tip, parallel to the ear; it raises low-frequency absorbance (Groon et al. 2015)."""
    slit = rng.uniform(300, 900) + 2j * np.pi * frequencies * rng.uniform(0.15, 0.4)
    return np.asarray(at_probe * slit / (at_probe + slit))
