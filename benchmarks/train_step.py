"""One training step of the paper's model, ours and plain, from the same weights on the same batch.

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
from multimodal_vae.model import Precision
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import train_precision

RATE = 4e-4
SMOOTHED = 10
"""Steps of which a curve's points are the mean."""

Step = Callable[[Batch], float]

PROSE = """
One step of `examples/otitis/paper.toml`: a batch of 60, augmentation, corruption, forward, backward, Adam; both from
the same weights, on the same batches, with the same random numbers. *Plain* is the paper's step as a careful reader
would write it: eager float32, torch's usual layout, upsampling and then a convolution, pytorch-msssim, Adam as torch
has it. A test holds that both have the same weights, loss and gradients. The losses are those of the first steps;
later ones drift apart by rounding, as they do between any two machines.
"""


CURVES = """
The mean of the last {smoothed} of {steps} losses at a width of 16, from the same weights on the same batches, over
{seeds} seeds of augmentation and latents. With one seed, curves of two implementations stay together for the first
steps and then part as far as those of two seeds do, so seeds are compared with seeds.
"""
SEEDS = 4


def ours(width: int, precision: Precision) -> Step:
    """The package's own step."""
    vae = model(width)
    optimizer = adam(vae, RATE)

    def step(given: Batch) -> float:
        with train_precision(vae, precision):
            return train_step(vae, [given], optimizer)[0]["loss"]

    return step


def rival(width: int) -> Step:
    """The plain step, with the plugins' augmentation."""
    vae, net = model(width), plain.PlainVAE(width)
    net.load_state_dict(vae.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

    def step(given: Batch) -> float:
        with torch.no_grad():
            targets = vae.augment(given.samples)
            inputs = vae.corrupt(targets)
        return plain.train_step(net, list(inputs.values()), list(targets.values()), given.labels, optimizer)

    return step


def rivals(width: int) -> dict[str, Step]:
    """All of them, the plain one first."""
    steps = {"plain": rival(width), "float32": ours(width, "float32")}
    return steps | ({"bfloat16": ours(width, "bfloat16")} if has_bfloat16() else {})


def timed(widths: list[int], rounds: int, size: int = 60) -> Iterator[tuple[object, ...]]:
    """A row for each width and precision."""
    for width in widths:
        steps, losses = rivals(width), dict[str, list[float]]()

        def one(name: str, number: int, steps=steps, losses=losses) -> None:  # type: ignore[no-untyped-def]
            torch.manual_seed(number)  # the same flips, rotations, erasures and latents for each
            losses.setdefault(name, []).append(steps[name](batch(number, size)))

        timings = alternate({name: lambda n, name=name: one(name, n) for name in steps}, rounds)
        for name, timing in timings.items():
            curve = " ".join(f"{loss:.4f}" for loss in losses[name][:3])
            yield width, name, duration(timing.seconds), timing.speed, curve


def curve(step: Step, steps: int, seed: int, size: int = 60) -> torch.Tensor:
    """Smoothed losses over so many steps; the seed is that of augmentation and latents, not of weights or batches."""
    losses = []
    for number in range(steps):
        torch.manual_seed(1000 * seed + number)
        losses.append(step(batch(number, size)))
    return torch.tensor(losses).unfold(0, min(SMOOTHED, steps), 1).mean(1)


def curves(width: int, steps: int, size: int = 60, seeds: int = SEEDS) -> Iterator[tuple[object, ...]]:
    """A row for each way: its last losses over seeds, and how far their mean is from plain's."""
    plain_last = torch.zeros(0)
    for name in rivals(width):
        last = torch.stack([curve(rivals(width)[name], steps, seed, size)[-1] for seed in range(seeds)])
        plain_last = last if name == "plain" else plain_last
        error = ((last.var() + plain_last.var()) / seeds).sqrt()
        gap = last.mean() - plain_last.mean()
        apart = "" if name == "plain" else f"{gap:+.4f}, {gap.abs() / error:.1f} standard errors"
        yield name, f"{last.mean():.4f} ± {last.std():.4f}", apart


def main() -> None:
    """Print times and their ratios and, where asked, how far curves are apart."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 32, 16])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--batch", type=int, default=60)
    arguments.add_argument("--curves", type=int, default=0, metavar="STEPS")
    given = arguments.parse_args()
    print_machine()
    section("A training step", PROSE)
    head = ("width", "", "a step", "times as fast (quartiles)", "losses")
    table(head, timed(given.widths, given.rounds, given.batch))
    threads, narrow = torch.get_num_threads(), [width for width in given.widths if width < 64]
    if threads > 1 and narrow:
        torch.set_num_threads(1)
        print("On one thread, as where several trainings share a machine:\n")
        table(head, timed(narrow, given.rounds, given.batch))
        torch.set_num_threads(threads)
    if given.curves:
        print(CURVES.format(steps=given.curves, smoothed=SMOOTHED, seeds=SEEDS).strip() + "\n")
        table(("", "last losses", "from plain"), curves(16, given.curves, given.batch))


if __name__ == "__main__":
    main()
