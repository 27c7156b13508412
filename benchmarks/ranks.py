"""Compute what training in several processes costs, from a measured step and stated networks; measure two processes.

Usage: python benchmarks/ranks.py [--ranks 2 8 64] [--rounds 9]
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from growth import mining
from report import duration, section, table
from timing import alternate, print_machine

from multimodal_vae import Image, MultimodalVAE, distributed
from multimodal_vae.data.batch import Batch
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimizer import adam

LATENT_DIM = 128
SIZE = (64, 64)
FLOAT = 4
"""Bytes of a number."""


@dataclass(frozen=True)
class Network:
    """A network between processes.

    Attributes:
        name: its name.
        bandwidth: bytes per second of one process in one direction.
        latency: seconds until a message arrives.
    """

    name: str
    bandwidth: float
    latency: float


NETWORKS = (
    Network("10 Gbit/s, 50 µs (Ethernet)", 1.25e9, 50e-6),
    Network("100 Gbit/s, 5 µs (InfiniBand)", 12.5e9, 5e-6),
    Network("3.6 Tbit/s, 2 µs (NVLink)", 450e9, 2e-6),
)

PROSE = f"""
Training steps in n processes, each with a batch of its own, so that a step sees n times the samples. A step takes the
measured time of one process, plus the exchange, plus the metric loss of all samples, which each process computes alike
(measured here for n batches, less that of one). The exchange is computed for stated networks; nothing is measured on
them:

- Ring all-reduce of the gradients, G bytes: 2 (n - 1) / n * G / bandwidth + 2 (n - 1) * latency (Patarasuk and Yuan,
  *Bandwidth optimal all-reduce algorithms for clusters of workstations*, 2009).
- All-gather of the latents, L bytes per process, and the same for their gradients: 2 (n - 1) * L / bandwidth +
  2 (n - 1) * latency.

torch sends gradients while it computes others, so that the exchange costs less than is added here. The gain is the
number of samples per second relative to one process (n is ideal; higher is better). The network is the compact one at
width {{width}}, on two gray pictures of {SIZE[0]} x {SIZE[1]}, with {LATENT_DIM} latent dimensions and batches of
{{batch}}: {{gradients}} of gradients and {{latents}} of latents.

Two processes with gloo on this machine, with one thread each: a step takes {{two}}; in one process with one thread
alone, {{one}}. The difference includes what both lose by sharing memory and cores.
"""


def exchange(network: Network, ranks: int, gradients: int, latents: int) -> float:
    """Return the seconds of a step's exchange.

    Args:
        network: the network.
        ranks: number of processes.
        gradients: bytes of all gradients.
        latents: bytes of one process's latents.

    Example:
        >>> round(exchange(Network("1 MB/s", 1e6, 0.5), 2, 10**6, 10**5), 9)
        3.2
    """
    hops = ranks - 1
    reduce = 2 * hops / ranks * gradients / network.bandwidth + 2 * hops * network.latency
    gather = 2 * hops * latents / network.bandwidth + 2 * hops * network.latency
    return reduce + gather


class Steps:
    """Training steps of this process.

    Args:
        width: width of the network.
        batch: samples per process.
    """

    def __init__(self, width: int, batch: int) -> None:
        part = Image(size=SIZE, channels=1, width=width, network="compact")
        names = ["a", "b"]
        self.vae = MultimodalVAE(dict.fromkeys(names, part), ["a", "b", "c"], "concat", latent_dim=LATENT_DIM, seed=0)
        rng = torch.Generator().manual_seed(0)
        samples = {name: torch.rand(batch, 1, *SIZE, generator=rng) for name in names}
        present, labels = torch.ones(batch, 2, dtype=torch.bool), torch.arange(batch) % 3
        self.batch = Batch(samples, present, labels, [str(row) for row in range(batch)])
        self.module = distributed.wrap_model(self.vae.train())
        self.optimizer = adam(self.vae, 4e-4)

    def take(self) -> None:
        """Take a step."""
        train_step(self.vae, [self.batch], self.optimizer, module=self.module)

    def median(self, rounds: int) -> float:
        """Return the median seconds of a step, after one that warms up."""
        seconds = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            self.take()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])


def measured(ranks: int, width: int, batch: int, rounds: int) -> float:
    """Return the seconds of a step in several processes on this machine.

    Raises:
        RuntimeError: if they fail; with the end of what they printed.
    """
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    words = ["--alone", "--width", str(width), "--batch", str(batch), "--rounds", str(rounds)]
    done = subprocess.run([*launcher, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{ranks} processes failed: {done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table; with ``--alone``, take the steps of one process and print their time."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ranks", type=int, nargs="+", default=[2, 8, 64])
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--width", type=int, default=16)
    arguments.add_argument("--batch", type=int, default=60)
    arguments.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.alone:
        torch.set_num_threads(1)
        with distributed.join_processes(torch.device("cpu")):
            seconds = Steps(given.width, given.batch).median(given.rounds)
            if distributed.rank() == 0:
                print(json.dumps(seconds))
        return
    print_machine()
    steps = Steps(given.width, given.batch)
    once = steps.median(given.rounds)
    gradients = FLOAT * sum(math.prod(weight.shape) for weight in steps.vae.parameters() if weight.requires_grad)
    latents = FLOAT * given.batch * LATENT_DIM
    one, two = (measured(ranks, given.width, given.batch, given.rounds) for ranks in (1, 2))
    sizes = {"width": given.width, "batch": given.batch, "one": duration(one), "two": duration(two)}
    section(
        "Several processes",
        PROSE.format(gradients=f"{gradients / 1e6:.3g} MB", latents=f"{latents / 1e3:.3g} kB", **sizes),
    )
    losses = {ranks: mining(ranks * given.batch) for ranks in (1, *given.ranks)}
    loss = {int(n): each.seconds for n, each in alternate({str(n): each for n, each in losses.items()}, 3).items()}
    rows = []
    for network in NETWORKS:
        for ranks in given.ranks:
            sent, more = exchange(network, ranks, gradients, latents), max(0.0, loss[ranks] - loss[1])
            gain = ranks * once / (once + sent + more)
            rows.append((network.name, ranks, *map(duration, (once, sent, more)), f"{gain:.3g}"))
    table(("network", "processes", "step of one process", "exchange", "metric loss of all samples", "gain"), rows)


if __name__ == "__main__":
    main()
