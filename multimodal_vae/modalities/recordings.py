"""Recordings of several channels, whatever their file format: read in part, cut, filtered and resampled.

Plugins of electrocardiograms and electroencephalograms share them. ``edfio`` reads the formats EDF and BDF; a plugin
that opens them requires it.
"""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError, one_line
from multimodal_vae.files import open_sample
from multimodal_vae.measurements import gaps_as_nan, is_clock

Real: TypeAlias = NDArray[np.float64]

FINEST = 1000
"""Greatest denominator of a ratio of rates: finer ones would move no sample by a hundredth of its distance."""

FILTER = 10
"""Samples, at the lower of two rates, that the resampling filter reaches to each side: scipy's ``resample_poly``."""

_FRAGMENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)?(?:,(\d+(?:\.\d*)?|\.\d+))?")


@dataclass(frozen=True)
class Record:
    """The wanted channels of a recording; samples are read on demand.

    Attributes:
        rate: samples per second.
        leads: names of the channels, as the file writes them.
        samples: number of samples of each channel.
        load: returns (channels, samples), from the first sample to the last, exclusive; NaN in gaps.
        prepared: whether the file says that it holds a sample in its final form.
        notes: what was assumed because the file does not state it.
        kind: what a channel is called in messages, and with an "s" the setting that names them.
    """

    rate: float
    leads: Sequence[str]
    samples: int
    load: Callable[[int, int], Real]
    prepared: bool = False
    notes: Sequence[str] = ()
    kind: str = "lead"


class Segment(NamedTuple):
    """Where a sample is: a file, and perhaps a stretch of it, as ``holter.edf#t=12.5,13.5`` names it in a manifest.

    The ending is a media fragment (W3C, *Media Fragments URI 1.0*, section 4.2.1), in seconds from the first sample.

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


def cut(
    record: Record,
    start: float,
    stop: float,
    rate: float,
    length: int,
    clean: Callable[[Real], Real],
    reach: float,
) -> Real:
    """Read a stretch of a record, filtered and at another rate: (channels, length).

    What surrounds the stretch is filtered and resampled with it, as far as the filter reaches and the record goes
    without a gap, so that a stretch of a long record is the same as if the whole had been filtered.

    Args:
        record: the record.
        start: in seconds from its first sample.
        stop: in seconds; nothing after it is part of the stretch.
        rate: wanted, in Hz.
        length: wanted, in samples at that rate.
        clean: filters (channels, samples) at the record's rate.
        reach: seconds after which the filter has forgotten what came before; 0 if it changes nothing.

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
    reach = reach * record.rate or FILTER * max(1.0, float(1 / ratio))
    # Whole steps of the ratio, so that the stretch's first sample is one of the resampled ones.
    around = math.ceil(reach / ratio.denominator) * ratio.denominator
    end = min(record.samples, first + math.ceil(wanted))
    begin = max(0, first - around)
    signal = record.load(begin, min(record.samples, end + around))
    gaps = np.flatnonzero(~np.isfinite(signal).all(axis=0)) + begin
    inside = gaps[(gaps >= first) & (gaps < end)]
    if len(inside):
        channel = record.leads[int(np.argmax(~np.isfinite(signal[:, inside[0] - begin])))]
        raise DataError(
            f"has a gap of {len(inside)} sample{'s' * (len(inside) > 1)} (NaN, or a code such as -32768), the first in "
            f"{record.kind} {channel!r} at {inside[0] / record.rate:.6g} s; choose another stretch or leave it out"
        )
    for channel, values in zip(record.leads, signal[:, first - begin : end - begin], strict=True):
        if is_clock(values):
            raise DataError(
                f"has a {record.kind} {channel!r} that rises evenly as an index or a clock does; set "
                f"'{record.kind}s' to others"
            )
    before, after = gaps[gaps < first], gaps[gaps >= end]
    lead_in = (first - max([begin, *(before + 1)])) // ratio.denominator * ratio.denominator
    stretch = signal[:, first - lead_in - begin : min([*after, record.samples]) - begin]
    resampled = resample(clean(stretch), ratio)
    place = int(lead_in * ratio)
    return resampled[:, place : place + length]


