"""What a training step costs with each fusion, beside one with ``poe``.

Usage: python benchmarks/fusion_step.py [--modalities 8] [--batch 60] [--rounds 9] [--fusions poe mopoe ...]
"""

import argparse
from collections.abc import Mapping

import torch
from growth import step
from report import duration, section, table
from timing import alternate, print_machine

from multimodal_vae import Fusion

FUSIONS: Mapping[str, Mapping[str, object]] = {
    "poe": {},
    "concat": {},
    "moe": {},
    "mopoe": {},
    "mvtcae": {},
    "jmvae": {},
    "mmvaeplus": {"private": 8},
}
"""All of them by name, with settings that are not their defaults; the first is what the others are compared with."""

PROSE = """
Training steps of {modalities} gray pictures of 64 x 64 with the compact network at a width of 16, a latent of 128 and a
batch of {batch}, without augmentation; fusions as they come, `mmvaeplus` with 8 private dimensions a modality. What a
step costs follows from what a fusion asks: every sample is encoded once, and decoded as often as its subsets rebuild a
modality.
"""


def asked(spec: Mapping[str, object], modalities: int) -> str:
    """How many subsets of a complete sample a step asks, and how many reconstructions they make."""
    subsets = Fusion.of(spec).subsets(torch.ones(1, modalities, dtype=torch.bool))
    counted = subsets.weight > 0
    return f"{int(counted.sum())}, {int((subsets.reconstruction_weight[counted] > 0).sum())}"


def main() -> None:
    """Print times and their ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--modalities", type=int, default=8)
    arguments.add_argument("--batch", type=int, default=60)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--fusions", nargs="+", choices=FUSIONS, default=list(FUSIONS))
    given = arguments.parse_args()
    print_machine()
    section("A step with each fusion", PROSE.format(modalities=given.modalities, batch=given.batch))
    specs = {name: {"name": name, **FUSIONS[name]} for name in given.fusions}
    steps = {name: step(given.modalities, batch=given.batch, fusion=spec) for name, spec in specs.items()}
    timings = alternate(steps, given.rounds)
    first = given.fusions[0]
    table(
        ("fusion", "subsets, reconstructions a sample", "a step", f"of {first}'s (quartiles)"),
        (
            (
                name,
                asked(specs[name], given.modalities),
                duration(own.seconds),
                f"{1 / own.ratio:.2f} ({1 / own.high:.2f} to {1 / own.low:.2f})",
            )
            for name, own in timings.items()
        ),
    )


if __name__ == "__main__":
    main()
