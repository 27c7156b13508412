"""Cut heart beats with their rhythm out of the MIT-BIH Arrhythmia Database, and write the file for the example.

Run: ``python examples/ecg/beats.py beats.npz --records mitdb``, where ``mitdb`` contains ``100.hea``, ``100.dat``,
``100.atr`` and so on. ``--download`` fetches them from PhysioNet into that folder first.

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
from multimodal_vae.modalities.recordings import ratio_of_rates
from multimodal_vae_ecg import open_record, resample
from multimodal_vae_ecg.wfdb_records import import_wfdb

RECORDS = ("100", "102", "104", "105", "106", "108", "114", "116", "119", "121", "123", "200")
TEST = ("105", "114", "119", "123")
"""Held-out recordings."""

BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Annotation codes of beats, from PhysioNet's table; the other codes are rhythm changes, noise and comments."""

RATE = 128.0
"""Sampling rate of beats, in Hz."""

BEFORE, AFTER = 0.4, 0.6
"""Length of a beat before and after its R peak, in seconds."""

HISTORY = 10
"""Number of preceding intervals whose median is the usual interval."""

MOST = (250, 450)
"""Largest numbers of other beats and of PVCs from one recording."""


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description="Cut beats out of the MIT-BIH Arrhythmia Database.")
    parser.add_argument("out", type=Path, help=".npz file to write")
    parser.add_argument("--records", type=Path, required=True, help="folder of WFDB records with .atr annotations")
    parser.add_argument("--download", action="store_true", help="fetch 12 records of mitdb from PhysioNet first")
    parser.add_argument("--seed", type=int, default=0, help="seed of the selection of beats (default 0)")
    given = parser.parse_args()
    sys.exit(run_command(lambda: write_beats(given.out, given.records, given.download, given.seed)))


def write_beats(out: Path, folder: Path, download: bool = False, seed: int = 0) -> None:
    """Write the beats of all of :data:`RECORDS` in a folder.

    Raises:
        DataError: if records are missing, or one cannot be read.
    """
    wfdb = import_wfdb()
    if download:
        wfdb.dl_database("mitdb", str(folder), records=list(RECORDS), annotators=["atr"])
    names = [name for name in RECORDS if (folder / f"{name}.hea").exists()]
    if not set(names) & set(TEST) or not set(names) - set(TEST):
        raise DataError(
            f"{folder} holds the records {', '.join(names) or 'none'}; it needs one of {', '.join(TEST)} and one "
            "other record. Copy the mitdb files there, or use --download"
        )
    rng = np.random.default_rng(seed)
    parts = [_select(beats_of(folder, name), rng) for name in names]
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
    """Return the beats of a record as :func:`cut_beats` does."""
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
    """Cut a window around each R peak, and compute the intervals before and after it.

    Beats without a complete window or without enough preceding intervals are left out.

    Args:
        signal: (samples,) at :data:`RATE`.
        peaks: R peaks of all beats in seconds, ascending.
        symbols: annotation of each beat; ``"V"`` is a PVC.

    Returns:
        ``ecg`` (N, 1, 128) less its median; ``rhythm`` (N, 4): the intervals before and after the beat in seconds, and
        each divided by the median of the ten preceding intervals; ``y`` (N,), 1 for a PVC.
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


def _select(beats: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Select at most :data:`MOST` beats of each class, in order."""
    rows = []
    for label, most in enumerate(MOST):
        of_class = np.flatnonzero(beats["y"] == label)
        rows.append(rng.choice(of_class, most, replace=False) if len(of_class) > most else of_class)
    selected = np.sort(np.concatenate(rows))
    return {key: array[selected] for key, array in beats.items()}


if __name__ == "__main__":
    main()
