"""Recordings, and the files they come in.

==============  ======================================================================================================
WFDB            a header ``.hea`` and its signal files, named with or without ``.hea``
``.edf .bdf``   European Data Format and BioSemi's; where labels begin with "ECG" or "EKG", only those are leads
``.csv``        first row: names of leads, each perhaps with its unit, as ``II (uV)``; a column ``time_s`` holds seconds
``.npz``        ``ecg`` or ``signal`` (leads, samples); perhaps ``rate`` in Hz, ``leads``, ``unit``; others are ignored
==============  ======================================================================================================

Where a file does not say its unit it is mV; where it does not say its rate, that is the one configured.
"""

import csv
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.files import bounded_lines
from multimodal_vae.modalities.base import load_arrays, read_table, real_numbers

Real = NDArray[np.float64]

MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "\N{MICRO SIGN}v": 1e-3, "\N{GREEK SMALL LETTER MU}v": 1e-3, "nv": 1e-6}
"""What a unit is in mV, by its name in lower case."""

PREPARED = "prepared mV"
"""The unit in a ``.csv`` that :func:`write_prepared` made: already filtered, resampled and cut."""

TIME = "time_s"

DRIFT = 0.25
"""Samples by which written times may miss even steps: what rounding to milliseconds does at 500 Hz."""


@dataclass(frozen=True)
class Record:
    """The wanted leads of a recording, of which only the stretch that is asked for is read.

    Attributes:
        rate: samples a second.
        leads: names, as the file writes them.
        samples: how many of each lead.
        load: maps the first sample and the last, exclusive, to an array (leads, samples) in mV; NaN in a gap.
        prepared: whether the file says that it holds a sample in its final form.
    """

    rate: float
    leads: Sequence[str]
    samples: int
    load: Callable[[int, int], Real]
    prepared: bool = False


def open_record(path: Path, wanted: int | Sequence[str], rate: float) -> Record:
    """Open a recording; nothing in a file is ever executed, and the network is never asked.

    Args:
        path: a file of one of the formats above.
        wanted: how many leads to take, the first ones; or which, by name, whatever their case.
        rate: for files that do not say theirs, in Hz.

    Raises:
        DataError: with one sentence that does not name the file.
        FileNotFoundError: if there is no such file.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return _open_csv(path, wanted, rate)
    if ending == ".npz":
        return _open_npz(path, wanted, rate)
    if ending in (".edf", ".bdf"):
        return _open_edf(path, wanted)
    if ending in ("", ".hea"):
        return _open_wfdb(path.with_suffix(".hea"), wanted)
    raise DataError(f"ends in {path.suffix!r}, and an ECG is read from .hea (WFDB), .edf, .bdf, .csv, .npz or .npy")


def files_of(path: Path) -> list[Path]:
    """The files that a recording is in: more than one for a WFDB record, whose header names signals or other headers.

    Raises:
        OSError: if a header cannot be read.
    """
    if path.suffix.lower() not in ("", ".hea"):
        return [path]
    found = [path.with_suffix(".hea")]
    for file in found:  # which grows on the way
        if file.suffix.lower() == ".hea":
            lines = [line.split() for line in file.read_text("ascii", "replace").splitlines()]
            words = [line[0] for line in lines if line and not line[0].startswith("#")]
            named = [file.parent / name for word in words for name in (word, f"{word}.hea")]
            found += [each for each in dict.fromkeys(named) if each.is_file() and each not in found]
    return found


def write_prepared(sample: Real, rate: float, leads: Sequence[str], path: Path) -> None:
    """Write a sample (leads, samples) in mV as ``.csv``, with the 9 digits that float32 has."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([TIME, *(f"{lead} ({PREPARED})" for lead in leads)])
        for index, values in enumerate(sample.T):
            writer.writerow([f"{index / rate:.9g}", *(f"{value:.9g}" for value in values)])


def _plain(lead: str) -> str:
    """A lead's name without case, blanks, and the "ECG" that EDF puts before it."""
    return re.sub(r"^(ecg|ekg|lead)(?=.)|[\s_-]", "", lead.strip().lower())


def _choose(leads: Sequence[str], wanted: int | Sequence[str]) -> list[int]:
    """The indices of the wanted leads."""
    there = ", ".join(leads) or "none"
    if isinstance(wanted, int):
        if wanted > len(leads):
            raise DataError(f"has {len(leads)} lead{'s' * (len(leads) != 1)} ({there}), and {wanted} are wanted")
        return list(range(wanted))
    names = [_plain(lead) for lead in leads]
    for lead in wanted:
        if names.count(_plain(lead)) != 1:
            fault = "several leads" if _plain(lead) in names else "no lead"
            raise DataError(f"has {fault} {lead!r} among its leads {there}; rename one, or set 'leads' to others")
    return [names.index(_plain(lead)) for lead in wanted]


