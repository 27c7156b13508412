"""Images, and anything else on a regular grid of two axes with values in [0, 1]."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError, DataError
from multimodal_vae.modalities.base import Modality
from multimodal_vae.nn import CompactDecoder, CompactEncoder, PixelLoss, ResidualDecoder, ResidualEncoder, weighted_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Network = Literal["residual", "compact"]
Losses = Annotated[dict[PixelLoss, PositiveFloat], Field(min_length=1)]


class Image(Modality):
    """An image of (channels, height, width) with values in [0, 1].

    Args:
        size: (height, width) in pixels.
        channels: 1 for gray, 3 for color.
        width: features of the network's first block.
        network: ``"residual"``, the paper's; or ``"compact"``, which at a width of 16 costs less than a tenth of it.
        loss: weights of the reconstruction losses of :data:`multimodal_vae.nn.PIXEL_LOSSES`.

    Example:
        >>> Image(size=(8, 8), channels=1, width=8).shape
        (1, 8, 8)
    """

    suffix = ".png"
    range = (0.0, 1.0)

    def __init__(
        self,
        size: tuple[PositiveInt, PositiveInt],
        channels: Literal[1, 3] = 3,
        width: Annotated[int, Field(ge=4)] = 64,
        network: Network = "residual",
        loss: Losses = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
    ) -> None:
        if "ssim" in loss and min(size) < 11:
            raise ConfigurationError(
                f"{self.name!r}: the SSIM loss compares windows of 11 x 11 pixels and the size is {size[0]} x "
                f"{size[1]}; take a larger size or another loss"
            )
        self.size = size
        self.channels = channels
        self.width = width
        self.network = network
        self.loss = loss

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (self.channels, *self.size)

    def encoder(self) -> nn.Module:
        """The network of :class:`~multimodal_vae.nn.ResidualEncoder` or :class:`~multimodal_vae.nn.CompactEncoder`."""
        return (ResidualEncoder if self.network == "residual" else CompactEncoder)(self.shape, self.width)

    def decoder(self, latent_dim: int) -> nn.Module:
        """The way back, to logits."""
        return (ResidualDecoder if self.network == "residual" else CompactDecoder)(latent_dim, self.shape, self.width)

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Weighted sum of the losses between logits and target, (N,)."""
        return weighted_loss(self.loss, decoded, target)

    def observe(self, decoded: Tensor) -> Tensor:
        """Logits to values in [0, 1]."""
        return torch.sigmoid(decoded)

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a picture file of exactly this size, or an array in a ``.npy`` file."""
        if Path(cell).suffix.lower() == ".npy":
            return super().read(cell)
        return read_picture(cell, "L" if self.channels == 1 else "RGB").transpose(2, 0, 1)

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a PNG of 8 bits a channel."""
        from PIL import Image as Pillow

        pixels = (sample.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Pillow.fromarray(pixels[..., 0] if self.channels == 1 else pixels).save(path)

    def examples(self, count: int) -> Tensor:
        """Smooth patches of random brightness, since noise is what no picture looks like."""
        patches = torch.rand(count, self.channels, *(max(2, n // 8) for n in self.size))
        return F.interpolate(patches, self.size, mode="bilinear", align_corners=True)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Show the picture without axes."""
        pixels = sample.permute(1, 2, 0).clamp(0, 1).numpy()
        ax.imshow(pixels[..., 0] if self.channels == 1 else pixels, vmin=0, vmax=1, cmap="gray")
        ax.set_axis_off()


def read_picture(path: str | Path, mode: Literal["L", "RGB"]) -> NDArray[np.float32]:
    """Read a picture file as (height, width, channels) in [0, 1].

    Raises:
        DataError: if it is no picture, is cut short, or is too large to be one.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            picture = Pillow.open(path)
        with picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(f"has {picture.width} x {picture.height} pixels, more than any photograph")
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255
                upright = Pillow.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            pixels = np.asarray(upright.convert(mode), dtype=np.float32) / np.float32(255)
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise DataError("has more pixels than any photograph") from error
    except UnidentifiedImageError as error:
        raise DataError("is no picture that Pillow can read") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"is a damaged picture ({error})") from error
    return pixels.reshape(*pixels.shape[:2], -1)


MOST_PIXELS = 50_000_000
"""Pictures with more pixels are refused unread: a small file can unpack to more than memory holds."""
