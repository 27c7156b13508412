"""One training step of the paper's model, ours and plain, from the same weights on the same batch.

Usage: python benchmarks/train_step.py [--widths 64 32 16] [--rounds 9] [--curves 60]
"""

import argparse
import itertools
from collections.abc import Callable, Iterator

import plain
import torch
from pairs import batch, model
from report import duration, section, table
from timing import alternate, has_bfloat16, print_machine

from multimodal_vae.data.batch import Batch
from multimodal_vae.model import Precision
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimiser import adam
from multimodal_vae.training.precision import training_in

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
Losses over {steps} steps at a width of 16, each smoothed over {smoothed}, from the same weights on the same batches. A
seed is that of augmentation and latents. Where ours is nearer to plain than plain is to itself under another seed, the
difference is within the noise of seeds.
"""


def ours(width: int, precision: Precision) -> Step:
    """The package's own step."""
    vae = model(width)
    optimiser = adam(vae, RATE)

    def step(given: Batch) -> float:
        with training_in(vae, precision):
            return train_step(vae, [given], optimiser)[0]["loss"]

    return step


def rival(width: int) -> Step:
    """The plain step, with the plugins' augmentation."""
    vae, net = model(width), plain.PlainVAE(width)
    net.load_state_dict(vae.state_dict())
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)

    def step(given: Batch) -> float:
        with torch.no_grad():
            targets = vae.augment(given.samples)
            inputs = vae.corrupt(targets)
        return plain.train_step(net, list(inputs.values()), list(targets.values()), given.labels, optimiser)

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


def curves(width: int, steps: int, size: int = 60) -> Iterator[tuple[object, ...]]:
    """A row for each pair of curves: first how far seeds are apart, then how far ours is from plain with one seed."""
    seeded = [curve(rival(width), steps, seed, size) for seed in range(3)]
    for a, b in itertools.combinations(range(3), 2):
        yield f"plain, seed {a} and seed {b}", *_apart(seeded[a], seeded[b])
    for name in [name for name in rivals(width) if name != "plain"]:
        own = curve(rivals(width)[name], steps, 0, size)
        yield f"plain and {name}, seed 0", *_apart(seeded[0], own)


def _apart(a: torch.Tensor, b: torch.Tensor) -> tuple[str, str]:
    gap = (a - b).abs()
    return f"{gap.mean():.5f}", f"{a[-1]:.4f} and {b[-1]:.4f}"


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
    table(
        ("width", "", "a step", "times as fast (quartiles)", "losses"), timed(given.widths, given.rounds, given.batch)
    )
    if given.curves:
        print(CURVES.format(steps=given.curves, smoothed=SMOOTHED).strip() + "\n")
        table(("", "mean absolute difference", "last losses"), curves(16, given.curves, given.batch))


if __name__ == "__main__":
    main()
