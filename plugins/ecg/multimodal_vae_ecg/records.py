"""Reading recordings from the file formats in which they come.

==============  ======================================================================================================
WFDB            header ``.hea`` and its signal files; the ending may be left out
``.edf .bdf``   European Data Format and BioSemi Data Format
``.csv``        first row: names of leads, each with its unit, as ``II (uV)``; a column ``time_s`` holds seconds
``.npz``        ``ecg`` or ``signal`` (leads, samples); optionally ``rate`` in Hz, ``leads`` and ``unit``; nothing else
==============  ======================================================================================================

A file without a unit is in mV and a file without a sampling rate has the configured one; a note on the sample says so.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import listing, shorten
from multimodal_vae.measurements import gaps_as_nan, is_clock, order_note
from multimodal_vae.modalities.base import load_arrays
from multimodal_vae.modalities.recordings import Real, Record, open_edf
from multimodal_vae.tables import read_table
from multimodal_vae_ecg.leads import NO_UNIT, choose_leads, in_millivolts, name_and_unit
from multimodal_vae_ecg.wfdb_records import open_wfdb, wfdb_files

PREPARED = "prepared mV"
"""Unit in a ``.csv`` by :func:`write_prepared`, whose signal is filtered, resampled and cut already."""

TIME = "time_s"

DRIFT = 0.25
"""Samples by which written times may miss even steps; rounding to milliseconds does so at 500 Hz."""

SECONDS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "usec", "microseconds"), 1e-6),
}
"""Seconds per unit of time, by the unit's name in lower case."""

PLAUSIBLE_RATES = (10.0, 100_000.0)
"""Sampling rates in Hz; a file that states another one gives it in another unit."""

_TIME = re.compile(
    r"(?:elapsed[\s_]*)?(?:time[\s_]*stamp|time|t)(?:[\s_/,:|.-]*[\s_/,:|.([{<-]\s*([^\s\])}>]*)\s*[)\]}>]?)?"
)

_ARRAYS: Mapping[str, Sequence[str]] = {
    "rate": (
        "fs",
        "sfreq",
        "freq",
        "frequency",
        "samplingrate",
        "samplerate",
        "samplingfrequency",
        "hz",
        "rates",
        "sr",
    ),
    "leads": ("lead", "leadnames", "channels", "channelnames", "chnames", "signame", "signames", "names", "labels"),
    "unit": ("units", "unitname", "physicaldimension"),
    "ecg": ("data", "x", "signals", "psignal", "values"),
}
"""Names of arrays in an ``.npz`` file, each with names that other programs give it."""

_GAINS = ("gain", "adcgain", "scale", "offset", "baseline", "lsb", "resolution")


def open_record(path: Path, wanted: int | Sequence[str], rate: float) -> Record:
    """Open a recording; no code in a file is executed, and the network is not accessed.

    Args:
        path: a file of one of the formats above.
        wanted: names of leads, whatever their case; or their number, which takes the first ones and notes their names.
        rate: sampling rate in Hz of files that do not state theirs.

    Raises:
        DataError: one sentence that does not name the file.
        FileNotFoundError: if there is no such file.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        record = _open_csv(path, wanted, rate)
    elif ending == ".npz":
        record = _open_npz(path, wanted, rate)
    elif ending in (".edf", ".bdf"):
        record = open_edf(path, lambda names: choose_leads(names, wanted), in_millivolts)
    elif ending in ("", ".hea"):
        record = open_wfdb(path, wanted)
    else:
        raise DataError(f"ends in {path.suffix!r}; an ECG is read from .hea (WFDB), .edf, .bdf, .csv, .npz or .npy")
    low, high = PLAUSIBLE_RATES
    if not (record.prepared or record.rate == rate or low <= record.rate <= high):
        raise DataError(
            f"says that its sampling rate is {record.rate:g} Hz, which no ECG has; give rates in Hz and times in s"
        )
    generated = record.prepared and all(lead.startswith("lead ") for lead in record.leads)
    if isinstance(wanted, int) and not generated:
        record = replace(record, notes=(*record.notes, order_note("leads", record.leads)))
    return record


def files_of(path: Path) -> list[Path]:
    """Return the files of a recording; a WFDB header names signal files and headers of segments.

    Raises:
        OSError: if a header cannot be read.
    """
    return wfdb_files(path) if path.suffix.lower() in ("", ".hea") else [path]


def write_prepared(sample: Real, rate: float, leads: Sequence[str], path: Path) -> None:
    """Write a sample (leads, samples) in mV as ``.csv``, with 9 digits, which identify a float32."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([TIME, *(f"{lead} ({PREPARED})" for lead in leads)])
        for index, values in enumerate(sample.T):
            writer.writerow([f"{index / rate:.9g}", *(f"{value:.9g}" for value in values)])


