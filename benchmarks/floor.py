"""Compare training steps with the time that their floating-point operations take at the processor's best rate.

Usage: python benchmarks/floor.py [--widths 64 32 16] [--rounds 9] [--batch 60]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pairs import CLASSES, batch, model
from report import duration, section, table
from timing import alternate, has_bfloat16, print_machine
from torch.utils.flop_counter import FlopCounterMode

from multimodal_vae import Configuration, MultimodalVAE
from multimodal_vae.data.batch import Batch
from multimodal_vae.trainable import Precision
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import train_precision

DEMO = Path(__file__).parent.parent / "examples" / "otitis" / "quick.toml"
SIDE, PRODUCTS = 2048, 5

PROSE = """
*Operations* are those of a step's convolutions and matrix products, by torch's `FlopCounterMode`. *Floor* is the time
that they take at the rate of a large matrix product or convolution, whichever is faster, in the same precision and with
as many threads. What a step takes beyond it goes to operations whose time is that of memory, such as batch norm and
activations, and to calls of small operations. *Compact* is a step of `examples/otitis/quick.toml` with a batch of 15;
the others are steps of `examples/otitis/paper.toml` with a batch of {batch}.
"""


def rate(dtype: torch.dtype) -> float:
    """Return floating-point operations per second of a large product or convolution, the best of some."""
    x, maps, kernels = (torch.randn(shape).to(dtype) for shape in ((SIDE, SIDE), (8, 256, 32, 32), (256, 256, 3, 3)))
    maps = maps.to(memory_format=torch.channels_last)
    cases = {2 * SIDE**3: lambda: x @ x, 2 * maps.numel() * 256 * 9: lambda: F.conv2d(maps, kernels, padding=1)}
    rates = []
    for count, compute in cases.items():
        for _ in range(PRODUCTS):
            started = time.perf_counter()
            compute()
            rates.append(count / (time.perf_counter() - started))
    return max(rates)


def step(vae: MultimodalVAE, data: Batch, precision: Precision) -> Callable[[int], object]:
    """Return a function that takes a training step."""
    optimizer = adam(vae, 4e-4)

    def take(_: int) -> None:
        with train_precision(vae, precision):
            train_step(vae, [data], optimizer)

    return take


def operations(vae: MultimodalVAE, data: Batch) -> int:
    """Return the floating-point operations of a step."""
    with FlopCounterMode(display=False) as counter:
        step(vae, data, "float32")(0)
    return counter.get_total_flops()


def network(kind: Literal["compact"] | int, size: int) -> tuple[str, Callable[[], MultimodalVAE], Batch]:
    """Return the name, a function that builds the model, and a batch: of the demonstration, or of the paper."""
    if kind == "compact":
        return "compact", lambda: Configuration.read(DEMO).build(CLASSES).train(), batch(0, 15)
    return f"paper, width {kind}", lambda: model(kind), batch(0, size)


def rows(kinds: list[Literal["compact"] | int], rounds: int, size: int) -> Iterator[tuple[object, ...]]:
    """Yield one table row per network and precision."""
    precisions: list[Precision] = ["float32", *(["bfloat16"] if has_bfloat16() else [])]
    for kind in kinds:
        name, build, data = network(kind, size)
        count = operations(build(), data)
        timings = alternate({each: step(build(), data, each) for each in precisions}, rounds)
        for precision, timing in timings.items():
            floor = count / rate(getattr(torch, precision))
            yield (
                name,
                precision,
                f"{count / 1e9:.3g}",
                *map(duration, (floor, timing.seconds)),
                f"{timing.seconds / floor:.1f}",
            )


def main() -> None:
    """Print one table with one thread, and one with all."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="*", default=[64, 32, 16])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--batch", type=int, default=60)
    given = arguments.parse_args()
    print_machine()
    section("Steps and their floors", PROSE.format(batch=given.batch))
    head = ("network", "precision", "10⁹ operations", "floor", "time per step", "time / floor (lower is better)")
    most = torch.get_num_threads()
    for threads in dict.fromkeys((1, most)):
        torch.set_num_threads(threads)
        print(f"With {threads} thread{'s' * (threads > 1)}:\n")
        table(head, rows(["compact", *given.widths], given.rounds, given.batch))
    torch.set_num_threads(most)


if __name__ == "__main__":
    main()
