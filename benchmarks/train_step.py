"""One training step of the paper's model, ours and plain, from the same weights on the same batch.

Usage: python benchmarks/train_step.py [--widths 64 32 16] [--steps 7]
"""

import argparse
from collections.abc import Callable

import plain
import torch
import torch.nn.functional as F
from timing import alternate, has_bfloat16, print_machine
from torch import Tensor

from multimodal_vae import MultimodalVAE
from multimodal_vae.data.batch import Batch
from multimodal_vae.model import Precision
from multimodal_vae.training.loop import train_step
from multimodal_vae.training.optimiser import adam
from multimodal_vae.training.precision import training_in

RATE = 4e-4


def model(width: int) -> MultimodalVAE:
    """The model of ``examples/otitis/paper.toml``, at any width."""
    parts = {name: {"name": name, "width": width} for name in ("otoscopy", "wbt")}
    return MultimodalVAE(parts, ["NOE", "OME", "AOM"], seed=0).train()


def batch(seed: int) -> Batch:
    """Smooth pictures and grids, 20 of each class, whose brightness says the class."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 3

    def smooth(channels: int) -> Tensor:
        coarse = torch.rand(60, channels, 8, 8, generator=rng) * 0.6 + 0.2 * labels[:, None, None, None]
        return F.interpolate(coarse, (64, 64), mode="bilinear")

    samples = {"otoscopy": smooth(3), "wbt": smooth(1)}
    return Batch(samples, torch.ones(60, 2, dtype=torch.bool), labels, [str(row) for row in range(60)])


def ours(width: int, precision: Precision) -> Callable[[Batch], float]:
    """The package's own step."""
    vae = model(width)
    optimiser = adam(vae, RATE)

    def step(given: Batch) -> float:
        with training_in(vae, precision):
            return train_step(vae, [given], optimiser)[0]["loss"]

    return step


def rival(width: int) -> Callable[[Batch], float]:
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


def main() -> None:
    """Print a line for each width and precision: times, their ratio, and the losses of the same batches."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--widths", type=int, nargs="+", default=[64, 32, 16])
    arguments.add_argument("--steps", type=int, default=7)
    given = arguments.parse_args()
    print_machine()
    for width in given.widths:
        steps = {"plain": rival(width), "float32": ours(width, "float32")}
        if has_bfloat16():
            steps["bfloat16"] = ours(width, "bfloat16")
        losses: dict[str, list[float]] = {name: [] for name in steps}

        def timed(name: str, number: int, steps=steps, losses=losses) -> None:  # type: ignore[no-untyped-def]
            torch.manual_seed(number)  # the same flips, rotations, erasures and latents for each
            losses[name].append(steps[name](batch(number)))

        seconds, ratios = alternate({name: lambda n, name=name: timed(name, n) for name in steps}, given.steps)
        for name in steps:
            curve = " ".join(f"{loss:.4f}" for loss in losses[name])
            print(
                f"width {width:2}  {name:8}  {seconds[name]:6.3f} s  {ratios[name]:4.2f}x  losses {curve}", flush=True
            )


if __name__ == "__main__":
    main()