def _from_array(
    signal: Real,
    rate: float | None,
    configured: float,
    leads: Sequence[str],
    units: Sequence[str | None],
    prepared: bool = False,
) -> Record:
    """Return the record of a signal (leads, samples) in memory."""
    scales = in_millivolts(leads, units)
    notes = [NO_UNIT] if None in units else []
    if rate is None:
        notes.append(f"no sampling rate in the file, taken as {configured:g} Hz")
    signal = gaps_as_nan(signal)
    measured = signal[np.isfinite(signal)]
    if None in units and len(measured) and measured.std() and (measured == np.rint(measured)).all():
        raise DataError("holds whole numbers without a unit, as the counts of a converter; state what they are in")
    return Record(
        configured if rate is None else rate,
        leads,
        signal.shape[1],
        lambda first, last: signal[:, first:last] * scales,
        prepared,
        notes,
    )


def _open_csv(path: Path, wanted: int | Sequence[str], configured: float) -> Record:
    table = read_table(path)
    header, columns = table.header, table.values.T
    if not header:
        raise DataError(f"has no names of leads in its first row; begin it with a row such as '{TIME},I,II'")
    named = [name_and_unit(text) for text in header]
    times = {index: factor for index, text in enumerate(header) if (factor := _seconds_per(text))}
    if len(times) > 1:
        raise DataError(f"has {len(times)} columns of times; keep one")
    rate = None
    for index, factor in times.items():
        rate = _rate_of(columns[index] * factor, header[index], configured)
    leads = [index for index in range(len(header)) if index not in times]
    chosen = [leads[place] for place in choose_leads([named[index][0] for index in leads], wanted)]
    for index in sorted({*leads} - {*chosen}):
        _refuse_fact(header[index], columns[index], rate)
    names, units = [named[index][0] for index in chosen], [named[index][1] for index in chosen]
    prepared = all(unit == PREPARED for unit in units)
    units = ["mV" if unit == PREPARED else unit for unit in units]
    return _from_array(columns[chosen], rate, configured, names, units, prepared)


def _seconds_per(text: str) -> float | None:
    """Return the seconds per unit of a column of times, or None for another column.

    Raises:
        DataError: if the column holds times in no unit, or in an unknown one.
    """
    if text.lower() in ("sec", "secs", "seconds"):
        return 1.0
    match = _TIME.fullmatch(text.lower())
    if text.lower() != "ms" and not match:
        return None
    factor = SECONDS.get(match[1] or "") if match else None
    if factor is None:
        raise DataError(f"has a column {text!r}; call it {TIME!r} if it holds seconds, or else remove it")
    return factor


def _refuse_fact(name: str, column: Real, rate: float | None) -> None:
    """Refuse a column beside the leads that may state a fact: a rate, a unit, a gain, or times by another name."""
    plain = re.sub(r"[\W_]", "", name.lower())
    if any(plain in (fact, *_ARRAYS[fact]) for fact in ("rate", "unit")) or plain in _GAINS:
        raise DataError(
            f"has a column {name!r}; remove it, and state times in a column {TIME!r} and units as 'II (mV)'"
        )
    if rate is None and is_clock(column) and abs(float(column[-1] - column[0]) / (len(column) - 1) - 1) > 1e-6:
        raise DataError(f"has a column {name!r} of even steps; call it {TIME!r} if it holds seconds, or else remove it")


