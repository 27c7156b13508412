"""Synthetic pairs that the benchmarks train on: otoscopy pictures and wideband tympanograms of three classes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal_vae import MultimodalDataset, MultimodalVAE
from multimodal_vae.data.batch import Batch

CLASSES = ["NOE", "OME", "AOM"]

LATENT = 128
OBJECTIVE = {"reduction": "mean", "kl_weight": 0.1, "metric_weight": 0.1}
"""The paper's latent dimensions and equation 1."""

STILL = {"otoscopy": {"flip": 0.0, "rotate": 0.0, "erase": 0.0}, "wbt": {"erase": 0.0}}
"""Settings under which nothing is augmented or corrupted."""


def parts(width: int, settings: dict[str, dict[str, Any]] | None = None, **both: Any) -> dict[str, dict[str, Any]]:
    """Return the two modalities of a width.

    Args:
        width: of the networks.
        settings: further settings by modality.
        **both: further settings of both modalities.
    """
    return {
        name: {"name": name, "width": width} | both | (settings or {}).get(name, {}) for name in ("otoscopy", "wbt")
    }


def model(width: int, **both: Any) -> MultimodalVAE:
    """Return the model of ``examples/otitis/paper.toml`` with another width."""
    return MultimodalVAE(
        parts(width, **both), CLASSES, "concat", latent_dim=LATENT, objective=OBJECTIVE, seed=0
    ).train()


def samples(count: int, seed: int) -> dict[str, Tensor]:
    """Return smooth pictures and grids of 64 x 64, with classes in turn and brightness by class."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % len(CLASSES)

    def smooth(channels: int) -> Tensor:
        coarse = torch.rand(count, channels, 8, 8, generator=rng) * 0.6 + 0.2 * classes[:, None, None, None]
        return F.interpolate(coarse, (64, 64), mode="bilinear")

    return {"otoscopy": smooth(3), "wbt": smooth(1)}


def batch(seed: int, count: int = 60) -> Batch:
    """Return a batch with equally many samples per class."""
    labels = torch.arange(count) % len(CLASSES)
    present = torch.ones(count, 2, dtype=torch.bool)
    return Batch(samples(count, seed), present, labels, [str(row) for row in range(count)])


def dataset(count: int, modalities: Any) -> MultimodalDataset:
    """Return a data set with equally many samples per class."""
    labels = [CLASSES[row % len(CLASSES)] for row in range(count)]
    return MultimodalDataset.from_tensors(samples(count, 0), labels, modalities, CLASSES)