def _scales(leads: Sequence[str], units: Sequence[str]) -> Real:
    """What one unit of each lead is in mV, (leads, 1)."""
    for lead, unit in zip(leads, units, strict=True):
        if unit.strip().lower() not in MILLIVOLTS:
            raise DataError(
                f"gives lead {lead!r} in the unit {unit!r}; give it in V, mV, uV or nV, or set 'leads' to others"
            )
    return np.array([[MILLIVOLTS[unit.strip().lower()]] for unit in units])


def _of_array(signal: Real, rate: float, leads: Sequence[str], units: Sequence[str], prepared: bool = False) -> Record:
    scales = _scales(leads, units)
    return Record(rate, leads, signal.shape[1], lambda first, last: signal[:, first:last] * scales, prepared)


def _open_csv(path: Path, wanted: int | Sequence[str], rate: float) -> Record:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            header = next(csv.reader(bounded_lines(file)), [])
    except csv.Error as error:
        raise DataError(f"is no table of comma-separated values ({error})") from error
    if all(re.fullmatch(r"[-+.\deE ]*", cell) for cell in header):
        raise DataError(f"has no names of leads in its first row; begin it with a row such as '{TIME},I,II'")
    if len(header) == 1 and ";" in header[0]:
        raise DataError("is separated by semicolons; separate it by commas, with points in its numbers")
    table = read_table(path).T
    if len(table) != len(header):
        raise DataError(f"has {len(header)} names in its first row and {len(table)} columns below; make them agree")
    named = [_name_and_unit(cell) for cell in header]
    leads = [index for index, (name, _) in enumerate(named) if name.lower() != TIME]
    if len(named) - len(leads) > 1:
        raise DataError(f"has {len(named) - len(leads)} columns {TIME!r}; leave one")
    for index, (name, _) in enumerate(named):
        if index not in leads:
            rate = _rate_of(table[index], rate)
        elif name.lower() in ("t", "time", "seconds", "time_ms", "ms"):
            raise DataError(f"has a column {name!r}; call it {TIME!r} if it holds seconds, or else remove it")
    chosen = [leads[index] for index in _choose([named[index][0] for index in leads], wanted)]
    names, units = [named[index][0] for index in chosen], [named[index][1] for index in chosen]
    prepared = all(unit == PREPARED for unit in units)
    return _of_array(table[chosen], rate, names, ["mV" if unit == PREPARED else unit for unit in units], prepared)


def _name_and_unit(cell: str) -> tuple[str, str]:
    """Take 'II (uV)' apart; without a unit it is mV."""
    match = re.fullmatch(r"(.*?)\s*(?:\(([^()]*)\))?\s*", cell)
    return (match[1].strip(), match[2] or "mV") if match else (cell, "mV")


def _rate_of(times: Real, configured: float) -> float:
    """The rate at which a column of times steps: the configured one or a whole number where that fits as well."""
    steps = len(times) - 1
    if steps < 1 or not np.isfinite(times).all() or times[-1] <= times[0]:
        raise DataError(f"has times in {TIME!r} that do not rise; give seconds, one time a row")
    duration = float(times[-1] - times[0])
    even = times[0] + np.arange(steps + 1) * duration / steps
    uneven = np.abs(times - even) > DRIFT * duration / steps
    if uneven.any():
        raise DataError(
            f"has uneven steps in {TIME!r}, the first in row {int(np.argmax(uneven)) + 2}; an ECG has one sampling rate"
        )
    measured = steps / duration
    return next((rate for rate in (configured, round(measured)) if abs(rate - measured) * duration < DRIFT), measured)


def _open_npz(path: Path, wanted: int | Sequence[str], rate: float) -> Record:
    arrays = load_arrays(path)
    found = [name for name in ("ecg", "signal") if name in arrays]
    if len(found) != 1:
        raise DataError(
            f"holds the arrays {', '.join(sorted(arrays)) or 'none'}; call the one of (leads, samples) 'ecg'"
        )
    signal = real_numbers(arrays[found[0]]).astype(np.float64)
    if signal.ndim == 1:
        signal = signal[None]
    if signal.ndim != 2 or not signal.size:
        raise DataError(f"has {found[0]!r} of the shape {signal.shape}, where (leads, samples) is wanted")
    count, samples = signal.shape
    if "rate" in arrays:
        rate = float(_one("rate", real_numbers(arrays["rate"])))
    leads = _texts("leads", arrays["leads"]) if "leads" in arrays else [f"lead {n + 1}" for n in range(count)]
    if len(leads) != count:
        raise DataError(
            f"names {len(leads)} leads, and {found[0]!r} has the shape {signal.shape}, where (leads, samples) is wanted"
            + ("; transpose it" if len(leads) == samples else "")
        )
    if count > samples:
        raise DataError(f"has {found[0]!r} of the shape {signal.shape}, more leads than samples; transpose it")
    units = _texts("unit", arrays["unit"]) if "unit" in arrays else ["mV"]
    if len(units) not in (1, count):
        raise DataError(f"has {len(units)} units for {count} leads; give one, or one a lead")
    units *= count if len(units) == 1 else 1
    chosen = _choose(leads, wanted)
    return _of_array(signal[chosen], rate, [leads[index] for index in chosen], [units[index] for index in chosen])


