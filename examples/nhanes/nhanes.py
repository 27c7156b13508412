"""Ears of NHANES 2015-2018 as one manifest: wideband absorbance, tympanogram, hearing, and otoscopy.

Reads the public SAS transport files of the cycles that lie in a folder, such as ``AUX_I.xpt`` of 2015-2016, and writes
a CSV file with one row per ear. Variables are those of the codebooks of AUX, AUXTYM, AUXWBR and DEMO.

Run: ``python nhanes.py FOLDER nhanes.csv``
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CYCLES = {"I": "2015-2016", "J": "2017-2018"}
FILES = ("DEMO", "AUX", "AUXTYM", "AUXWBR")
EARS = {1: "right", 2: "left"}

CODES = (555, 666, 777, 888)
"""No peak, no response, refused, could not obtain."""

TYPES = {"Type A": "normal", "Type AS": "normal", "Type AD": "normal", "Type B": "flat", "Type C": "negative pressure"}
"""Class of each type of tympanogram; all other values have none."""

THRESHOLDS = {"U500": 500, "U1K1": 1000, "U2K": 2000, "U3K": 3000, "U4K": 4000, "U6K": 6000, "U8K": 8000}
MIDDLE_EAR = {"TMEP": "pressure_dapa", "TPV": "volume_ml", "TWID": "width_dapa", "TCOM": "compliance_ml"}
OTOSCOPY = {
    "right": {"normal": "AUXROTSP", "wax": "AUXROEXC", "impacted wax": "AUXROIMC", "other": "AUXROABN"},
    "left": {"normal": "AUXOTSPL", "wax": "AUXLOEXC", "impacted wax": "AUXLOIMC", "other": "AUXLOABN"},
}

FREQUENCIES, POINTS = 107, 256
PRESSURES = np.linspace(-250.0, 150.0, 64)
"""Grid of the tympanograms in daPa; a sweep that does not cover it is left out, since nothing is extrapolated."""

MOST_OUTSIDE = 0.1
"""Share of a curve's absorbances outside 0 to 1, which are artifacts, above which it is left out."""


class ReadError(Exception):
    """A file cannot be used; the message says why and what to do."""


