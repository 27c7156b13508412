"""The stages of ``gpu.py`` that train the paper's model, and evaluate it."""

import argparse
import json
import os
import signal
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from pairs import CLASSES, samples
from report import duration

from multimodal_vae import Configuration, TrainingInterrupted, open_run
from multimodal_vae.report.records import read_metrics
from multimodal_vae.report.run_evaluation import write_evaluation
from multimodal_vae.run import train_run

RECIPE = Path(__file__).parent.parent / "examples" / "otitis" / "paper.toml"
Row = tuple[object, ...]


def training(given: argparse.Namespace) -> Iterator[Row]:
    """Train until a third of the epochs, stop as SIGTERM does, resume to the end, and yield one row per part.

    A script that was stopped itself resumes the training, and the row of a part covers what it saw of it.
    """
    folder = given.out / "paper"
    configuration = Configuration(**recipe(given))
    epochs = configuration.training.epochs or 0
    for name, until in (("to the stop", epochs // 3), ("resumed", epochs)):
        first, started = _done(folder), time.perf_counter()
        if first[0] >= until:
            continue
        with _StopAt(folder, until if until < epochs else None) as stop:
            try:
                train_run(configuration, folder, show=not given.tiny)
            except TrainingInterrupted:
                if not stop.sent:  # the script itself is stopped
                    raise
        seconds, last = time.perf_counter() - started, _done(folder)
        count = max(1, last[1] - first[1])
        yield name, last[0] - first[0], count, duration(seconds), duration(seconds / count)


class _StopAt:
    """Within a block, send this process SIGTERM when a training in a folder has finished so many epochs.

    Args:
        folder: the run.
        epochs: number of epochs; None to send nothing.
    """

    def __init__(self, folder: Path, epochs: int | None) -> None:
        self.sent = False
        self._folder, self._epochs = folder, epochs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        # The training handles SIGTERM; one that comes too late for it must not end the script.
        self._handler = signal.signal(signal.SIGTERM, self._outside)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        signal.signal(signal.SIGTERM, self._handler)

    def _outside(self, *_: object) -> None:
        if not self.sent:
            raise SystemExit(128 + signal.SIGTERM)

    def _watch(self) -> None:
        while self._epochs is not None and not self._ended.wait(0.02):
            if _done(self._folder)[0] >= self._epochs:
                self.sent = True
                os.kill(os.getpid(), signal.SIGTERM)
                return


def _done(folder: Path) -> tuple[int, int]:
    """Return how many epochs and steps a run has logged."""
    log = folder / "log.jsonl"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    complete = [line for line in lines if line.endswith("}")]
    last = json.loads(complete[-1]) if complete else {"epoch": 0, "step": 0}
    return last["epoch"], last["step"]


def evaluation(given: argparse.Namespace) -> Iterator[Row]:
    """Evaluate the run as ``mmvae evaluate`` does, and yield one row per metric."""
    folder = given.out / "paper"
    if not (folder / "model.safetensors").exists():
        raise SystemExit(f"{folder} has no trained model; run the stage 'paper' first")
    write_evaluation(open_run(folder), count=10 if given.tiny else 300)
    for result in read_metrics(folder)["results"]:
        yield result.name, _number(result.value), _number(result.real), _number(result.baseline)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def recipe(given: argparse.Namespace) -> dict[str, Any]:
    """Return the paper's recipe with the manifest, the device and the number of epochs."""
    table = tomllib.loads(RECIPE.read_text("utf-8"))
    manifest = given.manifest or (RECIPE.parent / table["data"]["manifest"]).resolve()
    changes = {"device": given.device, "epochs": given.epochs, "checkpoint_seconds": 60.0}
    if given.tiny:
        manifest = _tiny_cohort(given.out / "cohort")
        changes |= {"epochs": 6, "per_class": 4}
        for modality in table["modalities"].values():
            modality |= {"width": 4, "network": "compact"}
    if not manifest.exists():
        raise SystemExit(f"there is no {manifest}; write it with: python examples/otitis/cohort.py {manifest.parent}")
    table["data"]["manifest"] = manifest
    table["training"] |= changes
    return table


def _tiny_cohort(folder: Path, count: int = 72) -> Path:
    """Write made-up pairs as arrays, each of a patient of its own, and return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["sample_id,patient_id,label,otoscopy,wbt"]
    pairs = samples(count, 0)
    for row in range(count):
        files = {name: folder / f"{name}-{row}.npy" for name in pairs}
        for name, path in files.items():
            np.save(path, pairs[name][row].numpy())
        rows.append(f"s{row},p{row},{CLASSES[row % 3]}," + ",".join(path.name for path in files.values()))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "manifest.csv"
