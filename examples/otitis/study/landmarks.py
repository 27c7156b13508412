"""Which landmarks of an eardrum can be seen in a picture: the same ear is rendered again without one, and compared.

Simulator and chance stay what they are. The changed ear differs in one thing alone:

- *malleus*: its handle has no width;
- *vessels*: the drum has none;
- *level*: the fluid stands a little lower. Glue, a full ear and one that bulges look the same then: they show no level.

A landmark is seen where enough pixels of the picture that the package reads change by enough, in fine detail: what is
left when a blurred copy is taken away. So a malleus behind a bulging drum is hidden, and so is a mere
smear of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator import otoscope
from simulator.anatomy import Anatomy, anatomy
from simulator.camera import Camera
from simulator.causes import Ear, State

LANDMARKS = ("malleus", "level", "vessels")
REMOVED = ("malleus", "vessels")
"""Those whose changed picture shows none; a lowered level is still one."""

LOWER = 0.03
"""Of the fill: 1.6 pixels of 64."""
LEAST_CHANGE = 6 / 255
"""Of a pixel's brightest channel, to count as changed."""
COARSE = 2.0
"""Pixels of 64, standard deviation of the blur that leaves no detail."""
LEAST_PIXELS = 12
"""Changed pixels of 64 x 64 to call a landmark seen."""


def changed(
    landmark: str, state: State, ear: Ear, camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """The frame of an ear without one landmark, or with its level lowered; None where the ear would look the same.

    Args:
        landmark: one of :data:`LANDMARKS`.
        state: of the ear.
        ear: as it is.
        camera: that looks.
        rng: as :func:`simulator.otoscope.render` has it for the ear as it is.
    """
    if landmark == "level":
        if state.fill <= 0:
            return None
        return otoscope.render(replace(state, fill=max(0.0, state.fill - LOWER)), ear, camera, rng)
    if landmark == "malleus":
        with _anatomies(handle=-1.0):  # distances to it are never so small
            return otoscope.render(state, ear, camera, rng)
    if landmark == "vessels":
        if all(vessel.onset >= state.inflammation for vessel in anatomy(ear.appearance_seed, ear.age).vessels):
            return None
        with _anatomies(vessels=()):
            return otoscope.render(state, ear, camera, rng)
    raise ValueError(f"{landmark!r} is no landmark of {', '.join(LANDMARKS)}")


def seen(pictures: Tensor, others: Tensor) -> Tensor:
    """Whether a landmark can be seen, (N,) of bool.

    Args:
        pictures: (N, 3, size, size) in [0, 1], as the package reads them.
        others: the same ears as :func:`changed` has them.

    Example:
        >>> bright = torch.zeros(1, 3, 64, 64)
        >>> bright[..., 30:35, 30:35] = 0.5
        >>> seen(bright, torch.zeros(1, 3, 64, 64)), seen(bright, bright)
        (tensor([True]), tensor([False]))
    """
    return changed_pixels(pictures, others).sum((1, 2)) >= LEAST_PIXELS * (pictures.shape[-1] / 64) ** 2


def changed_pixels(pictures: Tensor, others: Tensor) -> Tensor:
    """Where pictures (N, 3, size, size) differ from others by enough, in fine detail: (N, size, size) of bool."""
    change = pictures - others
    detail = change - blurred(change, COARSE * pictures.shape[-1] / 64)
    return detail.abs().amax(1) >= LEAST_CHANGE


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Pictures (N, channels, height, width) under a Gaussian blur; its edge is repeated outside.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(torch.allclose(blurred(flat, 2.0), flat))
        True
    """
    if not sigma:
        return pictures
    reach = round(4 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pictures)
    flat = pictures.flatten(0, 1)[:, None]
    padded = torch.nn.functional.pad(flat, (reach,) * 4, mode="replicate")
    across = torch.nn.functional.conv2d(padded, kernel.reshape(1, 1, 1, -1))
    return torch.nn.functional.conv2d(across, kernel.reshape(1, 1, -1, 1)).reshape(pictures.shape)


def disc(size: int, share: float, softness: float = 0.0) -> Tensor:
    """Weights (size, size): 1 within a central disc of this share of the picture, 0 outside; a soft edge is a cosine's.

    Example:
        >>> float(disc(64, 1.0).mean()) - torch.pi / 4 < 0.01
        True
    """
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    radius = (place[:, None] ** 2 + place[None] ** 2).sqrt()
    if not softness:
        return (radius <= share).float()
    return 0.5 + 0.5 * torch.cos(torch.pi * ((radius - share) / softness + 0.5).clamp(0, 1))


@contextmanager
def _anatomies(**changes: Any) -> Iterator[None]:
    """Lets the renderer meet changed anatomies: the simulator's sources are frozen."""

    def altered(appearance_seed: int, age: float) -> Anatomy:
        return replace(anatomy(appearance_seed, age), **changes)

    with patch.object(otoscope, "anatomy", altered):
        yield
