"""What files of measurements hold besides measurements: codes for missing ones, clocks, and an order of channels."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError, listing

Float = TypeVar("Float", np.float32, np.float64)

CODES = (999, 9999, 99999, 999999, 2**15 - 1, 2**15, 2**16 - 1, 2**23 - 1, 2**23, 2**31 - 1, 2**31)
"""Magnitudes of numbers that instruments write for a missing measurement."""


def holds_code(values: NDArray[np.float32]) -> bool:
    """Return whether values may hold a code for a missing measurement: a magnitude of :data:`CODES`.

    Example:
        >>> holds_code(np.float32([1, -999])), holds_code(np.float32([1, 2]))
        (True, False)
    """
    magnitudes = np.abs(values)
    # One comparison rules out almost all samples; NaN is no code.
    return bool((magnitudes >= CODES[0]).any()) and bool(np.isin(magnitudes, CODES).any())


def gaps_as_nan(signal: NDArray[Float], codes: Sequence[float] = ()) -> NDArray[Float]:
    """Replace the codes that stand for missing samples by NaN.

    A value is such a code if its magnitude is one of :data:`CODES` and the signal jumps to it and
    back, by more than between any two other samples; a single such value must jump by twice as much.

    Args:
        signal: (channels, samples), in the file's own unit.
        codes: further values that may stand for missing samples.
    """
    coded = np.isin(np.abs(signal), CODES) | np.isin(signal, codes)
    if not coded.any():
        return signal
    signal = signal.copy()
    for row, mask in zip(signal, coded, strict=True):
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
        first, last = edges[::2], edges[1::2]  # of each run; the last is exclusive
        padded = np.concatenate([[np.nan], row, [np.nan]])
        jumps = np.fmin(np.abs(padded[first] - row[first]), np.abs(padded[last + 1] - row[last - 1]))
        steps = np.abs(np.diff(row))[~(mask[1:] | mask[:-1])]
        largest = np.fmax.reduce(steps, initial=0.0)
        missing = ~(jumps <= largest * np.where(last - first == 1, 2.0, 1.0))
        for begin, end in zip(first[missing], last[missing], strict=True):
            row[begin:end] = np.nan
    return signal


def is_clock(channel: NDArray[np.floating]) -> bool:
    """Return whether a channel (samples,) rises evenly all along, as an index or a clock does and no measurement."""
    with np.errstate(over="ignore", invalid="ignore"):  # differences of values that may be infinite
        if len(channel) < 3 or not (np.diff(channel) >= 0).all():
            return False
        rise = channel[-1] - channel[0]
    if not np.isfinite(rise):
        return False
    return bool(np.abs(channel - np.linspace(channel[0], channel[-1], len(channel))).max() < 0.05 * rise)


def order_note(kind: str, names: Sequence[str]) -> str:
    """Return the note on a sample whose channels were taken by their order: their kind, such as "leads", and names."""
    return f"{kind} by their order in the file: {listing(names, most=100)}"


def check_order(notes: Mapping[str, int], kind: str, advice: str, plain: Callable[[str], str] = str.lower) -> None:
    """Refuse files whose channels were taken by their order but differ in their names.

    Args:
        notes: counts of the notes on all samples, among them those of :func:`order_note`.
        kind: of the channels.
        advice: end of the message.
        plain: returns what is compared of a name.

    Raises:
        DataError: if the names differ between samples.
    """
    start = order_note(kind, [""]).removesuffix("''")
    orders: dict[str, tuple[str, int]] = {}
    for note, count in notes.items():
        if note.startswith(start):
            names = note.removeprefix(start)
            key = ",".join(map(plain, names.split(", ")))
            orders[key] = (names, count + orders.get(key, ("", 0))[1])
    if len(orders) > 1:
        listed = "; ".join(f"{names} ({count} samples)" for names, count in list(orders.values())[:3])
        more = f"; and {len(orders) - 3} more" if len(orders) > 3 else ""
        raise DataError(f"the first {kind} differ between files: {listed}{more}; {advice}")
