"""Signals of several channels, sampled over time."""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality, load_arrays, read_table, real_numbers
from multimodal_vae.nn import ResidualDecoder, ResidualEncoder, Standardize, Unstandardize, standardized_mse


class Signal(Modality):
    """A signal of (channels, length), in any unit; each channel is standardized by the training data.

    Files are ``.npy`` of (channels, length), ``.npz`` with one such array, or ``.csv`` with one column per channel and
    one row per point in time. With one channel, arrays of (length,) are accepted as well.

    Args:
        length: number of points in time.
        channels: number of channels.
        width: number of feature maps of the first block; more take more time and memory.

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
        """Return standardization and one-dimensional residual blocks."""
        return nn.Sequential(Standardize((self.channels, 1)), ResidualEncoder(self.shape, self.width))

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the inverse, to values and their standard deviations, (N, 2, channels, length)."""
        return nn.Sequential(ResidualDecoder(latent_dim, self.shape, self.width), Unstandardize((self.channels, 1)))

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error in units of each channel's standard deviation, (N,)."""
        return standardized_mse(decoded, target)

    def observe(self, decoded: Tensor) -> Tensor:
        """Return the values, in the unit of the data."""
        return decoded[:, 0]

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a ``.csv``, ``.npz`` or ``.npy`` file."""
        array = self._array(cell)
        return array[None] if array.ndim == self.channels == 1 else array

    def _array(self, cell: str | Path) -> NDArray[np.float32]:
        suffix = Path(cell).suffix.lower()
        if suffix == ".csv":
            return read_table(cell).T.astype(np.float32)
        if suffix == ".npz":
            arrays = load_arrays(cell)
            if len(arrays) != 1:
                raise DataError(f"holds {len(arrays)} arrays; one of (channels, length) is expected")
            return real_numbers(next(iter(arrays.values())))
        return super().read(cell)
