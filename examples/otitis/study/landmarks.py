"""Decide which landmarks of an eardrum are visible in a picture, by rendering the same ear again without one.

Simulator and random numbers stay the same. The changed ear differs only in the landmark:

- *malleus*: its handle has no width;
- *vessels*: the drum has none;
- *level*: the fluid stands slightly lower. Glue, a full ear and a bulging one then look the same: they show no level.

A landmark is visible where enough pixels of the picture, as the package reads it, change enough in fine detail, which
is the change less a blurred copy of it. A malleus behind a bulging drum is therefore hidden, and so is a smeared one.
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
"""Landmarks that the changed picture lacks; a lowered level is still a level."""

FILL_CHANGE = 0.03
"""By which the fill is lowered: 1.6 pixels of 64."""
LEAST_CHANGE = 6 / 255
"""Least change of any channel with which a pixel counts as changed."""
COARSE = 2.0
"""Standard deviation of the blur that removes detail, in pixels of 64."""
LEAST_PIXELS = 12
"""Least number of changed pixels, of 64 x 64, with which a landmark counts as visible."""


def changed(
    landmark: str, state: State, ear: Ear, camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Return the frame of an ear without one landmark, or with a lower level; None where the ear would look the same.

    Args:
        landmark: one of :data:`LANDMARKS`.
        state: the ear's state.
        ear: the ear.
        camera: the camera.
        rng: in the state with which :func:`simulator.otoscope.render` renders the unchanged ear.
    """
    if landmark == "level":
        if state.fill <= 0:
            return None
        return otoscope.render(replace(state, fill=max(0.0, state.fill - FILL_CHANGE)), ear, camera, rng)
    if landmark == "malleus":
        with _changed_anatomy(handle=-1.0):  # below every distance
            return otoscope.render(state, ear, camera, rng)
    if landmark == "vessels":
        if all(vessel.onset >= state.inflammation for vessel in anatomy(ear.appearance_seed, ear.age).vessels):
            return None
        with _changed_anatomy(vessels=()):
            return otoscope.render(state, ear, camera, rng)
    raise ValueError(f"{landmark!r} is no landmark of {', '.join(LANDMARKS)}")


def visible(pictures: Tensor, others: Tensor) -> Tensor:
    """Return whether a landmark is visible in each picture, (N,) of bool.

    Args:
        pictures: (N, 3, size, size) in [0, 1], as the package reads them.
        others: (N, 3, size, size), the same ears as rendered by :func:`changed`.

    Example:
        >>> bright = torch.zeros(1, 3, 64, 64)
        >>> bright[..., 30:35, 30:35] = 0.5
        >>> visible(bright, torch.zeros(1, 3, 64, 64)), visible(bright, bright)
        (tensor([True]), tensor([False]))
    """
    return enough(changed_pixels(pictures, others))


def enough(pixels: Tensor) -> Tensor:
    """Return whether enough pixels of (..., size, size) are true for a landmark to count as visible, (...) of bool."""
    return pixels.sum((-2, -1)) >= LEAST_PIXELS * (pixels.shape[-1] / 64) ** 2


def changed_pixels(pictures: Tensor, others: Tensor) -> Tensor:
    """Return where the fine detail of pictures (N, 3, size, size) differs from others, (N, size, size) of bool."""
    change = pictures - others
    detail = change - blurred(change, COARSE * pictures.shape[-1] / 64)
    return detail.abs().amax(1) >= LEAST_CHANGE


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures (N, channels, height, width) under a Gaussian blur, with their edges repeated outside.

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
    """Return weights (size, size): 1 within a central disc of this share of the picture, 0 outside.

    A soft edge is a cosine's.

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
def _changed_anatomy(**changes: Any) -> Iterator[None]:
    """Give the renderer a changed anatomy by a patch, since the simulator's sources are frozen."""

    def altered(appearance_seed: int, age: float) -> Anatomy:
        return replace(anatomy(appearance_seed, age), **changes)

    with patch.object(otoscope, "anatomy", altered):
        yield
