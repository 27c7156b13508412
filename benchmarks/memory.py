"""Measure the peak memory of training and generation by the number of pairs, each in a separate process.

Usage: python benchmarks/memory.py [--sizes 100 1000 10000 100000] [--folder /tmp] [--tasks train sample]

Pairs are pictures of 64 x 64 with three channels and with one, in two classes; the network has width 8. ``train``
reads pairs from a torch data set into files, trains for one epoch into a run folder, and fits densities; ``sample``
writes generated pairs as PNG files. Files are removed after the measurement; ``train`` writes 6.6 GB for 10^5 pairs.
Nothing is timed, so that the machine may do other work.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from report import section, table
from torch.utils.data import Dataset

from multimodal_vae import Image, MultimodalDataset, MultimodalVAE, Synthesizer, fit, write_samples
from multimodal_vae.training.memory import peak_gib

CLASSES = ["ill", "well"]
NAMES = {"train": "training", "sample": "generating"}
PROSE = """
Peak resident memory of a process that does nothing else, including pages of mapped files (lower is better). Pairs are
pictures of 64 x 64 with three channels and with one, so that 100,000 pairs are 6.6 GB of float32; the network has
width 8. Training reads them from a torch data set into files, runs one epoch in batches of up to 128, and fits one
density per class. Generating writes PNG files. The allocator varies by about 0.1 GiB.
"""


def main() -> None:
    """Print a table of all sizes and tasks; with ``--alone``, run one task and print its peak."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    arguments.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.alone:
        TASKS[given.tasks[0]](given.sizes[0], given.folder)
        print(json.dumps(peak_gib(torch.device("cpu"))))
        return
    section("Memory, by the number of pairs", PROSE)
    peaks = {task: [measure(task, size, given.folder) for size in given.sizes] for task in given.tasks}
    head = ["pairs", *(f"{NAMES[task]}, GiB" for task in given.tasks)]
    table(
        head, ([f"{size:,}", *(f"{each[row]:.2f}" for each in peaks.values())] for row, size in enumerate(given.sizes))
    )


def measure(task: str, size: int, folder: Path) -> float:
    """Run a task in a new process, and return its peak memory in GiB."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        words = [sys.executable, __file__, "--tasks", task, "--sizes", str(size), "--folder", own, "--alone"]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


class Pairs(Dataset[Mapping[str, Any]]):
    """Pictures of noise around a level of their class, made on access."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        noise = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(row))
        pair = (0.2 * (row % 2) + 0.8 * noise).split((3, 1))
        return {"sample_id": f"s{row}", "label": row % 2, "color": pair[0], "gray": pair[1]}


def model() -> MultimodalVAE:
    """Return a model with the compact network."""
    parts = {"color": Image(size=(64, 64), width=8), "gray": Image(size=(64, 64), channels=1, width=8)}
    return MultimodalVAE(parts, CLASSES, latent_dim=32, seed=0)


def train(count: int, folder: Path) -> None:
    """Read pairs into files, train for one epoch, and fit densities."""
    vae = model()
    data = MultimodalDataset.from_dataset(Pairs(count), vae.modalities, CLASSES, folder=folder)
    training, validation, test = data.split(0.9, 0.05, 0.05)
    per_class = min(64, count // 4)
    fit(
        vae, training, validation, test, out=folder / "run", show=False, epochs=1, per_class=per_class, device="cpu",
        loggers=[],
    )  # fmt: skip
    Synthesizer(vae).fit(test)


def sample(count: int, folder: Path) -> None:
    """Generate ``count`` pairs, half per class, from an untrained model."""
    vae = model().eval()
    data = MultimodalDataset.from_dataset(Pairs(200), vae.modalities, CLASSES, folder=folder)
    counts = dict.fromkeys(CLASSES, count // 2)
    write_samples(folder / "new", Synthesizer(vae).fit(data), counts, 0, {"run": "none"})


TASKS: dict[str, Callable[[int, Path], None]] = {"train": train, "sample": sample}


if __name__ == "__main__":
    main()
