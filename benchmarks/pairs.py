"""What the scripts train on: otoscopy pictures and wideband tympanograms of three classes, made up, at no cost."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal_vae import MultimodalDataset, MultimodalVAE
from multimodal_vae.data.batch import Batch

CLASSES = ["NOE", "OME", "AOM"]

STILL = {"otoscopy": {"flip": 0.0, "rotate": 0.0, "erase": 0.0}, "wbt": {"erase": 0.0}}
"""Settings under which nothing is augmented or corrupted."""


def parts(width: int, settings: dict[str, dict[str, Any]] | None = None, **both: Any) -> dict[str, dict[str, Any]]:
    """The two modalities, at any width, with settings of each and of both."""
    return {
        name: {"name": name, "width": width} | both | (settings or {}).get(name, {}) for name in ("otoscopy", "wbt")
    }


def model(width: int, **both: Any) -> MultimodalVAE:
    """The model of ``examples/otitis/paper.toml``, at any width."""
    return MultimodalVAE(parts(width, **both), CLASSES, seed=0).train()


def samples(count: int, seed: int) -> dict[str, Tensor]:
    """Smooth pictures and grids of 64 x 64, whose brightness says the class; rows take turns in their classes."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % len(CLASSES)

    def smooth(channels: int) -> Tensor:
        coarse = torch.rand(count, channels, 8, 8, generator=rng) * 0.6 + 0.2 * classes[:, None, None, None]
        return F.interpolate(coarse, (64, 64), mode="bilinear")

    return {"otoscopy": smooth(3), "wbt": smooth(1)}


def batch(seed: int, count: int = 60) -> Batch:
    """A batch with as many of each class."""
    labels = torch.arange(count) % len(CLASSES)
    present = torch.ones(count, 2, dtype=torch.bool)
    return Batch(samples(count, seed), present, labels, [str(row) for row in range(count)])


def dataset(count: int, modalities: Any) -> MultimodalDataset:
    """A data set with as many of each class."""
    labels = [CLASSES[row % len(CLASSES)] for row in range(count)]
    return MultimodalDataset.from_tensors(samples(count, 0), labels, modalities, CLASSES)