def _one(name: str, array: NDArray[Any]) -> Any:
    if array.size != 1:
        raise DataError(f"has {array.size} values in {name!r}, where one is wanted")
    return array.reshape(())[()]


def _texts(name: str, array: NDArray[Any]) -> list[str]:
    if array.dtype.kind != "U":
        raise DataError(f"has values of the type {array.dtype} in {name!r}, where texts are wanted")
    return [str(text) for text in array.reshape(-1)]


def _open_edf(path: Path, wanted: int | Sequence[str]) -> Record:
    from edfio import read_bdf, read_edf

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # edfio reads a file that is cut short, and only warns
            if path.suffix.lower() == ".edf":
                file: Any = read_edf(path, header_encoding="latin-1")
            else:
                file = read_bdf(path, header_encoding="latin-1")
            continuous = file.is_continuous
            signals = [(signal.label.strip(), signal) for signal in file.signals]
            signals = [each for each in signals if re.match(r"e[ck]g", each[0].lower())] or signals
            names = [name for name, _ in signals]
            units = [str(signal.physical_dimension) for _, signal in signals]
            rates = [float(signal.sampling_frequency) for _, signal in signals]
            lengths = [int(signal.samples_per_data_record * file.num_data_records) for _, signal in signals]
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"is damaged or no {path.suffix[1:].upper()} file ({_first_line(error)})") from error
    if not continuous:
        raise DataError("has gaps between its data records (EDF+D); cut it into files without")
    chosen = _choose(names, wanted)
    leads, first_one = [names[index] for index in chosen], chosen[0]
    for index in chosen:
        if rates[index] != rates[first_one]:
            raise DataError(
                f"has lead {names[first_one]!r} at {rates[first_one]:g} Hz and {names[index]!r} at {rates[index]:g} "
                "Hz; set 'leads' to those of one rate"
            )
    rate, scales = rates[first_one], _scales(leads, [units[index] for index in chosen])

    def load(first: int, last: int) -> Real:
        try:
            data = [signals[index][1].get_data_slice(first / rate, last / rate) for index in chosen]
        except (ValueError, OSError) as error:
            raise DataError(f"is damaged ({_first_line(error)})") from error
        return np.asarray(np.stack(data) * scales)

    return Record(rate, leads, lengths[first_one], load)


def _open_wfdb(header: Path, wanted: int | Sequence[str]) -> Record:
    if not header.exists():
        raise FileNotFoundError(header)
    wfdb = import_wfdb()
    # Absolute, since wfdb takes some names that are not for addresses in a cloud.
    name = str(header.absolute().with_suffix(""))
    try:
        facts = wfdb.rdheader(name)
        if facts.sig_len is None and facts.n_sig:  # a header may leave it out; the signal files tell
            facts.sig_len = wfdb.rdrecord(name, channels=[0]).sig_len
        if hasattr(facts, "seg_name"):  # several segments, whose leads and units stand in headers of their own
            whole = wfdb.rdrecord(name, sampfrom=0, sampto=1)
            facts.sig_name, facts.units = whole.sig_name, whole.units
        rate, samples = float(facts.fs), int(facts.sig_len or 0)
        names = [str(lead) for lead in facts.sig_name or []]
        units = [str(unit) for unit in facts.units or []]
    except Exception as error:  # a damaged file can be wrong in any way
        raise _unreadable(error) from error
    chosen = _choose(names, wanted)
    leads = [names[index] for index in chosen]
    scales = _scales(leads, [units[index] for index in chosen])

    def load(first: int, last: int) -> Real:
        try:
            signal = wfdb.rdrecord(name, sampfrom=first, sampto=last, channels=chosen).p_signal
        except Exception as error:
            raise _unreadable(error) from error
        if signal is None or signal.shape != (last - first, len(chosen)):
            raise DataError("has signal files that are cut short; copy them again")
        return np.asarray(signal.T * scales, dtype=np.float64)

    return Record(rate, leads, samples, load)


def import_wfdb() -> Any:
    """The ``wfdb`` package, imported without its own warnings."""
    with warnings.catch_warnings():
        # wfdb 4.3 calls pandas in a way that pandas 3.1 deprecates, each time it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb
    return wfdb


def _unreadable(error: Exception) -> DataError:
    """What to say of a WFDB record that cannot be read: wfdb raises errors of many kinds."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return DataError(f"names the file {Path(error.filename).name!r}, which is not beside it; copy it there")
    return DataError(f"is damaged, cut short or no WFDB record ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
