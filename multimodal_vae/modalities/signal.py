"""Signals of several channels, sampled over time."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.distributions import Normal

from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import DataError
from multimodal_vae.measurements import check_order, gaps_as_nan, is_clock, order_note
from multimodal_vae.modalities.bands import draw_bands
from multimodal_vae.modalities.base import Modality, load_arrays
from multimodal_vae.nn import LearnedScale, PredictedScale, SignalDecoder, SignalEncoder, Standardize, Unstandardize
from multimodal_vae.tables import Table, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Signal(Modality):
    """A signal of (channels, length), in any unit; each channel is standardized by the training data.

    Values are normal around the decoded ones, with a deviation that is learned per channel and
    predicted per sample.

    Files are ``.npy`` of (channels, length), ``.npz`` with one such array, or ``.csv`` with one column per channel and
    one row per point in time, whose names must agree between files. With one channel, arrays of (length,) are accepted
    as well.

    Args:
        length: number of points in time.
        channels: number of channels.
        width: half the feature maps of the first convolution; more take more time and memory.
        hidden: width of the perceptron beside the convolutions.

    Example:
        >>> Signal(length=128, channels=2).shape
        (2, 128)
    """

    behavior_version = 2

    def __init__(
        self,
        length: PositiveInt,
        channels: PositiveInt = 1,
        width: Annotated[int, Field(ge=4)] = 8,
        hidden: PositiveInt = 256,
    ) -> None:
        self.length = length
        self.channels = channels
        self.width = width
        self.hidden = hidden

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, length)."""
        return (self.channels, self.length)

    def encoder(self) -> nn.Module:
        """Return standardization and a :class:`~multimodal_vae.nn.SignalEncoder`."""
        return nn.Sequential(Standardize((self.channels, 1)), SignalEncoder(self.shape, self.width, self.hidden))

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the inverse, to values and deviations of the noise, (N, 2, channels, length)."""
        per_channel = (self.channels, 1)
        network = SignalDecoder(latent_dim, self.shape, self.width, self.hidden)
        decoder = nn.Sequential(network, Unstandardize(per_channel), LearnedScale(per_channel))
        return PredictedScale(decoder, latent_dim, per_channel)

    def likelihood(self, decoded: Tensor) -> Normal:
        """Return a normal distribution per element."""
        value, deviation = decoded.unbind(1)
        return Normal(value, deviation, validate_args=False)

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a ``.csv``, ``.npz`` or ``.npy`` file.

        Raises:
            DataError: if it is damaged, has a first column that is an index or a clock, or codes of missing samples.
        """
        array = self._array(cell)
        array = array[None] if array.ndim == self.channels == 1 else array
        if array.shape == self.shape and (missing := np.isfinite(array) & np.isnan(gaps_as_nan(array))).any():
            raise DataError(
                f"jumps to {array[missing][0]:g} and back, a code of missing samples; choose another stretch or leave "
                "it out"
            )
        return array

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot one line per channel."""
        super().plot(sample, ax)
        ax.set_xlabel("point in time")

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the median and the range of each channel over time."""
        channels = [f"channel {number + 1}" for number in range(self.channels)]
        return draw_bands(sets, range(self.length), "point in time", channels)

    def check_notes(self, notes: Mapping[str, int]) -> None:
        """Refuse ``.csv`` files whose columns have different names."""
        check_order(notes, "columns", "give them the same columns, or none a first row of names")

    def _array(self, cell: str | Path) -> NDArray[np.float32]:
        suffix = Path(cell).suffix.lower()
        if suffix == ".csv":
            table = read_table(cell)
            if table.header:
                self.notes[order_note("columns", table.header)] += 1
            return real_numbers(_without_clock(table).T)
        if suffix == ".npz":
            arrays = load_arrays(cell)
            if len(arrays) != 1:
                raise DataError(f"holds {len(arrays)} arrays; one of (channels, length) is expected")
            return real_numbers(next(iter(arrays.values())))
        return super().read(cell)


def _without_clock(table: Table) -> NDArray[np.float64]:
    """Return the numbers of a table, and refuse one whose first column is an index or a clock."""
    first, *others = table.values.T
    unnamed = table.header and not table.header[0]
    if others and (unnamed or (is_clock(first) and not all(map(is_clock, others)))):
        raise DataError(
            f"has a first column {'without a name' if unnamed else 'that rises evenly'}, as an index or a clock does; "
            "remove it, or save the signal as .npy"
        )
    return table.values
