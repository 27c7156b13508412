"""Heart beats with their rhythm, cut from the MIT-BIH Arrhythmia Database: makes the file that the example trains on.

Run: ``python examples/ecg/beats.py beats.npz --records mitdb``, where ``mitdb`` holds ``100.hea``, ``100.dat``,
``100.atr`` and so on; with ``--download`` they are fetched into that folder from PhysioNet first.

Source: G. B. Moody and R. G. Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. in Med. and Biol. 20,
2001; PhysioNet, ``mitdb`` 1.0.0, Open Data Commons Attribution License 1.0.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.cli import run_command
from multimodal_vae_ecg import open_record, resample
from multimodal_vae_ecg.filters import ratio_of_rates
from multimodal_vae_ecg.records import import_wfdb

RECORDS = ("100", "102", "104", "105", "106", "108", "114", "116", "119", "121", "123", "200")
TEST = ("105", "114", "119", "123")
"""Recordings never trained on."""

BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Annotations that stand for a beat (PhysioNet's table of codes); the others are rhythm changes, noise and comments."""

RATE = 128.0
BEFORE, AFTER = 0.4, 0.6
"""Hz, and seconds before and after the R peak."""

HISTORY = 10
"""Intervals of which the median is the rhythm that a beat came into."""

MOST = (250, 450)
"""Of other beats and of PVCs, from one recording."""


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description="Cut beats out of the MIT-BIH Arrhythmia Database.")
    parser.add_argument("out", type=Path, help=".npz file to write")
    parser.add_argument("--records", type=Path, required=True, help="folder of WFDB records with .atr annotations")
    parser.add_argument("--download", action="store_true", help="fetch them there from PhysioNet (mitdb, 12 records)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of beats where there are too many")
    given = parser.parse_args()
    sys.exit(run_command(lambda: make(given.out, given.records, given.download, given.seed)))


def make(out: Path, folder: Path, download: bool = False, seed: int = 0) -> None:
    """Write beats of all records of the list that a folder holds.

    Raises:
        DataError: naming the record.
    """
    wfdb = import_wfdb()
    if download:
        wfdb.dl_database("mitdb", str(folder), records=list(RECORDS), annotators=["atr"])
    names = [name for name in RECORDS if (folder / f"{name}.hea").exists()]
    if not set(names) & set(TEST) or not set(names) - set(TEST):
        raise DataError(
            f"{folder} holds the records {', '.join(names) or 'none'}, and at least one of {', '.join(TEST)} and one "
            "other are wanted; put the mitdb files there, or ask for --download"
        )
    rng = np.random.default_rng(seed)
    parts = [_chosen(beats_of(folder, name), rng) for name in names]
    ecg, rhythm, y = (np.concatenate([part[key] for part in parts]) for key in ("ecg", "rhythm", "y"))
    group = np.repeat([int(name) for name in names], [len(part["y"]) for part in parts])
    test = np.isin(group, [int(name) for name in TEST])
    np.savez_compressed(
        out,
        ecg=ecg,
        rhythm=rhythm,
        y=y,
        group=group,
        train=np.flatnonzero(~test).astype(np.int32),
        test=np.flatnonzero(test).astype(np.int32),
        class_names=np.array(["other beat", "PVC"]),
    )


def beats_of(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    """All beats of a record that have a window and a history: ``ecg``, ``rhythm`` and ``y``, as the README says."""
    path = folder / name
    wfdb = import_wfdb()
    try:
        record = open_record(path, 1, RATE)
        recording = record.load(0, record.samples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # wfdb 4.3 uses what pandas 3.1 deprecates
            annotation = wfdb.rdann(str(path), "atr")
    except FileNotFoundError as error:
        raise DataError(f"record {name}: there is no file {error.filename}; copy it to {folder}") from error
    except DataError as error:
        raise DataError(f"record {name}: {error}") from error
    beats = [symbol in BEATS for symbol in annotation.symbol]
    symbols = np.array(annotation.symbol)[beats]
    signal = resample(recording, ratio_of_rates(record.rate, RATE))[0]
    return cut_beats(signal, np.asarray(annotation.sample)[beats] / record.rate, symbols.tolist())


def cut_beats(
    signal: NDArray[np.float64], peaks: NDArray[np.float64], symbols: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Cut a window round each R peak, and take the intervals beside it.

    Args:
        signal: (samples,) at :data:`RATE`.
        peaks: seconds of every beat, rising.
        symbols: annotation of each; ``"V"`` is a PVC.

    Returns:
        ``ecg`` (N, 1, 128) without its median; ``rhythm`` (N, 4): the interval before, the one after, and each over
        the median of the ten that came earlier, which neither belongs to; ``y`` (N,), 1 for a PVC.
    """
    intervals = np.diff(peaks)
    ecg, rhythm, y = [], [], []
    length = round((BEFORE + AFTER) * RATE)
    for beat in range(HISTORY + 1, len(peaks) - 1):
        start = round((peaks[beat] - BEFORE) * RATE)
        if start < 0 or start + length > len(signal):
            continue
        window = signal[start : start + length]
        beside = intervals[beat - 1 : beat + 1]
        usual = np.median(intervals[beat - 1 - HISTORY : beat - 1])
        ecg.append(window - np.median(window))
        rhythm.append([*beside, *(beside / usual)])
        y.append(int(symbols[beat] == "V"))
    return {
        "ecg": np.array(ecg, dtype=np.float32).reshape(-1, 1, length),
        "rhythm": np.array(rhythm, dtype=np.float32).reshape(-1, 4),
        "y": np.array(y, dtype=np.int64),
    }


def _chosen(beats: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Keep no more of each class than :data:`MOST`, in their order."""
    rows = []
    for label, most in enumerate(MOST):
        there = np.flatnonzero(beats["y"] == label)
        rows.append(rng.choice(there, most, replace=False) if len(there) > most else there)
    kept = np.sort(np.concatenate(rows))
    return {key: array[kept] for key, array in beats.items()}


if __name__ == "__main__":
    main()
