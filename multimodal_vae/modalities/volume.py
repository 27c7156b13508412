"""Volumes, such as brain scans: values in [0, 1] on a regular three-dimensional grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae.modalities.grid import Grid, Losses, Network
from multimodal_vae.nn import random_erasing, random_flip, random_rotation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 150
"""Width of a plot, in pixels, from which it has letters."""
_INK = "#f0c000"

Size: TypeAlias = tuple[PositiveInt, PositiveInt, PositiveInt]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Volume(Grid):
    """A volume of (channels, depth, height, width) with values in [0, 1].

    Files are ``.npy`` of this shape; with one channel, of (depth, height, width). Plots show depth, height and width
    upward, upward and to the right; for a scan, let them run from inferior to superior, from posterior to anterior and
    from left to right.

    Args:
        size: (depth, height, width) in voxels.
        channels: 1 to 4, such as the sequences of a scan.
        width: number of feature maps of the first block; more take more time and memory.
        network: ``"compact"``; or ``"residual"``, which takes several times as long.
        loss: weights of the reconstruction losses, by name in :data:`multimodal_vae.nn.PIXEL_LOSSES`, whose windows are
            cubes here; or ``"normal"``, a likelihood: normal noise with a deviation that is learned per voxel, and
            values beyond 0 and 1 recorded there.
        flip: probability that input and target are flipped along the width, left to right.
        rotate: probability of a rotation of input and target about an axis of random direction; what comes from outside
            is 0.
        degrees: maximum angle of a rotation, in either direction.
        erase: probability that a random box of the input becomes 0, which the network learns to restore.
        network_size: (depth, height, width) at which the networks work, by whole factors below ``size``; see
            :class:`~multimodal_vae.Image`. Default: ``size``.

    Example:
        >>> Volume(size=(8, 8, 8), width=4, flip=0.5).shape
        (1, 8, 8, 8)
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Distances between neighboring voxels along depth, height and width, which rotations and plots keep."""

    ends: tuple[str, str, str] | None = None
    """Letters of both ends of depth, height and width, for plots; ``"IS"`` for one that runs from inferior to superior.
    None if they are unknown."""

    def __init__(
        self,
        size: Size,
        channels: Annotated[int, Field(ge=1, le=4)] = 1,
        width: Annotated[int, Field(ge=4)] = 16,
        network: Network = "compact",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
        flip: Probability = 0.0,
        rotate: Probability = 0.0,
        degrees: Annotated[float, Field(ge=0, le=180)] = 10.0,
        erase: Probability = 0.0,
        network_size: Size | None = None,
    ) -> None:
        super().__init__(size, channels, width, network, loss, network_size)
        self.flip = flip
        self.rotate = rotate
        self.degrees = degrees
        self.erase = erase

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Flip and rotate volumes (N, *shape)."""
        x = random_flip(x, self.flip) if self.flip else x
        if self.rotate and self.degrees:  # rounding may leave [0, 1]
            x = random_rotation(x, self.rotate, self.degrees, self.spacing).clamp(0, 1)
        return x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Erase a box of volumes (N, *shape)."""
        return random_erasing(x, self.erase) if self.erase else x

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a ``.npy`` file of this shape; with one channel, the axis of channels may be left out."""
        array = super().read(cell)
        return array[None] if array.ndim == 3 and self.channels == 1 else array

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Show the three central slices of each channel, without axes.

        Above (depth, width) and (depth, height); below (height, width). Of a scan that runs from inferior to superior,
        posterior to anterior and left to right, these are coronal, sagittal and axial, with left on the left. Large
        plots have the letters of :attr:`ends`.
        """
        values = self._isotropic(sample.clamp(*self.range).numpy())
        depth, height, width = values.shape[1:]
        frame = np.zeros((self.channels, height + depth, width + height), np.float32)
        frame[:, :height, :width] = values[:, depth // 2]
        frame[:, height:, :width] = values[:, :, height // 2]
        frame[:, height:, width:] = values[..., width // 2]
        ax.imshow(np.concatenate(frame, 1), origin="lower", vmin=0, vmax=1, cmap="gray")
        ax.set_axis_off()
        if self.ends and ax.get_window_extent().width >= _ROOM:
            along_depth, along_height, along_width = self.ends
            _letter(ax, (0, 0), (width, height), along_width, along_height)
            _letter(ax, (0, height), (width, depth), along_width, along_depth)
            _letter(ax, (width, height), (height, depth), along_height, along_depth)

    def _isotropic(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a sample (channels, ...) whose voxels are repeated so that they are about cubes."""
        for axis, (count, distance) in enumerate(zip(self.size, self.spacing, strict=True), start=1):
            length = round(count * distance / min(self.spacing))
            values = values.take((2 * np.arange(length) + 1) * count // (2 * length), axis)
        return values


def _letter(ax: "Axes", corner: tuple[int, int], size: tuple[int, int], across: str, upward: str) -> None:
    """Write letters beside the four edges of a slice, whose lower left corner is given, inside it."""
    (x, y), (width, height) = corner, size
    middle, center = x + (width - 1) / 2, y + (height - 1) / 2
    ax.text(x, center, across[0], ha="left", va="center", fontsize=7, color=_INK)
    ax.text(x + width - 1, center, across[1], ha="right", va="center", fontsize=7, color=_INK)
    ax.text(middle, y, upward[0], ha="center", va="bottom", fontsize=7, color=_INK)
    ax.text(middle, y + height - 1, upward[1], ha="center", va="top", fontsize=7, color=_INK)
