"""Measure time and memory of tables with many rows, beside pandas and a ``DataLoader``, each in a process of its own.

Usage: python benchmarks/rows.py [--sizes 10000 100000 1000000] [--rounds 3] [--folder /tmp]

Both read the same CSV file of eight numbers per row, in three classes and with two rows per patient. Files are removed
after the measurement; the largest table has 90 MB.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from report import duration, section, table

from multimodal_vae import MultimodalDataset, Table
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.training.memory import peak_gib

CLASSES = ["a", "b", "c"]
COLUMNS = [f"x{number}" for number in range(8)]
PER_CLASS = 20
STEPS = 300
"""Largest number of batches whose mean time is taken."""

STAGES = {
    "open": "open the file",
    "again": "open it again",
    "split": "split by patient",
    "first": "first batch",
    "step": "each further batch",
    "memory": "peak memory, MiB",
}
PROSE = f"""
Tables of {len(COLUMNS)} numbers per row, in three classes, two rows per patient: `MultimodalDataset.from_manifest`,
`split` and balanced batches of {PER_CLASS * len(CLASSES)}, beside `pandas.read_csv`, scikit-learn's `GroupShuffleSplit`
and a shuffling `DataLoader` in the same process. Unlike pandas, the package checks names and values, and keeps samples
in files; opened again, it reads them from its cache. Times are medians of the rounds, in which both take turns, each
in a process of its own; memory is the peak above that of the imports (both: lower is better).
"""


def write_table(path: Path, count: int) -> None:
    """Write a manifest of ``count`` rows."""
    rng = random.Random(0)  # noqa: S311  (no secret)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sample_id", "patient_id", "label", *COLUMNS])
        for row in range(count):
            numbers = [f"{rng.gauss(0, 1):.4f}" for _ in COLUMNS]
            rows.writerow([f"s{row}", f"p{row // 2}", CLASSES[row // 2 % 3], *numbers])


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, times: int = 1) -> Iterator[None]:
        """Time a block that does something so many times."""
        started = time.perf_counter()
        yield
        self.seconds[name] = (time.perf_counter() - started) / times


def package(path: Path, watch: Stopwatch) -> None:
    """Take all stages with the package."""
    parts = {"blood": Table(columns=dict.fromkeys(COLUMNS, "real"))}
    with watch.stage("open"):
        data = MultimodalDataset.from_manifest(path, parts, workers=0)
    del data
    with watch.stage("again"):
        data = MultimodalDataset.from_manifest(path, parts, workers=0)
    with watch.stage("split"):
        training, _, _ = data.split(0.8, 0.1, 0.1)
    with watch.stage("first"):
        drawn = BalancedBatches(training.labels, training.classes, PER_CLASS, torch.Generator().manual_seed(0))
        training.batch(drawn.draw())
    steps = min(STEPS, len(drawn))
    with watch.stage("step", steps):
        for _ in range(steps):
            training.batch(drawn.draw())


def rival(path: Path, watch: Stopwatch) -> None:
    """Take the same stages with pandas, scikit-learn and a ``DataLoader``."""
    import pandas
    from sklearn.model_selection import GroupShuffleSplit
    from torch.utils.data import DataLoader, Subset, TensorDataset

    def read() -> tuple[TensorDataset, "pandas.Series[str]"]:
        frame = pandas.read_csv(path)
        numbers = torch.from_numpy(frame[COLUMNS].to_numpy("float32"))
        labels = torch.from_numpy(frame["label"].map(CLASSES.index).to_numpy())
        return TensorDataset(numbers, labels), frame["patient_id"]

    for stage in ("open", "again"):
        with watch.stage(stage):
            data, patients = read()
    with watch.stage("split"):
        rows, _ = next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(patients, groups=patients))
    with watch.stage("first"):
        batches = iter(DataLoader(Subset(data, rows), PER_CLASS * len(CLASSES), shuffle=True))
        next(batches)
    steps = min(STEPS, len(rows) // (PER_CLASS * len(CLASSES)) - 1)
    with watch.stage("step", steps):
        for _ in range(steps):
            next(batches)


WAYS: dict[str, Callable[[Path, Stopwatch], None]] = {"package": package, "pandas": rival}


def alone(way: str, path: Path) -> dict[str, float]:
    """Return the seconds of each stage, and the peak memory above that of the imports in MiB."""
    import pandas  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    watch, before = Stopwatch(), peak_gib(torch.device("cpu")) or 0.0
    WAYS[way](path, watch)
    return watch.seconds | {"memory": ((peak_gib(torch.device("cpu")) or 0.0) - before) * 1024}


def measure(count: int, rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return the median of each stage by way."""
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=folder) as own:
        write_table(Path(own) / "manifest.csv", count)
        for number in range(rounds):
            for way in WAYS:
                copy = Path(own) / f"{way}-{number}"
                copy.mkdir()
                (copy / "manifest.csv").hardlink_to(Path(own) / "manifest.csv")
                words = [sys.executable, __file__, "--alone", way, "--folder", str(copy)]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
                results[way].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        way: {stage: statistics.median(each[stage] for each in rounds_of) for stage in STAGES}
        for way, rounds_of in results.items()
    }


def main() -> None:
    """Print one table per size; with ``--alone``, take the stages of one way and print their values."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments.add_argument("--alone", choices=list(WAYS), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.alone:
        print(json.dumps(alone(given.alone, given.folder / "manifest.csv")))
        return
    section("Rows", PROSE)
    results = {size: measure(size, given.rounds, given.folder) for size in given.sizes}
    table(
        ("rows", *(f"{stage}: {way}" for stage in STAGES.values() for way in WAYS)),
        (
            (
                f"{size:,}",
                *(
                    f"{each[way][stage]:.0f}" if stage == "memory" else duration(each[way][stage])
                    for stage in STAGES
                    for way in WAYS
                ),
            )
            for size, each in results.items()
        ),
    )


if __name__ == "__main__":
    main()
