"""Time a training step of the paper's model, compared with a plain one from the same weights on the same batches.

Usage: python benchmarks/train_step.py [--widths 64 32 16] [--rounds 9] [--curves 60]
"""

import argparse
from collections.abc import Callable, Iterator

import plain
import torch
from pairs import batch, model
from report import duration, section, table
from timing import alternate, has_bfloat16, print_machine

from multimodal_vae.data.batch import Batch
from multimodal_vae.trainable import Precision
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import train_precision

RATE = 4e-4
SMOOTHED = 10
"""Number of steps over which losses are averaged."""

Step = Callable[[Batch], float]

PROSE = """
One step of `examples/otitis/paper.toml`: a batch of 60, augmentation, corruption, forward pass, backward pass, Adam.
All implementations have the same weights, batches and random numbers. *Plain* is the paper's step in plain torch:
eager float32, torch's default memory layout, upsampling before convolution, pytorch-msssim, torch's Adam. A test
checks that weights, loss and gradients are equal. The losses are those of the first steps; later ones differ by
rounding, as they do between machines.
"""


CURVES = """
Mean of the last {smoothed} of {steps} losses at width 16, from the same weights on the same batches, over {seeds}
seeds of augmentation and latents. After the first steps, two implementations with the same seed differ as much as two
seeds, so the table compares means over seeds.
"""
SEEDS = 4


def package(width: int, precision: Precision) -> Step:
    """Return the package's training step."""
    vae = model(width)
    optimizer = adam(vae, RATE)

    def step(data: Batch) -> float:
        with train_precision(vae, precision):
            return train_step(vae, [data], optimizer)[0]["loss"]

    return step


def rival(width: int) -> Step:
    """Return the plain training step, with the plugins' augmentation."""
    vae, net = model(width), plain.PlainVAE(width)
    net.load_state_dict(vae.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

    def step(data: Batch) -> float:
        with torch.no_grad():
            targets = vae.augment(data.samples)
            inputs = vae.corrupt(targets)
        return plain.train_step(net, list(inputs.values()), list(targets.values()), data.labels, optimizer)

    return step


def rivals(width: int) -> dict[str, Step]:
    """Return all training steps by name, the plain one first."""
    steps = {"plain": rival(width), "float32": package(width, "float32")}
    return steps | ({"bfloat16": package(width, "bfloat16")} if has_bfloat16() else {})


def timings(widths: list[int], rounds: int, size: int = 60) -> Iterator[tuple[object, ...]]:
    """Yield one table row per width and implementation."""
    for width in widths:
        steps, losses = rivals(width), dict[str, list[float]]()

        def one(name: str, number: int, steps=steps, losses=losses) -> None:  # type: ignore[no-untyped-def]
            torch.manual_seed(number)  # the same flips, rotations, erasures and latents for all
            losses.setdefault(name, []).append(steps[name](batch(number, size)))

        by_name = alternate({name: lambda n, name=name: one(name, n) for name in steps}, rounds)
        for name, timing in by_name.items():
            curve = " ".join(f"{loss:.4f}" for loss in losses[name][:3])
            yield width, name, duration(timing.seconds), timing.speed, curve


def curve(step: Step, steps: int, seed: int, size: int = 60) -> torch.Tensor:
    """Return smoothed losses of a training; the seed is that of augmentation and latents, not of weights or batches."""
    losses = []
    for number in range(steps):
        torch.manual_seed(1000 * seed + number)
        losses.append(step(batch(number, size)))
    return torch.tensor(losses).unfold(0, min(SMOOTHED, steps), 1).mean(1)


def curves(width: int, steps: int, size: int = 60, seeds: int = SEEDS) -> Iterator[tuple[object, ...]]:
    """Yield one table row per implementation: last losses over seeds, and the difference of their mean from plain."""
    plain_last = torch.zeros(0)
    for name in rivals(width):
        last = torch.stack([curve(rivals(width)[name], steps, seed, size)[-1] for seed in range(seeds)])
        plain_last = last if name == "plain" else plain_last
        error = ((last.var() + plain_last.var()) / seeds).sqrt()
        gap = last.mean() - plain_last.mean()
        difference = "" if name == "plain" else f"{gap:+.4f}, {gap.abs() / error:.1f} standard errors"
        yield name, f"{last.mean():.4f} ± {last.std():.4f}", difference


def main() -> None:
    """Print times and speedups, and the differences of losses with ``--curves``."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 32, 16])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--batch", type=int, default=60)
    arguments.add_argument("--curves", type=int, default=0, metavar="STEPS")
    given = arguments.parse_args()
    print_machine()
    section("A training step", PROSE)
    head = ("width", "implementation", "time per step", "speedup (quartiles)", "losses")
    table(head, timings(given.widths, given.rounds, given.batch))
    threads, narrow = torch.get_num_threads(), [width for width in given.widths if width < 64]
    if threads > 1 and narrow:
        torch.set_num_threads(1)
        print("With one thread, as when several trainings share a machine:\n")
        table(head, timings(narrow, given.rounds, given.batch))
        torch.set_num_threads(threads)
    if given.curves:
        print(CURVES.format(steps=given.curves, smoothed=SMOOTHED, seeds=SEEDS).strip() + "\n")
        table(("implementation", "last losses", "difference from plain"), curves(16, given.curves, given.batch))


if __name__ == "__main__":
    main()