def ratio_of_rates(rate: float, wanted: float) -> Fraction:
    """The ratio ``wanted / rate`` in whole numbers.

    Raises:
        DataError: if the rate is no positive number, or a thousand times too high.

    Example:
        >>> ratio_of_rates(360, 128)
        Fraction(16, 45)
    """
    if not (np.isfinite(rate) and rate > 0):
        raise DataError(f"says that its sampling rate is {rate:g} Hz; give the true one")
    ratio = Fraction(wanted / rate).limit_denominator(FINEST)
    if not ratio:
        raise DataError(f"says that its sampling rate is {rate:g} Hz, which no recording has; give it in Hz")
    return ratio


def resample(signal: Real, ratio: Fraction) -> Real:
    """Resample (channels, samples) to ceil(samples * ratio) by a polyphase filter that lets nothing alias.

    The first sample keeps its place in time. Beyond both ends, the filter sees the line from the first to the last
    value rather than zeros, which would ring.

    Example:
        >>> resample(np.ones((1, 360)), Fraction(16, 45)).shape
        (1, 128)
    """
    if ratio == 1:
        return signal
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(signal, ratio.numerator, ratio.denominator, axis=1, padtype="line"))


def open_edf(
    path: Path,
    choose: Callable[[Sequence[str]], Sequence[int]],
    scale: Callable[[Sequence[str], Sequence[str]], Real],
    kind: str = "lead",
) -> Record:
    """Open a file of EDF or BDF.

    Args:
        path: the file.
        choose: returns the indices of the wanted channels among names.
        scale: returns by how much to multiply each of the wanted channels, (channels, 1), from their names and units.
        kind: as of :class:`Record`.

    Raises:
        DataError: if it is damaged, has gaps, or has the wanted channels at several rates.
        FileNotFoundError: if there is no such file.
    """
    from edfio import read_bdf, read_edf

    open_sample(path).close()  # edfio itself would wait for a pipe
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # edfio reads a file that is cut short, and only warns
            read: Any = read_edf if path.suffix.lower() == ".edf" else read_bdf
            file = read(path, header_encoding="latin-1")
            continuous = file.is_continuous
            signals = list(file.signals)
            names = [signal.label.strip() for signal in signals]
            units = [str(signal.physical_dimension) for signal in signals]
            rates = [float(signal.sampling_frequency) for signal in signals]
            lengths = [int(signal.samples_per_data_record * file.num_data_records) for signal in signals]
            ends = [(signal.physical_min, signal.physical_max) for signal in signals]
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"is damaged or no {path.suffix[1:].upper()} file ({one_line(error)})") from error
    if not continuous:
        raise DataError("has gaps between its data records (EDF+D); cut it into files without")
    chosen = choose(names)
    leads, first_one = [names[index] for index in chosen], chosen[0]
    for index in chosen:
        if rates[index] != rates[first_one]:
            raise DataError(
                f"has {kind} {names[first_one]!r} at {rates[first_one]:g} Hz and {names[index]!r} at {rates[index]:g} "
                f"Hz; set '{kind}s' to those of one rate"
            )
    rate, scales = rates[first_one], scale(leads, [units[index] for index in chosen])

    def load(first: int, last: int) -> Real:
        try:
            rows = [
                gaps_as_nan(signals[index].get_data_slice(first / rate, last / rate)[None], ends[index])
                for index in chosen
            ]
        except (ValueError, OSError) as error:
            raise DataError(f"is damaged ({one_line(error)})") from error
        return np.asarray(np.concatenate(rows) * scales)

    return Record(rate, leads, lengths[first_one], load, kind=kind)
