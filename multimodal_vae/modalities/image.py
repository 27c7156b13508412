"""Images, and other values in [0, 1] on a regular two-dimensional grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.modalities.base import Modality
from multimodal_vae.modalities.pictures import Resize, read_picture, resize_picture
from multimodal_vae.nn import (
    SMALLEST_SIDE,
    CensoredNormal,
    CompactDecoder,
    CompactEncoder,
    LearnedScale,
    PixelLoss,
    ResidualDecoder,
    ResidualEncoder,
    Unstandardize,
    bce_minimum,
    weighted_loss,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Network = Literal["residual", "compact"]
Losses = Annotated[dict[PixelLoss, PositiveFloat], Field(min_length=1)]


class Image(Modality):
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
        resize: how files of another size get this one: ``"crop"`` cuts off what is too long on both sides, ``"pad"``
            keeps all of it between black margins, ``"stretch"`` changes the proportions. Default: they are refused.

    Example:
        >>> Image(size=(8, 8), channels=1, width=8).shape
        (1, 8, 8)
    """

    suffix = ".png"
    range = (0.0, 1.0)
    noise = "mean"

    def __init__(
        self,
        size: tuple[PositiveInt, PositiveInt],
        channels: Literal[1, 3] = 3,
        width: Annotated[int, Field(ge=4)] = 16,
        network: Network = "compact",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
        resize: Resize | None = None,
    ) -> None:
        for name in () if loss == "normal" else loss:
            if min(size) < SMALLEST_SIDE.get(name, 1):
                raise ConfigurationError(
                    f"{self.name!r}: the loss {name!r} needs at least {SMALLEST_SIDE[name]} pixels per side, but the "
                    f"size is {size[0]} x {size[1]}; increase 'size' or choose another loss"
                )
        self.size = size
        self.channels = channels
        self.width = width
        self.network = network
        self.loss = loss
        self.resize = resize

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (self.channels, *self.size)

    def encoder(self) -> nn.Module:
        """Return a :class:`~multimodal_vae.nn.ResidualEncoder` or :class:`~multimodal_vae.nn.CompactEncoder`."""
        return (ResidualEncoder if self.network == "residual" else CompactEncoder)(self.shape, self.width)

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the matching decoder, to logits; for a likelihood to values and deviations of the noise."""
        kind = ResidualDecoder if self.network == "residual" else CompactDecoder
        network = kind(latent_dim, self.shape, self.width)
        if self.loss != "normal":
            return network
        return nn.Sequential(network, Unstandardize(self.shape), LearnedScale(self.shape))

    def likelihood(self, decoded: Tensor) -> CensoredNormal | None:
        """Return a normal distribution, censored at 0 and 1, if ``loss`` is ``"normal"``."""
        return CensoredNormal(decoded[:, 0], decoded[:, 1], *self.range) if self.loss == "normal" else None

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the weighted sum of the losses, or the negative log-likelihood over the elements, (N,)."""
        if self.loss == "normal":
            return super().reconstruction_loss(decoded, target)
        return weighted_loss(self.loss, decoded, target)

    def least_loss(self, target: Tensor) -> Tensor:
        """Return the loss of a perfect reconstruction, (N,): above zero for binary cross entropy only."""
        return (0.0 if self.loss == "normal" else self.loss.get("bce", 0.0)) * bce_minimum(target)

    def observe(self, decoded: Tensor) -> Tensor:
        """Convert logits to values in [0, 1]; return the mean of the likelihood, if there is one."""
        return super().observe(decoded) if self.loss == "normal" else torch.sigmoid(decoded)

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

    def examples(self, count: int) -> Tensor:
        """Return smooth patches of random brightness, which resemble images more than noise does."""
        patches = torch.rand(count, self.channels, *(max(2, n // 8) for n in self.size))
        return F.interpolate(patches, self.size, mode="bilinear", align_corners=True)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Show the image without axes."""
        pixels = sample.permute(1, 2, 0).clamp(0, 1).numpy()
        ax.imshow(pixels[..., 0] if self.channels == 1 else pixels, vmin=0, vmax=1, cmap="gray")
        ax.set_axis_off()
