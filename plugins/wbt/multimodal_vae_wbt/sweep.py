r"""A measurement, and the file formats in which it comes.

In every format a sweep has three fields: ``Pressure`` in daPa, ``Frequency`` in Hz, and ``Absorbance``, (pressures,
frequencies). The case of their names does not matter.

==========  ==========================================================================================================
``.mat``    MATLAB up to version 7: one struct with the three fields, or the three as variables
``.npz``    the three as arrays
``.csv``    first row: a label such as ``pressure_daPa\frequency_Hz`` or nothing, then the frequencies; then one row
            per pressure: the pressure, then its absorbances
==========  ==========================================================================================================

Other fields are ignored, except for those whose names contain "unit": they must say daPa, Hz, or that absorbance is a
share. A file that states no unit is noted.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.errors import listing, shorten
from multimodal_vae.measurements import CODES
from multimodal_vae.modalities.base import load_arrays
from multimodal_vae.tables import read_table
from multimodal_vae_wbt.mat import load_mat

Real = NDArray[np.float64]

FIELDS = ("Pressure", "Frequency", "Absorbance")
CORNER = r"pressure_daPa\frequency_Hz"

MOST_PRESSURE = 1000.0
"""Pressure in daPa that no tympanometer reaches, but a sweep in Pa does."""

NO_UNIT = "no unit in the file, taken as daPa and Hz"
"""Note on a sweep whose file does not state a unit."""

STATED = frozenset(("dapa", "hz"))
"""Units that are read, in lower case."""

WORDS = re.compile("pressures?|p|freq(uency|uencies)?|f|absorbance|share|ratio|fraction|an?d?|as|by|in|of|vs|x")
"""Other words in lower case that a file may state about its values; any other one is refused."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """A measurement, checked: in the order of the sweep, at the instrument's own frequencies.

    Attributes:
        pressure: (P,) in daPa relative to ambient, P at least 2, in any order.
        frequency: (F,) in Hz, F at least 2, all positive.
        absorbance: (P, F), the share of sound energy that the ear absorbs; noise may exceed 0 to 1.
        notes: what was assumed because the file does not state it.
    """

    pressure: Real
    frequency: Real
    absorbance: Real
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the fields against each other.

        Raises:
            DataError: if shapes do not fit, a value is missing, or a unit is not the one above.
        """
        pressures, frequencies = len(self.pressure), len(self.frequency)
        for name, unit, axis in (("Pressure", "pressures", pressures), ("Frequency", "frequencies", frequencies)):
            if axis < 2:
                raise DataError(f"{name} has {axis} value{'s' * (axis != 1)}; a sweep has at least 2 {unit}")
        shape = self.absorbance.shape
        if shape != (pressures, frequencies):
            raise DataError(
                f"Absorbance has the shape {shape}; {pressures} pressures by {frequencies} frequencies need "
                f"{(pressures, frequencies)}" + ("; transpose it" if shape == (frequencies, pressures) else "")
            )
        for name, values in zip(FIELDS, (self.pressure, self.frequency, self.absorbance), strict=True):
            self._refuse(name, ~np.isfinite(values), "not finite")
        if self.frequency.min() <= 0:
            raise DataError(
                f"Frequency goes down to {self.frequency.min():g} and must be above 0 Hz; if those are pressures, "
                "exchange the axes"
            )
        fault = "codes of a missing measurement, such as -999"
        self._refuse("Pressure", np.isin(np.abs(self.pressure), CODES), fault)
        self._refuse("Absorbance", np.isin(np.abs(self.absorbance), CODES) | (self.absorbance == -99), fault)
        if abs(self.pressure).max() >= MOST_PRESSURE:
            raise DataError(
                f"Pressure ranges from {self.pressure.min():g} to {self.pressure.max():g}, more than any "
                "tympanometer's in daPa; if it is in Pa, divide it by 10"
            )
        if (high := float(np.quantile(self.absorbance, 0.95))) > 1.5:
            raise DataError(
                f"Absorbance has 5 % of its values above {high:g}, but is a share from 0 to 1; if it is in percent, "
                "divide it by 100"
            )
        if np.quantile(self.absorbance, 0.9) <= 0 and self.absorbance.min() < 0:
            raise DataError(
                f"Absorbance has a median of {np.median(self.absorbance):g}, but is a share from 0 to 1; if it is in "
                "dB, convert it by 10^(dB / 10)"
            )

    def _refuse(self, name: str, wrong: NDArray[np.bool_], fault: str) -> None:
        """Refuse a field with wrong values, naming the first."""
        if wrong.any():
            place = tuple(int(index) for index in np.argwhere(wrong)[0])
            axes = f"{self.pressure[place[0]]:g} daPa and {self.frequency[place[1]]:g} Hz" if place[1:] else ""
            raise DataError(
                f"{name} holds {wrong.sum()} value{'s that are' if wrong.sum() > 1 else ' that is'} {fault}, the first "
                f"at {axes or f'index {place[0]}'}; remove them or leave the sweep out"
            )


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep from a ``.mat``, ``.csv`` or ``.npz`` file; no code in a file is executed.

    Raises:
        DataError: one sentence that does not name the file.
    """
    path = Path(path)
    readers = {".mat": _read_mat, ".csv": _read_csv, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"ends in {path.suffix!r}; a sweep is read from {', '.join(readers)}")
    content = reader(path)
    fields = {name.lower(): value for name, value in content.items()}
    for field in FIELDS:
        names = [name for name in content if name.lower() == field.lower()]
        if len(names) > 1:
            raise DataError(f"has {' and '.join(names)}; a sweep has one {field}")
    missing = [name for name in FIELDS if name.lower() not in fields]
    if missing:
        raise DataError(
            f"has no {' and no '.join(missing)}; a sweep has {', '.join(FIELDS)}, this file has "
            f"{listing(sorted(filter(None, fields)))}"
        )
    stated = {word for name, value in content.items() if "unit" in name.lower() for word in _units(name, value)}
    pressure, frequency, absorbance = (_numbers(name, fields[name.lower()]) for name in FIELDS)
    notes = () if stated >= STATED else (NO_UNIT,)
    return Sweep(_line("Pressure", pressure), _line("Frequency", frequency), np.atleast_2d(absorbance), notes)


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Write a sweep as ``.csv``: axes with 10 digits, values with 7."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([CORNER, *(f"{value:.10g}" for value in sweep.frequency)])
        for pressure, row in zip(sweep.pressure, sweep.absorbance, strict=True):
            writer.writerow([f"{pressure:.10g}", *(f"{value:.7g}" for value in row)])


def _read_csv(path: Path) -> Mapping[str, Any]:
    table = read_table(path)
    frequency, rows = (table.header_numbers, table.values) if table.header else (table.values[0], table.values[1:])
    rows = rows[~np.isnan(rows).all(axis=1)]
    words = [cell for cell, number in zip(table.header[1:], frequency[1:], strict=False) if np.isnan(number)]
    if words:
        raise DataError(f"has {shorten(words[0])!r} in its first row, which is not a frequency")
    unit = table.header[0] if table.header else ""
    return {"pressure": rows[:, 0], "frequency": frequency[1:], "absorbance": rows[:, 1:], "unit": unit}


def _read_npz(path: Path) -> Mapping[str, Any]:
    return load_arrays(path)


def _read_mat(path: Path) -> Mapping[str, Any]:
    wanted = {name.lower() for name in FIELDS}
    variables = load_mat(path, lambda name: name.lower() in wanted or "unit" in name.lower())
    structs = {
        name: records
        for name, records in variables.items()
        if isinstance(records, list) and any(wanted & {field.lower() for field in record} for record in records[:1])
    }
    if not structs:
        return variables
    (name, records), *others = structs.items()
    if others:
        raise DataError(f"holds {len(structs)} sweeps ({listing(structs)}); save each in its own file")
    if len(records) > 1:
        raise DataError(f"holds {len(records)} sweeps in the struct array {shorten(name)!r}; save each in its own file")
    return {name: value for name, value in variables.items() if "unit" in name.lower()} | dict(records[0])


def _units(name: str, value: Any) -> set[str]:
    """Return the words of a field that states units.

    Raises:
        DataError: if one of them is not known.
    """
    texts = np.ravel(value)
    if texts.dtype.kind != "U":
        raise DataError(
            f"states units in {shorten(name)!r}, which is not text; remove it if they are daPa, Hz and shares"
        )
    words = {word for text in texts for word in re.findall(r"[^\W\d_][^\W_]*|%", text[:1000].lower())}
    unknown = sorted(word for word in words - STATED if not WORDS.fullmatch(word))
    if unknown:
        raise DataError(
            f"states {listing(unknown)!r} of its values, which is not known; give pressures in daPa, frequencies in Hz "
            f"and absorbance as a share, and state {CORNER!r}"
        )
    return words


def _numbers(name: str, value: Any) -> Real:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} is not an array of real numbers")
    return array.astype(np.float64)


def _line(name: str, values: Real) -> Real:
    """Return (n,), (n, 1) or (1, n) as (n,)."""
    if sum(n != 1 for n in values.shape) > 1:
        raise DataError(f"{name} has the shape {values.shape}; one row or one column is expected")
    return values.reshape(-1)
