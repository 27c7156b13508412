"""Baseline wander out, and one sampling rate for all: what a recording goes through before it is a sample."""

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError

Real = NDArray[np.float64]

ORDER = 2
"""Of the Butterworth high-pass; running both ways doubles it, and makes the cut-off lose 6 dB."""

SHORTEST = 2.0
"""Periods of the cut-off; over less time, wander cannot be told from the heart beat itself."""

SURROUND = 3.0
"""Periods of the cut-off after which the filter has forgotten what came before, to one part in 10^5."""


def remove_wander(signal: Real, rate: float, cutoff: float) -> Real:
    """Take the slow wander of the baseline out of a signal (leads, samples), without moving any wave in time.

    A Butterworth high-pass runs forwards and backwards, so that its phase is zero; beyond both ends it sees the signal
    turned about its last value. A signal shorter than :data:`SHORTEST` periods of the cut-off loses its median
    instead, which is near its isoelectric line: a filter would take a part of the T wave for wander.

    Args:
        signal: in any unit.
        rate: samples a second.
        cutoff: in Hz, where half the amplitude is left; 0 leaves everything as it is.

    Raises:
        DataError: if the rate is too low for the cut-off.

    Example:
        >>> time = np.arange(5000) / 500
        >>> beat, wander = np.sin(2 * np.pi * 10 * time), np.sin(2 * np.pi * 0.1 * time)
        >>> float(np.abs(remove_wander((beat + wander)[None], 500, 0.5) - beat)[:, 1000:-1000].max().round(2))
        0.0
    """
    if not cutoff:
        return signal
    if rate <= 2 * cutoff:
        raise DataError(f"was sampled at {rate:g} Hz, too slowly for a high-pass at {cutoff:g} Hz; lower 'highpass'")
    if signal.shape[1] < SHORTEST * rate / cutoff:
        return np.asarray(signal - np.median(signal, axis=1, keepdims=True))
    from scipy.signal import butter, sosfiltfilt

    sections = butter(ORDER, cutoff, "highpass", fs=rate, output="sos")
    beyond = min(signal.shape[1] - 1, round(SURROUND * rate / cutoff))
    return np.asarray(sosfiltfilt(sections, signal, axis=1, padlen=beyond))
