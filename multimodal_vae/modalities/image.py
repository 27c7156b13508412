"""Images, and other values in [0, 1] on a regular two-dimensional grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae.modalities.grid import Grid, Losses, Network
from multimodal_vae.modalities.pictures import Resize, read_picture, resize_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Image(Grid):
    """An image of (channels, height, width) with values in [0, 1].

    Args:
        size: (height, width) in pixels.
        channels: 1 for gray, 3 for color.
        width: number of feature maps of the first block; more take more time and memory.
        network: ``"compact"``; or ``"residual"``, the paper's, which at its width of 64 takes more than ten times as
            long.
        loss: weights of the reconstruction losses, by name in :data:`multimodal_vae.nn.PIXEL_LOSSES`; or ``"normal"``,
            a likelihood: normal noise with a deviation that is learned per element, and values beyond 0 and 1 recorded
            there.
        network_size: (height, width) at which the networks work, by whole factors below ``size``, so that large images
            take little more time and memory than small ones; they lack detail finer than that. Default: ``size``.
        resize: how files of another size get this one: ``"crop"`` cuts off what is too long on both sides, ``"pad"``
            keeps all of it between black margins, ``"stretch"`` changes the proportions. Default: they are refused.

    Example:
        >>> Image(size=(8, 8), channels=1, width=8).shape
        (1, 8, 8)
    """

    suffix = ".png"

    size: tuple[int, int]

    def __init__(
        self,
        size: tuple[PositiveInt, PositiveInt],
        channels: Literal[1, 3] = 3,
        width: Annotated[int, Field(ge=4)] = 16,
        network: Network = "compact",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
        resize: Resize | None = None,
        network_size: tuple[PositiveInt, PositiveInt] | None = None,
    ) -> None:
        super().__init__(size, channels, width, network, loss, network_size)
        self.resize = resize

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read an image file, of exactly this size unless ``resize`` is set, or a ``.npy`` file of this shape."""
        if Path(cell).suffix.lower() == ".npy":
            return super().read(cell)
        mode: Literal["L", "RGB"] = "L" if self.channels == 1 else "RGB"
        pixels = read_picture(cell, mode, self.notes, None if self.resize else self.size)
        if self.resize:
            if any(actual < wanted for actual, wanted in zip(pixels.shape, self.size, strict=False)):
                self.notes["image smaller than the size of samples, enlarged"] += 1
            pixels = resize_picture(pixels, self.size, self.resize)
        return pixels.transpose(2, 0, 1)

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a PNG file with 8 bits per channel."""
        from PIL import Image as Pillow

        pixels = (sample.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Pillow.fromarray(pixels[..., 0] if self.channels == 1 else pixels).save(path)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Show the image without axes."""
        pixels = sample.permute(1, 2, 0).clamp(0, 1).numpy()
        ax.imshow(pixels[..., 0] if self.channels == 1 else pixels, vmin=0, vmax=1, cmap="gray")
        ax.set_axis_off()
