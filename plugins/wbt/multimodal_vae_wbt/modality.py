"""Wideband tympanometry: absorbance over pressure and frequency, on a common grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from multimodal_vae import ConfigurationError, Image
from multimodal_vae.modalities.grid import Losses, Network
from multimodal_vae.nn import random_erasing
from multimodal_vae_wbt.grid import FrequencyAxis, Grid
from multimodal_vae_wbt.sweep import Sweep, read_sweep, write_sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Probability = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=2)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

TICKS = (226, 500, 1000, 2000, 4000)
"""Hz; where clinicians read a wideband tympanogram."""


FAINT = 0.05
"""Absorbance that some frequency exceeds in any ear."""


class WBT(Image):
    """A wideband tympanogram: absorbance in [0, 1], (1, pressures, frequencies).

    Row 0 is the first pressure, +180 daPa by default; column 0 the first frequency. Defaults are those of Sundgaard et
    al., "Multi-modal data generation with a deep metric variational autoencoder"; that its frequencies are evenly
    spaced in their logarithm is a reading, since it calls only the pressure axis linear.

    Args:
        size: steps of pressure and of frequency.
        pressure: first and last pressure, in daPa relative to ambient.
        frequency: first and last frequency, in Hz.
        frequency_axis: evenly spaced in the logarithm of the frequency, or in the frequency.
        width: features of the network's first block.
        network: ``"residual"``, the paper's; or ``"compact"``, which at a width of 16 costs less than a tenth of it.
        loss: weights of the reconstruction losses of :data:`multimodal_vae.nn.PIXEL_LOSSES`; or ``"normal"``, a
            likelihood with a learned deviation of the noise per element.
        erase: probability that a random rectangle of the input is set to 0 (Zhong et al. 2020, whose one half this
            is).
        erase_target: erase the target together with the input, so that the network learns to draw erased grids; by
            default it has to restore what was erased. The paper's text allows both.

    Example:
        >>> WBT(width=8).shape
        (1, 64, 64)
    """

    suffix = ".csv"

    def __init__(
        self,
        size: tuple[Steps, Steps] = (64, 64),
        pressure: tuple[Finite, Finite] = (180.0, -280.0),
        frequency: tuple[Finite, Finite] = (226.0, 4000.0),
        frequency_axis: FrequencyAxis = "log",
        width: Annotated[int, Field(ge=4)] = 64,
        network: Network = "residual",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
        erase: Probability = 0.5,
        erase_target: bool = False,
    ) -> None:
        super().__init__(size=size, channels=1, width=width, network=network, loss=loss)
        if pressure[0] == pressure[1]:
            raise ConfigurationError(
                f"{self.name!r}: pressure runs from {pressure[0]:g} to itself; give two ends, in daPa"
            )
        if not 0 < frequency[0] < frequency[1]:
            raise ConfigurationError(
                f"{self.name!r}: frequency runs from {frequency[0]:g} to {frequency[1]:g}; give two ends above 0 Hz, "
                "the lower first"
            )
        self.grid = Grid(size, pressure, frequency, frequency_axis)
        self.erase = erase
        self.erase_target = erase_target

    @property
    def pressures(self) -> NDArray[np.float64]:
        """Pressure of each row, (rows,), in daPa."""
        return self.grid.pressures

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Frequency of each column, (columns,), in Hz."""
        return self.grid.frequencies

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a sweep from ``.mat``, ``.csv`` or ``.npz`` and resample it; or an array on this grid from ``.npy``.

        See :mod:`multimodal_vae_wbt.sweep` for the formats and :meth:`~multimodal_vae_wbt.grid.Grid.resample` for the
        resampling.

        Raises:
            DataError: if the file is no sweep, or a sweep that does not cover the grid.
        """
        if Path(cell).suffix.lower() == ".npy":
            return super().read(cell)
        sweep = read_sweep(cell)
        resampled = self.grid.resample(sweep)
        self.notes.update(sweep.notes)
        if resampled.absorbance.max() < FAINT:
            self.notes[f"absorbance below {FAINT:g} everywhere"] += 1
        if resampled.clipped:
            self.notes["values clipped to [0, 1]"] += resampled.clipped
        return resampled.absorbance[None].astype(np.float32)

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a sample (1, pressures, frequencies) as ``.csv`` with the grid's own axes."""
        write_sweep(Sweep(self.pressures, self.frequencies, sample[0].double().numpy()), path)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw absorbance, 0 to 1, as color over frequency, on a logarithmic axis, and pressure.

        A scale of the colors is left to whoever draws the figure, since many grids share one; the mesh is labeled.
        """
        ax.pcolormesh(
            self.frequencies,
            self.pressures,
            sample[0].numpy(),
            vmin=0,
            vmax=1,
            cmap="viridis",
            shading="gouraud",
            rasterized=True,
            label="absorbance",
        )
        low, high = self.frequencies[[0, -1]]
        ax.set_xscale("log")
        ax.set_xticks([tick for tick in TICKS if low <= tick <= high] or [low, high])
        ax.set_xticks([], minor=True)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("frequency (Hz)")
        ax.set_ylabel("pressure (daPa)")
        ax.set_box_aspect(1)

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Erase a rectangle of grids (N, 1, pressures, frequencies), unless ``erase_target``; a new tensor."""
        return x if self.erase_target else self._erased(x)

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Erase a rectangle of grids (N, 1, pressures, frequencies) if ``erase_target``; a new tensor."""
        return self._erased(x) if self.erase_target else x

    def _erased(self, x: Tensor) -> Tensor:
        return random_erasing(x, self.erase) if self.erase else x
