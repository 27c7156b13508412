"""Time the package's training loop, compared with a bare loop over the same steps.

Usage: python benchmarks/loop_overhead.py [--rounds 9]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pairs import dataset, model
from report import duration, section, table
from timing import compared, print_machine

from multimodal_vae import MultimodalDataset, MultimodalVAE
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.loggers.jsonl import JSONLines
from multimodal_vae.training.checkpoint import TrainingState
from multimodal_vae.training.loop import Epoch, train
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.settings import Training

RATE = 4e-4

PROSE = """
Epochs of the package's training loop with its defaults and no display: it computes metrics, checks that they are
finite, logs them, and handles signals. The *bare* loop only draws rows, copies the batch, augments, corrupts, and
makes forward pass, loss, backward pass and Adam step. Epochs of both alternate in one process; ratios compare
adjacent epochs. A checkpoint is written every 300 seconds by default, and no epoch here takes that long, so its time
is given separately.
"""


def bare_epoch(
    vae: MultimodalVAE, data: MultimodalDataset, batches: BalancedBatches, optimizer: torch.optim.Optimizer
) -> list[torch.Tensor]:
    """Train one epoch with the bare loop, and return its losses."""
    losses = []
    for rows in batches:
        batch = data.batch(rows)
        with torch.no_grad():
            target = batch.with_samples(vae.augment(batch.samples))
            inputs = vae.corrupt(target.samples)
        loss = vae.objective.total(vae(target, inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def epoch_seconds(
    network: Literal["compact", "residual"], width: int, batches: int, rounds: int, folder: Path, per_class: int = 20
) -> tuple[dict[str, list[float]], float]:
    """Return the seconds of each loop's epochs, without the first one, and of writing a checkpoint."""
    vae, other = model(width, network=network), model(width, network=network)
    data = dataset(batches * 3 * per_class, vae.modalities)
    bare_batches = BalancedBatches(data.labels, data.classes, per_class, torch.Generator().manual_seed(0))
    optimizer = adam(other, RATE)
    logger = JSONLines()
    logger.open(folder, {})
    spent: dict[str, list[float]] = {"bare": [], "loop": []}
    started = time.perf_counter()

    def on_epoch(epoch: Epoch) -> None:
        """Stop the loop's clock, time a bare epoch, and restart the loop's clock for what follows this call."""
        nonlocal started
        logger.log(epoch.steps, epoch.values)
        spent["loop"].append(time.perf_counter() - started)
        started = time.perf_counter()
        bare_epoch(other, data, bare_batches, optimizer)
        spent["bare"].append(time.perf_counter() - started)
        started = time.perf_counter()

    settings = Training(epochs=rounds + 1, per_class=per_class, learning_rate=RATE, device="cpu", loggers=[])
    train(vae, data, None, settings, on_epoch, show=False, checkpoint=folder / "checkpoint.safetensors")
    started = time.perf_counter()
    TrainingState(other, optimizer, bare_batches, len(bare_batches)).save(folder / "checkpoint.safetensors")
    writing = time.perf_counter() - started
    return {name: own[1:] for name, own in spent.items()}, writing


def timings(
    cases: list[tuple[Literal["compact", "residual"], int, int]], rounds: int, per_class: int = 20
) -> Iterator[tuple[object, ...]]:
    """Yield one table row per network."""
    for network, width, batches in cases:
        with tempfile.TemporaryDirectory() as folder:
            spent, writing = epoch_seconds(network, width, batches, rounds, Path(folder), per_class)
        by_loop = compared(spent)
        bare, loop = by_loop["bare"], by_loop["loop"]
        overhead = [f"{100 * (1 / ratio - 1):+.1f} %" for ratio in (loop.ratio, loop.high, loop.low)]
        share = 100 * writing / Training().checkpoint_seconds
        yield (
            f"{network}, width {width}",
            batches,
            duration(bare.seconds / batches),
            duration(loop.seconds / batches),
            f"{overhead[0]} ({overhead[1]} to {overhead[2]})",
            f"{duration(writing)}, {share:.2f} %",
        )


def main() -> None:
    """Print a table with one row per network."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    print_machine()
    section("The training loop", PROSE)
    head = (
        "network",
        "steps per epoch",
        "step of the bare loop",
        "step of the package's loop",
        "overhead (quartiles)",
        "checkpoint, share of 300 s",
    )
    table(head, timings([("compact", 16, 30), ("residual", 16, 8), ("residual", 32, 5)], given.rounds))


if __name__ == "__main__":
    main()
