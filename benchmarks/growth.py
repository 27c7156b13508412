"""Time how training steps grow with modalities, latent and batch, mining with the batch, and densities with latents.

Usage: python benchmarks/growth.py [--rounds 9]
"""

import argparse
import time
from collections.abc import Callable, Mapping

import torch
from report import duration, section, table
from timing import alternate, print_machine

from multimodal_vae import KDE, Image, MultimodalVAE, Triplet
from multimodal_vae.data.batch import Batch
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam

BUDGET = 60.0
"""Time for the rounds of one table in seconds, estimated from the first round; there are always three rounds."""

PROSE = """
Training steps of the compact network at width 16 on gray pictures of 64 x 64, without augmentation. Unless varied,
there are two modalities, 128 latent dimensions and a batch of 60. The last two tables time the triplet loss with its
gradient, and fitting a KDE including its bandwidth, both in 128 dimensions. Each table has as many rounds as take a
minute, at least three.
"""


def step(
    modalities: int = 2, latent_dim: int = 128, batch: int = 60, fusion: str | Mapping[str, object] = "concat"
) -> Callable[[int], object]:
    """Return a function that takes a training step."""
    names = [f"picture {number}" for number in range(modalities)]
    part = Image(size=(64, 64), channels=1, width=16, network="compact")
    vae = MultimodalVAE(dict.fromkeys(names, part), ["a", "b", "c"], fusion, latent_dim=latent_dim, seed=0).train()
    rng = torch.Generator().manual_seed(0)
    samples = {name: torch.rand(batch, 1, 64, 64, generator=rng) for name in names}
    present = torch.ones(batch, modalities, dtype=torch.bool)
    data = Batch(samples, present, torch.arange(batch) % 3, [str(row) for row in range(batch)])
    optimizer = adam(vae, 4e-4)
    return lambda _: train_step(vae, [data], optimizer)


def mining(count: int) -> Callable[[int], object]:
    """Return a function that computes the triplet loss and its gradient."""
    latents = torch.randn(count, 128, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels, loss = torch.arange(count) % 3, Triplet()
    return lambda _: torch.autograd.grad(loss(latents, labels), latents)


def fitting(count: int) -> Callable[[int], object]:
    """Return a function that fits a KDE and its bandwidth."""
    latents = torch.randn(count, 128, generator=torch.Generator().manual_seed(0))
    return lambda _: KDE().fit(latents)


def print_growth(
    quantity: str, functions: Mapping[int, Callable[[int], object]], rounds: int, budget: float = BUDGET
) -> None:
    """Print a table of times by a quantity.

    Args:
        quantity: its name.
        functions: by value of the quantity; the first is the reference.
        rounds: largest number of rounds.
        budget: seconds for all rounds.
    """
    started = time.perf_counter()
    for function in functions.values():
        function(0)
    once = time.perf_counter() - started
    rounds = min(rounds, max(3, int(budget / once) - 1))
    timings = alternate({str(number): function for number, function in functions.items()}, rounds)
    first = next(iter(functions))
    table(
        (quantity, "time", "time relative to the first (quartiles)", "quantity relative to the first", "rounds"),
        (
            (
                number,
                duration(own.seconds),
                f"{1 / own.ratio:.2f} ({1 / own.high:.2f} to {1 / own.low:.2f})",
                f"{number / first:g}",
                rounds,
            )
            for number, own in ((int(name), own) for name, own in timings.items())
        ),
    )


def main() -> None:
    """Print one table per quantity."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--modalities", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--latents", type=int, nargs="+", default=[16, 64, 256, 1024])
    arguments.add_argument("--batches", type=int, nargs="+", default=[30, 60, 120, 240, 480, 960])
    arguments.add_argument("--mined", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    arguments.add_argument("--fitted", type=int, nargs="+", default=[100, 256, 512, 1024, 2048, 4096])
    given = arguments.parse_args()
    print_machine()
    section("Growth", PROSE)
    print_growth("modalities", {n: step(modalities=n) for n in given.modalities}, given.rounds)
    print_growth("latent dimensions", {n: step(latent_dim=n) for n in given.latents}, given.rounds)
    print_growth("samples in a batch", {n: step(batch=n) for n in given.batches}, given.rounds)
    print_growth("latents mined for triplets", {n: mining(n) for n in given.mined}, given.rounds)
    print_growth("latents of a KDE", {n: fitting(n) for n in given.fitted}, given.rounds)


if __name__ == "__main__":
    main()
