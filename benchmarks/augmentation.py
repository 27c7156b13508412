"""Time augmentation and corruption of whole batches, compared with a DataLoader that transforms single samples.

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
"""The plugins' defaults, for the same transforms in torch."""

Sample = dict[str, Tensor]
Transform = Callable[[Sample], tuple[Sample, Sample]]

PROSE = """
{batches} batches of 60 pairs of 64 x 64, flipped, rotated and erased with the plugins' defaults; each batch has targets
and the inputs made from them. *Whole batches* is the package's default: it copies rows from memory and calls `augment`
and `corrupt` on all 60 at once. The rival is a `DataLoader` over a `Dataset` that transforms one sample at a time, with
the same rows: either with the plugins' functions on a batch of one, or with the same operations written in torch.
Workers stay alive between epochs and start before the clock.
"""


class Samples(Dataset[dict[str, Sample | Tensor]]):
    """A data set that transforms single samples."""

    def __init__(self, data: MultimodalDataset, transform: Transform) -> None:
        self.columns = dict(data.samples)
        self.labels = data.labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Sample | Tensor]:
        targets, inputs = self.transform({name: column[row] for name, column in self.columns.items()})
        return {"targets": targets, "inputs": inputs, "label": self.labels[row]}


def plugin_transform(vae: MultimodalVAE) -> Transform:
    """Return a transform by the plugins' functions, on a batch of one."""

    def transform(sample: Sample) -> tuple[Sample, Sample]:
        targets = vae.augment({name: x[None] for name, x in sample.items()})
        inputs = vae.corrupt(targets)
        return {name: x[0] for name, x in targets.items()}, {name: x[0] for name, x in inputs.items()}

    return transform


def torch_transform(sample: Sample) -> tuple[Sample, Sample]:
    """Transform a sample like the plugins, with torch only."""
    picture = sample["otoscopy"]
    if torch.rand(()) < PROBABILITY:
        picture = picture.flip(-1)
    picture = rotated(picture, float(torch.empty(()).uniform_(-DEGREES, DEGREES))).clamp(0, 1)
    targets = {"otoscopy": picture, "wbt": sample["wbt"]}
    return targets, {name: erased(x) if torch.rand(()) < PROBABILITY else x for name, x in targets.items()}


def rotated(x: Tensor, degrees: float) -> Tensor:
    """Rotate (C, size, size) counterclockwise about its center, with zeros outside."""
    turn = math.radians(degrees)
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn), 0.0], [math.sin(turn), math.cos(turn), 0.0]])
    grid = F.affine_grid(matrix[None], [1, *x.shape], align_corners=True)
    return F.grid_sample(x[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]


def erased(x: Tensor) -> Tensor:
    """Return a copy of (C, H, W) with a random rectangle set to zero."""
    height, width = x.shape[-2:]
    area = float(torch.empty(()).uniform_(*AREA)) * height * width
    wide = bool(torch.rand(()) < PROBABILITY)  # half of the rectangles are wide, half are high
    aspect = float(torch.empty(()).uniform_(*((ASPECT[0], 1.0) if wide else (1.0, ASPECT[1]))))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    top, left = int(torch.randint(height - rows + 1, ())), int(torch.randint(width - columns + 1, ()))
    x = x.clone()
    x[:, top : top + rows, left : left + columns] = 0
    return x


def whole_batches(vae: MultimodalVAE, data: MultimodalDataset, rows: list[Tensor]) -> Iterator[tuple[Sample, Sample]]:
    """Yield batches as the package makes them."""
    for each in rows:
        with torch.no_grad():
            targets = vae.augment(data.batch(each).samples)
            inputs = vae.corrupt(targets)
        yield targets, inputs


def loader(
    data: MultimodalDataset, rows: list[Tensor], transform: Transform, workers: int
) -> DataLoader[dict[str, Sample | Tensor]]:
    """Return a DataLoader of batches of the same rows."""
    batches = [each.tolist() for each in rows]
    return DataLoader(
        Samples(data, transform), batch_sampler=batches, num_workers=workers, persistent_workers=workers > 0
    )


def timings(batches: int, rounds: int, workers: list[int]) -> Iterator[tuple[object, ...]]:
    """Yield one table row per implementation."""
    vae = model(16, network="compact")
    data = dataset(batches * 60, vae.modalities)
    generator = torch.Generator().manual_seed(0)
    rows = list(BalancedBatches(data.labels, data.classes, PER_CLASS, generator))
    functions: dict[str, Callable[[int], object]] = {}
    for name, transform in (("the plugins' functions", plugin_transform(vae)), ("torch only", torch_transform)):
        for count in workers:
            singles = loader(data, rows, transform, count)
            key = f"DataLoader, {count or 'no'} workers, {name}"
            functions[key] = lambda _, singles=singles: sum(len(each["label"]) for each in singles)
    functions = {
        "whole batches, the package's default": lambda _: sum(
            len(inputs["wbt"]) for _, inputs in whole_batches(vae, data, rows)
        )
    } | functions
    expected = sum(map(len, rows))
    for name, function in functions.items():
        if function(0) != expected:
            raise AssertionError(f"{name} did not make {expected} samples")
    for name, timing in alternate(functions, rounds).items():
        slower = (
            ""
            if name.startswith("whole")
            else f"{1 / timing.ratio:.1f} ({1 / timing.high:.1f} to {1 / timing.low:.1f})"
        )
        yield name, duration(timing.seconds / len(rows)), f"{expected / timing.seconds:,.0f}", slower


def main() -> None:
    """Print a table with one row per implementation."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batches", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    given = arguments.parse_args()
    print_machine()
    section("Augmented batches", PROSE.format(batches=given.batches))
    head = ("implementation", "time per batch", "pairs per second", "time relative to the package (quartiles)")
    table(head, timings(given.batches, given.rounds, given.workers))


if __name__ == "__main__":
    main()
