"""Metrics of generated heart beats, as functions of arrays of beats (N, samples) in mV."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

RATE = 128.0
"""Sampling rate of beats, in Hz."""
PEAK = 0.4
"""Time from a beat's start to its R peak, in seconds."""
STEEP = 0.15
"""Slope at which a complex ends, as a share of its steepest slope."""
REACH = (0.16, 0.24)
"""Longest times before and after the R peak that belong to a complex, in seconds; no PVC is wider."""


def qrs_width(beats: Real, rate: float = RATE) -> NDArray[np.float64]:
    """Return the width of each beat's QRS complex in ms, (N,).

    The complex extends from the steepest point within 60 ms of the R peak to where the slope falls below :data:`STEEP`
    of that point's. Flat spots of up to 40 ms, the tips of waves, are ignored. Laguna, Jane and Caminal end waves by
    the same rule ("Automatic detection of wave boundaries in multilead ECG signals", Comput. Biomed. Res. 27, 1994).
    The result is shorter than a cardiologist's, who measures to the foot of the wave.

    Example:
        >>> time = np.arange(128) / 128 - 0.4
        >>> narrow, wide = (np.exp(-((time / spread) ** 2) / 2) for spread in (0.015, 0.03))
        >>> qrs_width(np.stack([narrow, wide])).round(-1).tolist()
        [80.0, 160.0]
    """
    from scipy.ndimage import grey_closing

    slope = np.abs(np.gradient(np.asarray(beats, dtype=np.float64), axis=1))
    slope = grey_closing(slope, size=(1, 2 * round(0.02 * rate) + 1))
    peak, near = round(PEAK * rate), round(0.06 * rate)
    first, last = peak - round(REACH[0] * rate), peak + round(REACH[1] * rate)
    widths = []
    for row in slope:
        steepest = peak - near + int(np.argmax(row[peak - near : peak + near + 1]))
        least = STEEP * row[steepest]
        flat_before = np.flatnonzero(row[first:steepest] < least)
        flat_after = np.flatnonzero(row[steepest : last + 1] < least)
        onset = _crossing(row, first + flat_before[-1], 1, least) if len(flat_before) else float(first)
        offset = _crossing(row, steepest + flat_after[0], -1, least) if len(flat_after) else float(last)
        widths.append(1000 * (offset - onset) / rate)
    return np.array(widths)


def _crossing(row: Real, below: int, step: int, level: float) -> float:
    """Return the position at which a level is crossed between a sample below it and the next one above it."""
    low, high = float(row[below]), float(row[below + step])
    return below + step * (level - low) / (high - low) if high > low else float(below)


def qrs_amplitude(beats: Real, rate: float = RATE) -> NDArray[np.float64]:
    """Return the peak-to-peak amplitude of each beat's QRS complex in mV, (N,), within 100 ms of the R peak.

    Example:
        >>> qrs_amplitude(np.eye(128)[[51]]).tolist()
        [1.0]
    """
    peak, near = round(PEAK * rate), round(0.1 * rate)
    return np.asarray(np.ptp(beats[:, peak - near : peak + near + 1], axis=1), dtype=np.float64)


def ripple(beats: Real) -> NDArray[np.float64]:
    """Return the root mean square of second differences in the last 0.25 s in mV, (N,).

    It measures mains hum, muscle noise and other noise, of which generated signals commonly have too little.
    """
    bends = np.diff(beats[:, -round(0.25 * RATE) :].astype(np.float64), 2)
    return np.asarray(np.sqrt((bends**2).mean(1)))


def train_judge(beats: Real, labels: Labels, seed: int = 0) -> Any:
    """Train a forest that classifies beats, with equal weights of the classes."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(200, class_weight="balanced", random_state=seed, n_jobs=1).fit(beats, labels)


def balanced_accuracy(labels: Labels, predicted: Labels) -> float:
    """Return the mean over the classes of the share that was recognized.

    Example:
        >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
        0.5
    """
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


def accuracy_by_recording(labels: Labels, predicted: Labels, recordings: Labels) -> float:
    """Return the balanced accuracy with equal weights of the recordings within a class.

    Example:
        >>> accuracy_by_recording(np.array([1, 1, 1, 1]), np.array([1, 1, 1, 0]), np.array([7, 7, 7, 8]))
        0.5
    """
    shares = []
    for label in np.unique(labels):
        of_class = labels == label
        by_recording = [
            (predicted[of_class & (recordings == each)] == label).mean() for each in np.unique(recordings[of_class])
        ]
        shares.append(np.mean(by_recording))
    return float(np.mean(shares))


def gaussian_pairs(
    beats: Real, rhythm: Real, labels: Labels, count: int, seed: int, components: int = 20
) -> dict[str, Real]:
    """Sample the baseline: one Gaussian per class over principal components of beats, and rhythm.

    Returns:
        ``ecg`` (classes * count, samples) and ``rhythm`` (classes * count, 4), classes in order.
    """
    from sklearn.decomposition import PCA

    space, rng = PCA(components, random_state=0).fit(beats), np.random.default_rng(seed)
    joint = np.hstack([space.transform(beats), rhythm])
    samples = np.concatenate(
        [
            rng.multivariate_normal(joint[labels == label].mean(0), np.cov(joint[labels == label].T), count)
            for label in np.unique(labels)
        ]
    )
    return {"ecg": space.inverse_transform(samples[:, :components]), "rhythm": samples[:, components:]}


def train_rhythm_reader(beats: Real, rhythm: Real, seed: int = 0) -> Any:
    """Train a forest that predicts the rhythm from the beat."""
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(100, random_state=seed, n_jobs=1).fit(beats, rhythm)


def within_class_correlation(first: Real, second: Real, labels: Labels) -> NDArray[np.float64]:
    """Return the correlation of two sets of numbers (N, K) within each class, (classes, K)."""
    return np.array(
        [
            [np.corrcoef(first[labels == label, k], second[labels == label, k])[0, 1] for k in range(first.shape[1])]
            for label in np.unique(labels)
        ]
    )