def _rate_of(times: Real, name: str, configured: float) -> float:
    """Return the rate of evenly spaced times in seconds: the configured one or a whole number, if that fits."""
    steps = len(times) - 1
    if steps < 1 or not np.isfinite(times).all() or times[-1] <= times[0]:
        raise DataError(f"has times in {name!r} that do not rise; give one time per row")
    duration = float(times[-1] - times[0])
    even = times[0] + np.arange(steps + 1) * duration / steps
    uneven = np.abs(times - even) > DRIFT * duration / steps
    if uneven.any():
        raise DataError(
            f"has uneven steps in {name!r}, the first in row {int(np.argmax(uneven)) + 2}; an ECG has one sampling rate"
        )
    measured = steps / duration
    return next((rate for rate in (configured, round(measured)) if abs(rate - measured) * duration < DRIFT), measured)


def _open_npz(path: Path, wanted: int | Sequence[str], configured: float) -> Record:
    arrays = load_arrays(path)
    signals = [name for name in ("ecg", "signal") if name in arrays]
    _refuse_other_arrays(set(arrays) - {"rate", "leads", "unit", *signals})
    if len(signals) != 1:
        raise DataError(f"holds the arrays {listing(sorted(arrays))}; one of (leads, samples) is named 'ecg'")
    signal = real_numbers(arrays[signals[0]]).astype(np.float64)
    if signal.ndim == 1:
        signal = signal[None]
    if signal.ndim != 2 or not signal.size:
        raise DataError(f"has {signals[0]!r} of the shape {signal.shape}; (leads, samples) is expected")
    count, samples = signal.shape
    rate = float(_single("rate", real_numbers(arrays["rate"]))) if "rate" in arrays else None
    leads = _texts("leads", arrays["leads"]) if "leads" in arrays else [f"lead {n + 1}" for n in range(count)]
    if len(leads) != count:
        raise DataError(
            f"names {len(leads)} leads, but {signals[0]!r} has the shape {signal.shape}; (leads, samples) is expected"
            + ("; transpose it" if len(leads) == samples else "")
        )
    if count > samples:
        raise DataError(f"has {signals[0]!r} of the shape {signal.shape}, more leads than samples; transpose it")
    units: list[str | None] = [*_texts("unit", arrays["unit"])] if "unit" in arrays else [None]
    if len(units) not in (1, count):
        raise DataError(f"has {len(units)} units for {count} leads; give one, or one per lead")
    units *= count if len(units) == 1 else 1
    chosen = choose_leads(leads, wanted)
    return _from_array(signal[chosen], rate, configured, [leads[i] for i in chosen], [units[i] for i in chosen])


def _refuse_other_arrays(names: set[str]) -> None:
    """Refuse arrays of other names, since one may state a rate, a unit or a gain."""
    for name in sorted(names):
        plain = re.sub(r"[\W_]", "", name.lower())
        known = next((known for known, others in _ARRAYS.items() if plain == known or plain in others), None)
        advice = f"call it {known!r}" if known else "remove it; only ecg, rate, leads and unit are read"
        raise DataError(f"holds an array {shorten(name)!r}; {advice}")


def _single(name: str, array: NDArray[Any]) -> Any:
    if array.size != 1:
        raise DataError(f"has {array.size} values in {name!r}; one is expected")
    return array.reshape(())[()]


def _texts(name: str, array: NDArray[Any]) -> list[str]:
    if array.dtype.kind != "U":
        raise DataError(f"has values of type {array.dtype} in {name!r}; texts are expected")
    return [str(text) for text in array.reshape(-1)]