def read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of a SAS transport file; missing numbers are NaN."""
    try:
        frame = pd.read_sas(path, format="xport", encoding="latin-1")
    except FileNotFoundError:
        raise ReadError(f"there is no {path}; download it from wwwn.cdc.gov/nchs/nhanes") from None
    except (ValueError, OSError, LookupError) as error:
        raise ReadError(f"{path} is no SAS transport file ({error}); download it again") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ReadError(f"{path} has no column {missing[0]}; use the files of 2015-2016 or 2017-2018")
    frame = frame[list(columns)]
    numeric = frame.select_dtypes("number").columns
    values = frame[numeric].mask(frame[numeric].abs() < 1e-70, 0.0)  # pandas reads a zero of SAS as 5e-79
    return frame.assign(**values).astype({"SEQN": int})


def ears_of(folder: Path, cycle: str) -> pd.DataFrame:
    """Return one row per ear of a cycle."""
    people = read(folder / f"DEMO_{cycle}.xpt", ["SEQN", "RIDAGEYR", "RIAGENDR"]).set_index("SEQN")
    exams = read(folder / f"AUX_{cycle}.xpt", ["SEQN", *_exam_columns()]).set_index("SEQN")
    curves = {"absorbance": absorbances(folder, cycle), "tympanogram": tympanograms(folder, cycle)}
    rows = []
    for person, exam in exams.iterrows():
        who = people.loc[person] if person in people.index else None
        for number, ear in EARS.items():
            row = {
                "sample_id": f"{person}-{ear}",
                "patient_id": str(person),
                "label": TYPES.get(str(exam[f"AUATYMT{ear[0].upper()}"]).strip(), ""),
                **{name: curve.get((person, number), "") for name, curve in curves.items()},
                **_exam(exam, ear),
                "ear": ear,
                "age": "" if who is None else f"{who['RIDAGEYR']:.0f}",
                "sex": "" if who is None else {1: "male", 2: "female"}.get(who["RIAGENDR"], ""),
                "cycle": CYCLES[cycle],
            }
            if row["absorbance"] or row["tympanogram"] or row["hz_1000"]:
                rows.append(row)
    return pd.DataFrame(rows)


def _exam_columns() -> list[str]:
    sided = [*(f"AUX{name}" for name in (*THRESHOLDS, *MIDDLE_EAR)), "AUATYMT"]
    return [f"{name}{side}" for side in "RL" for name in sided] + [x for y in OTOSCOPY.values() for x in y.values()]


def _exam(exam: pd.Series, ear: str) -> dict[str, str]:
    """Return thresholds in dB, summaries of the tympanogram, and the finding of otoscopy."""
    side = ear[0].upper()
    names = {**{name: f"hz_{hertz}" for name, hertz in THRESHOLDS.items()}, **MIDDLE_EAR}
    values = {name: exam[f"AUX{column}{side}"] for column, name in names.items()}
    numbers = {name: "" if np.isnan(x) or x in CODES else f"{x:g}" for name, x in values.items()}
    found = [word for word, column in OTOSCOPY[ear].items() if exam[column] == 1]
    return {**numbers, "otoscopy": found[-1] if found else ""}


def absorbances(folder: Path, cycle: str) -> dict[tuple[int, int], str]:
    """Return the absorbances at 107 frequencies from 226 to 8000 Hz, by person and ear, as text."""
    columns = [f"WBXA{number:03d}" for number in range(1, FREQUENCIES + 1)]
    frame = read(folder / f"AUXWBR_{cycle}.xpt", ["SEQN", "WBXFEAR", *columns])
    curves = {}
    for person, ear, *values in frame.itertuples(index=False, name=None):
        curve = np.array(values)
        outside = np.mean(~((curve >= 0) & (curve <= 1)))
        if not np.isnan(curve).any() and outside <= MOST_OUTSIDE:
            curves[person, int(ear)] = _text(curve.clip(0, 1))
    return curves


def tympanograms(folder: Path, cycle: str) -> dict[tuple[int, int], str]:
    """Return the admittance in ml on the grid of pressures, by person and ear, as text."""
    columns = [f"TYX{kind}{number:03d}" for kind in "PA" for number in range(1, POINTS + 1)]
    frame = read(folder / f"AUXTYM_{cycle}.xpt", ["SEQN", "TYXPEAR", *columns])
    curves = {}
    for person, ear, *values in frame.itertuples(index=False, name=None):
        pressure, admittance = np.array(values).reshape(2, POINTS)
        known = ~np.isnan(pressure + admittance)
        if known.any() and pressure[known].min() <= PRESSURES[0] and pressure[known].max() >= PRESSURES[-1]:
            curves[person, int(ear)] = _text(resampled(pressure[known], admittance[known]))
    return curves


def resampled(pressure: NDArray[np.float64], admittance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a curve on the grid; points at the same pressure are averaged."""
    levels, place = np.unique(pressure, return_inverse=True)
    means = np.bincount(place, admittance) / np.bincount(place)
    return np.interp(PRESSURES, levels, means)


def _text(curve: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.4g}" for value in curve)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of DEMO_I.xpt, AUX_I.xpt, AUXTYM_I.xpt, AUXWBR_I.xpt, ...")
    parser.add_argument("manifest", type=Path, help="CSV file to write")
    options = parser.parse_args(arguments)
    cycles = [cycle for cycle in CYCLES if (options.folder / f"AUX_{cycle}.xpt").exists()]
    try:
        if not cycles:
            raise ReadError(f"{options.folder} has neither AUX_I.xpt nor AUX_J.xpt; download them first")
        ears = pd.concat([ears_of(options.folder, cycle) for cycle in cycles])
    except ReadError as error:
        sys.exit(f"nhanes.py: {error}")
    ears.to_csv(options.manifest, index=False)
    print(f"{options.manifest}: {len(ears)} ears of {ears['patient_id'].nunique()} people")
    print(ears["label"].replace("", "unlabeled").value_counts().to_string(header=False))


if __name__ == "__main__":
    main()
