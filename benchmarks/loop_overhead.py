"""The whole training loop against a bare one over the same steps.

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
Epochs of the package's own training loop, as it comes but for its hidden display: figures, the check that they are
finite, the log, the position, signals. *Bare* is a `for` over the same mathematics and no more: draw rows, copy the
batch, augment, corrupt, forward, total, backward, Adam. Epochs of both take turns in one process, and ratios are of
neighbors. A checkpoint is written every 300 seconds by default, so that no short epoch holds one: what it takes
stands apart.
"""


def bare_epoch(
    vae: MultimodalVAE, data: MultimodalDataset, batches: BalancedBatches, optimizer: torch.optim.Optimizer
) -> list[torch.Tensor]:
    """An epoch without anything around it; the losses, as tensors."""
    losses = []
    for rows in batches:
        given = data.batch(rows)
        with torch.no_grad():
            target = given.with_samples(vae.augment(given.samples))
            inputs = vae.corrupt(target.samples)
        loss = vae.objective.total(vae(target, inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def seconds(
    network: Literal["compact", "residual"], width: int, batches: int, rounds: int, folder: Path, per_class: int = 20
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each round's epochs, without the first, which warms up; and of writing a checkpoint."""
    vae, other = model(width, network=network), model(width, network=network)
    data = dataset(batches * 3 * per_class, vae.modalities)
    drawn = BalancedBatches(data.labels, data.classes, per_class, torch.Generator().manual_seed(0))
    optimizer = adam(other, RATE)
    logger = JSONLines()
    logger.open(folder, {})
    spent: dict[str, list[float]] = {"bare": [], "loop": []}
    started = time.perf_counter()

    def on_epoch(epoch: Epoch) -> None:
        """End the loop's clock, time a bare epoch, and begin the loop's anew: what follows the call counts as well."""
        nonlocal started
        logger.log(epoch.steps, epoch.values)
        spent["loop"].append(time.perf_counter() - started)
        started = time.perf_counter()
        bare_epoch(other, data, drawn, optimizer)
        spent["bare"].append(time.perf_counter() - started)
        started = time.perf_counter()

    settings = Training(epochs=rounds + 1, per_class=per_class, learning_rate=RATE, device="cpu", loggers=[])
    train(vae, data, None, settings, on_epoch, show=False, checkpoint=folder / "checkpoint.safetensors")
    started = time.perf_counter()
    TrainingState(other, optimizer, drawn).save(folder / "checkpoint.safetensors")
    writing = time.perf_counter() - started
    return {name: own[1:] for name, own in spent.items()}, writing


def timed(
    cases: list[tuple[Literal["compact", "residual"], int, int]], rounds: int, per_class: int = 20
) -> Iterator[tuple[object, ...]]:
    """A row for each network."""
    for network, width, batches in cases:
        with tempfile.TemporaryDirectory() as folder:
            spent, writing = seconds(network, width, batches, rounds, Path(folder), per_class)
        timings = compared(spent)
        bare, loop = timings["bare"], timings["loop"]
        more = [f"{100 * (1 / ratio - 1):+.1f} %" for ratio in (loop.ratio, loop.high, loop.low)]
        share = 100 * writing / Training().checkpoint_seconds
        yield (
            f"{network}, width {width}",
            batches,
            duration(bare.seconds / batches),
            duration(loop.seconds / batches),
            f"{more[0]} ({more[1]} to {more[2]})",
            f"{duration(writing)}, {share:.2f} %",
        )


def main() -> None:
    """Print a line for each network."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    print_machine()
    section("The training loop", PROSE)
    head = (
        "network",
        "steps an epoch",
        "a bare step",
        "a step of the loop",
        "more (quartiles)",
        "a checkpoint, of 300 s",
    )
    table(head, timed([("compact", 16, 30), ("residual", 16, 8), ("residual", 32, 5)], given.rounds))


if __name__ == "__main__":
    main()
