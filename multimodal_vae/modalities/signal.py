"""Signals: several channels sampled over time."""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality, load_arrays, read_table, real_numbers
from multimodal_vae.nn import ResidualDecoder, ResidualEncoder, Standardize, Unstandardize


class Signal(Modality):
    """A signal of (channels, length), in any unit; standardized by channel on the training data.

    Files are ``.npy`` of (channels, length), ``.npz`` with one such array, or ``.csv`` with a column a channel and a
    row a point in time. Where there is one channel, an array of (length,) will do.

    Args:
        length: points in time.
        channels: how many are sampled together.
        width: features of the network's first block.

    Example:
        >>> Signal(length=128, channels=2).shape
        (2, 128)
    """

    def __init__(self, length: PositiveInt, channels: PositiveInt = 1, width: Annotated[int, Field(ge=4)] = 32) -> None:
        self.length = length
        self.channels = channels
        self.width = width

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, length)."""
        return (self.channels, self.length)

    def encoder(self) -> nn.Module:
        """Standardization, then one-dimensional residual blocks."""
        return nn.Sequential(Standardize((self.channels, 1)), ResidualEncoder(self.shape, self.width))

    def decoder(self, latent_dim: int) -> nn.Module:
        """The way back, to values and their deviations, (N, 2, channels, length)."""
        return nn.Sequential(ResidualDecoder(latent_dim, self.shape, self.width), Unstandardize((self.channels, 1)))

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Mean squared difference in units of each channel's standard deviation, (N,)."""
        value, deviation = decoded.unbind(1)
        return ((value - target) / deviation).square().flatten(1).mean(1)

    def observe(self, decoded: Tensor) -> Tensor:
        """The values, in the data's unit."""
        return decoded[:, 0]

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read ``.csv``, ``.npz`` or ``.npy``."""
        array = self._array(cell)
        return array[None] if array.ndim == self.channels == 1 else array

    def _array(self, cell: str | Path) -> NDArray[np.float32]:
        suffix = Path(cell).suffix.lower()
        if suffix == ".csv":
            return read_table(cell).T.astype(np.float32)
        if suffix == ".npz":
            arrays = load_arrays(cell)
            if len(arrays) != 1:
                raise DataError(f"holds {len(arrays)} arrays, where one of (channels, length) is wanted")
            return real_numbers(next(iter(arrays.values())))
        return super().read(cell)
