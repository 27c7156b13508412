"""Augmented, corrupted batches of pairs: whole batches at once, against a DataLoader's single samples.

Usage: python benchmarks/augmentation.py [--batches 5] [--rounds 9]
"""

import argparse
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from pairs import dataset, model
from report import duration, section, table
from timing import alternate, print_machine
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from multimodal_vae import MultimodalDataset, MultimodalVAE
from multimodal_vae.data.batches import BalancedBatches

PER_CLASS = 20
DEGREES, PROBABILITY, AREA, ASPECT = 20.0, 0.5, (0.02, 0.4), (0.3, 1 / 0.3)
"""The plugins' defaults, for who writes the same with torch alone."""

Sample = dict[str, Tensor]
Transform = Callable[[Sample], tuple[Sample, Sample]]

PROSE = """
{batches} batches of 60 pairs of 64 x 64, flipped, rotated and erased as the plugins do by default: targets and the
inputs made of them. *Whole batches* is what the package does as it comes: rows copied from memory, then `augment` and
`corrupt` of all 60 at once. Against it stands torch's usual way, a `Dataset` whose transforms see one sample at a
time, in a `DataLoader`, with the same rows: once with the plugins' own functions on a batch of one, once with the
same operations written plainly in torch. Workers stay alive between epochs, and had started before the
clock did.
"""


class Samples(Dataset[dict[str, Sample | Tensor]]):
    """One sample at a time, through a transform."""

    def __init__(self, data: MultimodalDataset, transform: Transform) -> None:
        self.columns = dict(data.samples)
        self.labels = data.labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Sample | Tensor]:
        targets, inputs = self.transform({name: column[row] for name, column in self.columns.items()})
        return {"targets": targets, "inputs": inputs, "label": self.labels[row]}


def of_one(vae: MultimodalVAE) -> Transform:
    """The plugins' own functions, on a batch of one."""

    def transform(sample: Sample) -> tuple[Sample, Sample]:
        targets = vae.augment({name: x[None] for name, x in sample.items()})
        inputs = vae.corrupt(targets)
        return {name: x[0] for name, x in targets.items()}, {name: x[0] for name, x in inputs.items()}

    return transform


def in_torch(sample: Sample) -> tuple[Sample, Sample]:
    """The same, in torch alone."""
    picture = sample["otoscopy"]
    if torch.rand(()) < PROBABILITY:
        picture = picture.flip(-1)
    picture = rotated(picture, float(torch.empty(()).uniform_(-DEGREES, DEGREES))).clamp(0, 1)
    targets = {"otoscopy": picture, "wbt": sample["wbt"]}
    return targets, {name: erased(x) if torch.rand(()) < PROBABILITY else x for name, x in targets.items()}


def rotated(x: Tensor, degrees: float) -> Tensor:
    """Turn (C, size, size) about its center, counterclockwise; what turns into view is zero."""
    turn = math.radians(degrees)
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0]])
    grid = F.affine_grid(matrix[None], [1, *x.shape], align_corners=True)
    return F.grid_sample(x[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]


def erased(x: Tensor) -> Tensor:
    """Set a random rectangle of (C, H, W) to zero; a new tensor."""
    height, width = x.shape[-2:]
    area = float(torch.empty(()).uniform_(*AREA)) * height * width
    below = bool(torch.rand(()) < PROBABILITY)  # as many are broad as are high
    aspect = float(torch.empty(()).uniform_(*((ASPECT[0], 1.0) if below else (1.0, ASPECT[1]))))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    top, left = int(torch.randint(height - rows + 1, ())), int(torch.randint(width - columns + 1, ()))
    x = x.clone()
    x[:, top : top + rows, left : left + columns] = 0
    return x


def whole(vae: MultimodalVAE, data: MultimodalDataset, rows: list[Tensor]) -> Iterator[tuple[Sample, Sample]]:
    """Batches as the package makes them."""
    for each in rows:
        with torch.no_grad():
            targets = vae.augment(data.batch(each).samples)
            inputs = vae.corrupt(targets)
        yield targets, inputs


def loaded(
    data: MultimodalDataset, rows: list[Tensor], transform: Transform, workers: int
) -> DataLoader[dict[str, Sample | Tensor]]:
    """Batches of the same rows as a DataLoader makes them."""
    drawn = [each.tolist() for each in rows]
    return DataLoader(
        Samples(data, transform), batch_sampler=drawn, num_workers=workers, persistent_workers=workers > 0
    )


def timed(batches: int, rounds: int, workers: list[int]) -> Iterator[tuple[object, ...]]:
    """A row for each way, compared with what it comes to per batch."""
    vae = model(16, network="compact")
    data = dataset(batches * 60, vae.modalities)
    generator = torch.Generator().manual_seed(0)
    rows = list(BalancedBatches(data.labels, data.classes, PER_CLASS, generator))
    functions: dict[str, Callable[[int], object]] = {}
    for name, transform in (("the plugins' functions", of_one(vae)), ("torch alone", in_torch)):
        for count in workers:
            loader = loaded(data, rows, transform, count)
            key = f"DataLoader, {count or 'no'} workers, {name}"
            functions[key] = lambda _, loader=loader: sum(len(each["label"]) for each in loader)
    functions = {
        "whole batches, the package's default": lambda _: sum(
            len(inputs["wbt"]) for _, inputs in whole(vae, data, rows)
        )
    } | functions
    expected = sum(map(len, rows))
    for name, function in functions.items():
        if function(0) != expected:
            raise AssertionError(f"{name} made another number of samples than {expected}")
    for name, timing in alternate(functions, rounds).items():
        slower = (
            ""
            if name.startswith("whole")
            else f"{1 / timing.ratio:.1f} ({1 / timing.high:.1f} to {1 / timing.low:.1f})"
        )
        yield name, duration(timing.seconds / len(rows)), f"{expected / timing.seconds:,.0f}", slower


def main() -> None:
    """Print a line for each way."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batches", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    given = arguments.parse_args()
    print_machine()
    section("Augmented batches", PROSE.format(batches=given.batches))
    head = ("", "a batch", "pairs a second", "time over the package's (quartiles)")
    table(head, timed(given.batches, given.rounds, given.workers))


if __name__ == "__main__":
    main()
