"""How time grows: a step with modalities, latent and batch; mining with a batch, fitting a density with its latents.

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
"""Seconds that the rounds of one table may take together, by the first; three rounds are always taken."""

PROSE = """
Training steps of the compact network at a width of 16 on gray pictures of 64 x 64, without augmentation: two
modalities, a latent of 128 and a batch of 60 but for what changes. Then the triplet loss alone with its gradient, and
fitting a KDE, bandwidth included, both in 128 dimensions. Rounds are as many as fit into a minute, at least three.
"""


def step(
    modalities: int = 2, latent_dim: int = 128, batch: int = 60, fusion: str | Mapping[str, object] = "concat"
) -> Callable[[int], object]:
    """A training step."""
    names = [f"picture {number}" for number in range(modalities)]
    part = Image(size=(64, 64), channels=1, width=16, network="compact")
    vae = MultimodalVAE(dict.fromkeys(names, part), ["a", "b", "c"], fusion, latent_dim=latent_dim, seed=0).train()
    rng = torch.Generator().manual_seed(0)
    samples = {name: torch.rand(batch, 1, 64, 64, generator=rng) for name in names}
    present = torch.ones(batch, modalities, dtype=torch.bool)
    given = Batch(samples, present, torch.arange(batch) % 3, [str(row) for row in range(batch)])
    optimizer = adam(vae, 4e-4)
    return lambda _: train_step(vae, [given], optimizer)


def mining(count: int) -> Callable[[int], object]:
    """The triplet loss and its gradient."""
    latents = torch.randn(count, 128, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels, loss = torch.arange(count) % 3, Triplet()
    return lambda _: torch.autograd.grad(loss(latents, labels), latents)


def fitting(count: int) -> Callable[[int], object]:
    """A KDE with the bandwidth that its latents ask for."""
    latents = torch.randn(count, 128, generator=torch.Generator().manual_seed(0))
    return lambda _: KDE().fit(latents)


def grown(what: str, functions: Mapping[int, Callable[[int], object]], rounds: int, budget: float = BUDGET) -> None:
    """Print a table of how time grows with a number."""
    started = time.perf_counter()
    for function in functions.values():
        function(0)
    once = time.perf_counter() - started
    rounds = min(rounds, max(3, int(budget / once) - 1))
    timings = alternate({str(number): function for number, function in functions.items()}, rounds)
    first = next(iter(functions))
    table(
        (what, "seconds", "relative to the first (quartiles)", "and the number itself", "rounds"),
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
    """Print a table for each of what grows."""
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
    grown("modalities", {n: step(modalities=n) for n in given.modalities}, given.rounds)
    grown("latent dimensions", {n: step(latent_dim=n) for n in given.latents}, given.rounds)
    grown("samples in a batch", {n: step(batch=n) for n in given.batches}, given.rounds)
    grown("latents mined for triplets", {n: mining(n) for n in given.mined}, given.rounds)
    grown("latents of a KDE", {n: fitting(n) for n in given.fitted}, given.rounds)


if __name__ == "__main__":
    main()
