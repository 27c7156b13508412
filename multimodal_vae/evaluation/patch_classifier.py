"""Patch classifier: whether a small network can tell generated samples from real ones by their texture."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers
from multimodal_vae.evaluation.two_sample import TwoSample
from multimodal_vae.nn import laplacian_pyramid
from multimodal_vae.nn.dimensions import BATCH_NORM, CONVOLUTION
from multimodal_vae.scopes import evaluating, seeded

LEAST_SIDE = 16
"""Elements per side that the network needs; each of its outputs sees so many."""

_CROP, _BATCH = {1: 96, 2: 24, 3: 16}, {1: 32, 2: 32, 3: 8}  # sides of crops and crops per step, by dimensions
_EPOCHS, _RATE = 40, 3e-3
_SCORED = 64  # samples scored at a time
_RECENT, _CONVERGED = 20, 0.05  # steps, and their mean loss, in nats, at which training ends early


@dataclass(frozen=True)
class PatchScores(TwoSample):
    """Scores of samples that a patch classifier was not trained on, one half of each set.

    Attributes:
        groups: patient of each real sample; None: each is its own.
    """

    groups: Sequence[str] | None = None


def patch_classifier(
    real: Tensor,
    generated: Tensor,
    real_groups: Sequence[str] | None = None,
    generated_groups: Sequence[str] | None = None,
    steps: int = 300,
    seed: int = 0,
) -> PatchScores:
    """Train a network on half of the patients to tell generated samples from real ones, and score the other half.

    The network sees crops of samples beside their finest Laplacian level, and averages its outputs over all places: it
    knows patches of 16 elements along each axis, not the layout. It is trained until its loss is near zero, or to the
    end of a schedule of 40 epochs. It does not see the labels.

    Args:
        real: (N, channels, *space), one to three spatial dimensions of at least :data:`LEAST_SIDE` elements.
        generated: (M, channels, *space), preferably as many.
        real_groups: (N,), patient of each real sample; None: each is its own.
        generated_groups: (M,), the same of generated samples.
        steps: maximum number of training steps.
        seed: seed of halves, weights and crops.

    Returns:
        Scores, whose ``auc`` is near .5 if the textures are alike. Compare it with that of other real samples.

    Raises:
        DataError: if the shapes differ, a side is too short, or a set has fewer than two groups.

    Source: Isola et al., *Image-to-image translation with conditional adversarial networks* (2017), section 3.2.2, for
        the network; Lopez-Paz and Oquab, *Revisiting classifier two-sample tests* (2017), for the test.

    Example:
        >>> real, sharp = torch.rand(2, 40, 1, 16, 16).unbind()
        >>> patch_classifier(real, 0.5 * sharp).auc() > 0.9
        True
    """
    if real.shape[1:] != generated.shape[1:] or real.dim() < 3 or min(real.shape[2:]) < LEAST_SIDE:
        raise DataError(
            f"samples of {tuple(generated.shape[1:])} and {tuple(real.shape[1:])} have no patches to compare; give "
            f"equal shapes (channels, *space) of at least {LEAST_SIDE} elements per side"
        )
    rng = np.random.default_rng(require_seed(seed, LARGEST_DERIVED_SEED))
    sets = _inputs(real, generated)
    learned = [_half(groups, len(x), rng) for groups, x in zip((real_groups, generated_groups), sets, strict=True)]
    with seeded(seed), torch.enable_grad():
        network = _train([x[rows] for x, rows in zip(sets, learned, strict=True)], steps)
    with evaluating(network):
        first, second = (
            torch.cat([network(some) for some in torch.split(x[~rows], _SCORED)]).double()
            for x, rows in zip(sets, learned, strict=True)
        )
    others = (~learned[0]).nonzero()[:, 0].tolist()
    return PatchScores(first, second, None if real_groups is None else [real_groups[row] for row in others])


def _inputs(*sets: Tensor) -> list[Tensor]:
    """Return samples and their finest level as channels, standardized over all sets."""
    both = [torch.cat([x, laplacian_pyramid(x)[0]], 1) for x in (each.detach().cpu().float() for each in sets)]
    every, over = torch.cat(both), (0, *range(2, both[0].dim()))
    mean, deviation = every.mean(over, keepdim=True), every.std(over, keepdim=True)
    return [(x - mean) / torch.where(deviation > 0, deviation, 1.0) for x in both]


def _half(groups: Sequence[str] | None, rows: int, rng: np.random.Generator) -> Tensor:
    """Return which rows belong to a random half of the groups, (rows,)."""
    number = group_numbers(groups, rows)
    groups_count = len(np.unique(number))
    if groups_count < 2:
        raise DataError(f"a patch classifier needs two patients on each side; there are {groups_count}")
    return torch.from_numpy((rng.permutation(groups_count) % 2 == 1)[number])


class _PatchNetwork(nn.Module):
    """One number per sample: the mean over all places of a network of patches."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        convolution: Any = CONVOLUTION[axes]
        layers: list[nn.Module] = []
        for inputs, outputs, side, stride in ((channels, 24, 4, 2), (24, 32, 3, 2), (32, 32, 3, 1)):
            layers += [convolution(inputs, outputs, side, stride, bias=False), BATCH_NORM[axes](outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, convolution(32, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1).mean(1)  # type: ignore[no-any-return]


def _train(sets: Sequence[Tensor], steps: int) -> _PatchNetwork:
    """Train a network on real and generated samples, (n, channels, *space) each."""
    axes = sets[0].dim() - 2
    network = _PatchNetwork(sets[0].shape[1], axes)
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    each = _BATCH[axes] // 2
    steps = min(steps, _EPOCHS * -(-max(map(len, sets)) // each))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    truth = torch.tensor([0.0, 1.0]).repeat_interleave(each)
    recent: deque[float] = deque([math.inf] * _RECENT, _RECENT)
    for _ in range(steps):
        batch = torch.cat([x[torch.randint(len(x), (each,))] for x in sets])
        for axis, side in enumerate(batch.shape[2:], start=2):
            crop = min(side, _CROP[axes])
            batch = batch.narrow(axis, int(torch.randint(side - crop + 1, ())), crop)
        loss = F.binary_cross_entropy_with_logits(network(batch), truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if sum(recent) < _RECENT * _CONVERGED:
            break
    return network
