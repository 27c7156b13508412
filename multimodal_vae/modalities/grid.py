"""Values in [0, 1] on a regular grid: what images and volumes share."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.modalities.base import Modality
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
from multimodal_vae.nn.dimensions import INTERPOLATION, MEAN, SMOOTH

Network: TypeAlias = Literal["residual", "compact"]
Losses: TypeAlias = Annotated[dict[PixelLoss, PositiveFloat], Field(min_length=1)]


class Grid(Modality):
    """Values in [0, 1] on a grid of two or three dimensions, (channels, *size); a subclass reads and plots them.

    Args:
        size: elements along each axis.
        channels: number of channels.
        width: number of feature maps of the first block; more take more time and memory.
        network: ``"compact"`` or ``"residual"``.
        loss: weights of the reconstruction losses, by name in :data:`multimodal_vae.nn.PIXEL_LOSSES`; or ``"normal"``,
            a likelihood: normal noise with a deviation that is learned per element, and values beyond 0 and 1 recorded
            there.
        network_size: elements along each axis at which the networks work, by whole factors below ``size``: the encoder
            averages the sample first, and the decoder's output is enlarged smoothly. Default: those of ``size``.

    Raises:
        ConfigurationError: if the size is too small for a loss, or no multiple of ``network_size``.
    """

    range = (0.0, 1.0)
    noise = "mean"

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        width: int,
        network: Network,
        loss: Losses | Literal["normal"],
        network_size: Sequence[int] | None = None,
    ) -> None:
        for name in () if loss == "normal" else loss:
            if min(size) < SMALLEST_SIDE.get(name, 1):
                raise ConfigurationError(
                    f"{self.name!r}: the loss {name!r} needs at least {SMALLEST_SIDE[name]} pixels per side, but the "
                    f"size is {' x '.join(map(str, size))}; increase 'size' or choose another loss"
                )
        if network_size and any(n % m for n, m in zip(size, network_size, strict=True)):
            raise ConfigurationError(
                f"{self.name!r}: the size {' x '.join(map(str, size))} is no multiple of the network_size "
                f"{' x '.join(map(str, network_size))}; divide each side by a whole number"
            )
        self.size = tuple(size)
        self.channels = channels
        self.width = width
        self.network = network
        self.loss = loss
        self.network_size = tuple(network_size) if network_size else None

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, *size)."""
        return (self.channels, *self.size)

    @property
    def _network_shape(self) -> tuple[int, ...]:
        return (self.channels, *(self.network_size or self.size))

    def encoder(self) -> nn.Module:
        """Return a :class:`~multimodal_vae.nn.ResidualEncoder` or :class:`~multimodal_vae.nn.CompactEncoder`."""
        network = (ResidualEncoder if self.network == "residual" else CompactEncoder)(self._network_shape, self.width)
        if self.network_size is None:
            return network
        factors = [n // m for n, m in zip(self.size, self.network_size, strict=True)]
        return nn.Sequential(MEAN[len(factors)](factors), network)

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the matching decoder, to logits; for a likelihood to values and deviations of the noise."""
        kind = ResidualDecoder if self.network == "residual" else CompactDecoder
        network: nn.Module = kind(latent_dim, self._network_shape, self.width)
        if self.network_size is not None:
            network = nn.Sequential(network, nn.Upsample(self.size, mode=SMOOTH[len(self.size)]))
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

    def examples(self, count: int) -> Tensor:
        """Return smooth patches of random brightness, which resemble pictures more than noise does."""
        patches = torch.rand(count, self.channels, *(max(2, n // 8) for n in self.size))
        return F.interpolate(patches, self.size, mode=INTERPOLATION[len(self.size)], align_corners=True)
