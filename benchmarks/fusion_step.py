"""Time a training step with each fusion, compared with ``poe``.

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
"""Settings of each fusion that are not defaults; the first fusion is the reference."""

PROSE = """
Training steps with {modalities} gray pictures of 64 x 64, the compact network at width 16, 128 latent dimensions and
a batch of {batch}, without augmentation. Fusions have their defaults, except that `mmvaeplus` has 8 private
dimensions per modality. Every sample is encoded once and decoded once per reconstruction, so that the number of
reconstructions determines the time.
"""


def subset_counts(spec: Mapping[str, object], modalities: int) -> str:
    """Return the numbers of subsets and of reconstructions per complete sample and step."""
    subsets = Fusion.of(spec).subsets(torch.ones(1, modalities, dtype=torch.bool))
    counted = subsets.weight > 0
    return f"{int(counted.sum())}, {int((subsets.reconstruction_weight[counted] > 0).sum())}"


def main() -> None:
    """Print a table with one row per fusion."""
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
        ("fusion", "subsets, reconstructions per sample", "time per step", f"relative to {first} (quartiles)"),
        (
            (
                name,
                subset_counts(specs[name], given.modalities),
                duration(own.seconds),
                f"{1 / own.ratio:.2f} ({1 / own.high:.2f} to {1 / own.low:.2f})",
            )
            for name, own in timings.items()
        ),
    )


if __name__ == "__main__":
    main()
