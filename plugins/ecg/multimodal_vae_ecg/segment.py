"""A stretch of a longer recording, as a manifest's cell names it: ``holter.edf#t=12.5`` or ``holter.edf#t=12.5,13.5``.

The ending is a media fragment (W3C, "Media Fragments URI 1.0", section 4.2.1), in plain seconds from the record's
first sample.
"""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.measurements import is_clock
from multimodal_vae_ecg.filters import SURROUND, ratio_of_rates, remove_wander, resample
from multimodal_vae_ecg.recording import Record

Real = NDArray[np.float64]

FILTER = 10
"""Samples, at the lower of two rates, that the resampling filter reaches to each side: scipy's ``resample_poly``."""

_FRAGMENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)?(?:,(\d+(?:\.\d*)?|\.\d+))?")


class Segment(NamedTuple):
    """Where a sample is.

    Attributes:
        path: of the file.
        start: in seconds from the file's first sample.
        stop: in seconds, or infinity for the file's end.
    """

    path: Path
    start: float
    stop: float


def parse_cell(cell: str | Path) -> Segment:
    """Take a cell apart.

    Raises:
        DataError: if what follows ``#t=`` is no stretch of time.

    Example:
        >>> parse_cell("holter.edf#t=12.5,13.5")[1:]
        (12.5, 13.5)
        >>> parse_cell("100.hea")[1:]
        (0.0, inf)
    """
    path, mark, fragment = str(cell).rpartition("#t=")
    if not mark:
        return Segment(Path(cell), 0.0, math.inf)
    match = _FRAGMENT.fullmatch(fragment)
    if not match or not fragment:
        raise DataError(f"ends in '#t={fragment}'; write seconds, as '#t=12.5' or '#t=12.5,13.5'")
    start, stop = float(match[1] or 0), float(match[2] or math.inf)
    if stop <= start:
        raise DataError(f"is to be read from {start:g} to {stop:g} s; give the earlier time first")
    return Segment(Path(path), start, stop)


def cut(record: Record, start: float, stop: float, rate: float, length: int, highpass: float) -> Real:
    """Read a stretch of a record in mV, without wander, at another rate: (leads, length).

    What surrounds the stretch is filtered and resampled with it, as far as the filter reaches and the record goes
    without a gap, so that a beat comes out of a long record as if the whole had been filtered.

    Args:
        record: the record.
        start: in seconds from its first sample.
        stop: in seconds; nothing after it is part of the stretch.
        rate: wanted, in Hz.
        length: wanted, in samples at that rate.
        highpass: cut-off of :func:`~multimodal_vae_ecg.filters.remove_wander`, in Hz.

    Raises:
        DataError: if the stretch is too short or has a gap.
    """
    ratio = ratio_of_rates(record.rate, rate)
    first, wanted = round(start * record.rate), length * record.rate / rate
    last = min(record.samples, stop * record.rate)
    if first + wanted > last * (1 + 1e-6):
        there = max(0.0, last / record.rate - start)
        since = f" from {start:g} s on" if start else ""
        raise DataError(
            f"lasts {there:.6g} s{since}, and {length / rate:g} s are wanted; set 'seconds' to what every record has, "
            "or leave this one out"
        )
    reach = SURROUND * record.rate / highpass if highpass else FILTER * max(1.0, float(1 / ratio))
    # Whole steps of the ratio, so that the stretch's first sample is one of the resampled ones.
    around = math.ceil(reach / ratio.denominator) * ratio.denominator
    end = min(record.samples, first + math.ceil(wanted))
    begin = max(0, first - around)
    signal = record.load(begin, min(record.samples, end + around))
    gaps = np.flatnonzero(~np.isfinite(signal).all(axis=0)) + begin
    inside = gaps[(gaps >= first) & (gaps < end)]
    if len(inside):
        lead = record.leads[int(np.argmax(~np.isfinite(signal[:, inside[0] - begin])))]
        raise DataError(
            f"has a gap of {len(inside)} sample{'s' * (len(inside) > 1)} (NaN, or a code such as -32768), the first in "
            f"lead {lead!r} at {inside[0] / record.rate:.6g} s; choose another stretch or leave it out"
        )
    for lead, values in zip(record.leads, signal[:, first - begin : end - begin], strict=True):
        if is_clock(values):
            raise DataError(f"has a lead {lead!r} that rises evenly as an index or a clock does; set 'leads' to others")
    before, after = gaps[gaps < first], gaps[gaps >= end]
    lead_in = (first - max([begin, *(before + 1)])) // ratio.denominator * ratio.denominator
    stretch = signal[:, first - lead_in - begin : min([*after, record.samples]) - begin]
    clean = resample(remove_wander(stretch, record.rate, highpass), ratio)
    place = int(lead_in * ratio)
    return clean[:, place : place + length]
