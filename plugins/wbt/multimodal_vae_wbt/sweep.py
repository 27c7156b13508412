r"""One measurement, and the files it comes in.

A sweep has three fields, in whatever file it comes: ``Pressure`` in daPa, ``Frequency`` in Hz, and ``Absorbance``,
pressure by frequency. Their names may be written in upper or lower case.

==========  ==========================================================================================================
``.mat``    MATLAB up to version 7: one struct with the three fields, or the three as variables; others are ignored
``.npz``    the three as arrays; others are ignored
``.csv``    first row: a label such as ``pressure_daPa\frequency_Hz`` or nothing, then the frequencies; then a row for
            each pressure: the pressure, then its absorbances
==========  ==========================================================================================================
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.files import bounded_lines
from multimodal_vae.modalities.base import load_arrays
from multimodal_vae_wbt.mat import load_mat

Real = NDArray[np.float64]

FIELDS = ("Pressure", "Frequency", "Absorbance")
CORNER = r"pressure_daPa\frequency_Hz"

MOST_PRESSURE = 1000.0
"""daPa; no tympanometer reaches it, and a sweep in Pa does."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Absorbance as it was measured, checked: in sweep order, on the instrument's own frequencies.

    Attributes:
        pressure: (P,) in daPa relative to ambient, P at least 2; in whatever order they were measured.
        frequency: (F,) in Hz, F at least 2, all positive.
        absorbance: (P, F), the share of sound energy that the ear takes in; noise may take it out of 0 to 1.
    """

    pressure: Real
    frequency: Real
    absorbance: Real

    def __post_init__(self) -> None:
        """Check the fields against each other.

        Raises:
            DataError: if shapes do not fit, a value is not finite, or a unit is not the one above.
        """
        pressures, frequencies = len(self.pressure), len(self.frequency)
        for name, unit, axis in (("Pressure", "pressures", pressures), ("Frequency", "frequencies", frequencies)):
            if axis < 2:
                raise DataError(f"{name} has {axis} value{'s' * (axis != 1)}, and a sweep has at least 2 {unit}")
        shape = self.absorbance.shape
        if shape != (pressures, frequencies):
            raise DataError(
                f"Absorbance has the shape {shape}, and {pressures} pressures by {frequencies} frequencies ask for "
                f"{(pressures, frequencies)}" + ("; transpose it" if shape == (frequencies, pressures) else "")
            )
        for name, values in zip(FIELDS, (self.pressure, self.frequency, self.absorbance), strict=True):
            wrong = ~np.isfinite(values)
            count = int(wrong.sum())
            if count:
                place = tuple(int(index) for index in np.argwhere(wrong)[0])
                where = (
                    f"{self.pressure[place[0]]:g} daPa and {self.frequency[place[1]]:g} Hz"
                    if place[1:]
                    else f"index {place[0]}"
                )
                raise DataError(
                    f"{name} holds {count} value{'s that are' if count > 1 else ' that is'} not finite, the first "
                    f"at {where}; cut them out or leave the sweep out"
                )
        if self.frequency.min() <= 0:
            raise DataError(
                f"Frequency goes down to {self.frequency.min():g} and must be above 0 Hz; if those are pressures, "
                "exchange the axes"
            )
        if abs(self.pressure).max() >= MOST_PRESSURE:
            raise DataError(
                f"Pressure ranges from {self.pressure.min():g} to {self.pressure.max():g}, more than any "
                "tympanometer's in daPa; if it is in Pa, divide it by 10"
            )
        if np.median(self.absorbance) > 1:
            raise DataError(
                f"Absorbance has a median of {np.median(self.absorbance):g} and is a share from 0 to 1; if it is in "
                "percent, divide it by 100"
            )


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep from a ``.mat``, ``.csv`` or ``.npz`` file; nothing in a file is ever executed.

    Raises:
        DataError: with one sentence that does not name the file.
    """
    path = Path(path)
    readers = {".mat": _read_mat, ".csv": _read_csv, ".npz": load_arrays}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"ends in {path.suffix!r}, and a sweep is read from {', '.join(readers)}")
    fields = {name.lower(): value for name, value in reader(path).items()}
    missing = [name for name in FIELDS if name.lower() not in fields]
    if missing:
        raise DataError(
            f"has no {' and no '.join(missing)}; a sweep has {', '.join(FIELDS)}, and this file has "
            f"{', '.join(sorted(fields)) or 'nothing'}"
        )
    pressure, frequency, absorbance = (_numbers(name, fields[name.lower()]) for name in FIELDS)
    return Sweep(_line("Pressure", pressure), _line("Frequency", frequency), np.atleast_2d(absorbance))


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Write a sweep as ``.csv``, its axes to 10 digits and its values to 7."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([CORNER, *(f"{value:.10g}" for value in sweep.frequency)])
        for pressure, row in zip(sweep.pressure, sweep.absorbance, strict=True):
            writer.writerow([f"{pressure:.10g}", *(f"{value:.7g}" for value in row)])


def _read_csv(path: Path) -> Mapping[str, Real]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(bounded_lines(file)), start=1) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no text of comma-separated values ({error})") from error
    if not lines:
        raise DataError("is empty")
    columns = len(lines[0][1])
    if columns < 2 and ";" in lines[0][1][0]:
        raise DataError("is separated by semicolons; separate it by commas, with points in its numbers")
    table = np.empty((len(lines), columns))
    for row, (number, cells) in enumerate(lines):
        if len(cells) != columns:
            raise DataError(f"line {number} has {len(cells)} cells, the first line {columns}")
        table[row] = [_number(cell, number, row == column == 0) for column, cell in enumerate(cells)]
    return {"pressure": table[1:, 0], "frequency": table[0, 1:], "absorbance": table[1:, 1:]}


def _number(cell: str, line: int, corner: bool) -> float:
    try:
        return 0.0 if corner else float(cell)
    except ValueError:
        raise DataError(f"line {line} has {cell!r} where a number is wanted") from None


def _read_mat(path: Path) -> Mapping[str, Any]:
    variables = load_mat(path)
    wanted = {name.lower() for name in FIELDS}
    structs = {
        name: records
        for name, records in variables.items()
        if isinstance(records, list) and any(wanted & {field.lower() for field in record} for record in records[:1])
    }
    if not structs:
        return variables
    (name, records), *others = structs.items()
    if others:
        raise DataError(f"holds {len(structs)} sweeps ({', '.join(structs)}); give each a file of its own")
    if len(records) > 1:
        raise DataError(f"holds {len(records)} sweeps in the struct array {name!r}; give each a file of its own")
    fields: Mapping[str, Any] = records[0]
    return fields


def _numbers(name: str, value: Any) -> Real:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} is no array of real numbers")
    return array.astype(np.float64)


def _line(name: str, values: Real) -> Real:
    """Take (n,), (n, 1) or (1, n) as (n,)."""
    if sum(n != 1 for n in values.shape) > 1:
        raise DataError(f"{name} has the shape {values.shape}, where one row or one column is wanted")
    return values.reshape(-1)
