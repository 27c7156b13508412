"""Electroencephalograms: epochs of several channels in microvolts."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae import ConfigurationError, DataError, Signal
from multimodal_vae.modalities.bands import draw_bands
from multimodal_vae.modalities.recordings import Real, cut, open_edf, parse_cell
from multimodal_vae.nn import random_erasing
from multimodal_vae_eeg.channels import STANDARD, Montage, find_montage, in_microvolts, plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[list[str], Field(min_length=1)]

ORDER = 2
"""Of the Butterworth band-pass; running both ways doubles it."""

SHARPNESS = 30.0
"""Quality of the notch filter: the line's frequency over the width of what it removes."""

SURROUND = 3.0
"""Periods of the band's lower end after which the filter has forgotten what came before."""

WILDEST, TAMEST = 1000.0, 0.1
"""Standard deviations in microvolts above which an epoch is refused, and below which it is noted."""


class EEG(Signal):
    """An epoch of an electroencephalogram, (channels, samples) in microvolts.

    An epoch lasts ``seconds`` at ``rate``. It begins where the recording does, or where the cell says: ``a.edf#t=30``
    begins 30 s after the first sample. Values are normal around the decoded ones, as of
    :class:`multimodal_vae.Signal`.

    Args:
        channels: names of electrodes, or of differences such as ``"Fp1-F7"``, whatever their case. Default: the 19
            electrodes of the 10-20 system; old names such as T3 are those of today.
        rate: sampling rate in Hz.
        seconds: length of an epoch.
        reference: what is subtracted from electrodes: ``"average"``, the mean of the wanted ones; names of channels,
            their mean, such as ``["A1", "A2"]``; or ``"file"``, nothing. Differences stay as they are.
        band: lowest and highest frequency in Hz of the band-pass filter.
        notch: frequency of the mains in Hz, 50 or 60, which is filtered out. Default: it is not.
        width: half the feature maps of the first convolution.
        hidden: width of the perceptron beside the convolutions.
        gain: input and target are multiplied by a random factor between 1 / (1 + gain) and 1 + gain, since skulls and
            electrodes differ.
        erase: probability that a random run of the input is 0 in all channels, which the network learns to restore.

    Example:
        >>> EEG(channels=["C3", "C4", "Fp1-F7"], rate=128, seconds=2).shape
        (3, 256)
    """

    def __init__(
        self,
        channels: Names = STANDARD,
        rate: Positive = 100.0,
        seconds: Positive = 4.0,
        reference: Literal["average", "file"] | Names = "average",
        band: tuple[Positive, Positive] = (0.5, 40.0),
        notch: Literal[50, 60] | None = None,
        width: Annotated[int, Field(ge=4)] = 8,
        hidden: PositiveInt = 256,
        gain: Share = 0.1,
        erase: Annotated[float, Field(ge=0, le=1)] = 0.0,
    ) -> None:
        if len({plain_name(channel) for channel in channels}) < len(channels):
            raise ConfigurationError(f"{self.name!r}: 'channels' names one channel twice: {', '.join(channels)}")
        if not band[0] < band[1] < rate / 2:
            raise ConfigurationError(f"{self.name!r}: 'band' is {band} Hz, but must rise and end below half of 'rate'")
        if reference == "average" and len(channels) == 1 and "-" not in channels[0]:
            raise ConfigurationError(
                f"{self.name!r}: one electrode has no average; set 'reference' to channels or 'file'"
            )
        super().__init__(max(1, round(rate * seconds)), len(channels), width, hidden)
        self.names = list(channels)
        self.rate = rate
        self.seconds = seconds
        self.reference = reference
        self.band = band
        self.notch = notch
        self.gain = gain
        self.erase = erase

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Multiply each epoch by a random factor, one for all channels."""
        exponent = 2 * torch.rand(len(x), 1, 1, device=x.device) - 1
        return x * (1 + self.gain) ** exponent if self.gain else x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Erase a run of epochs (N, channels, samples)."""
        return random_erasing(x, self.erase) if self.erase else x

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read an epoch of a ``.edf`` or ``.bdf`` file: referenced, filtered and resampled; or a sample from ``.npy``.

        Raises:
            DataError: if it is too short, has a gap, lacks a channel, is in an unknown unit, or is no recording.
        """
        path, start, stop = parse_cell(cell)
        ending = path.suffix.lower()
        if ending == ".npy" and not start and not np.isfinite(stop):
            return super().read(path)
        if ending not in (".edf", ".bdf"):
            raise DataError(
                f"ends in {path.suffix!r}; an EEG is read from .edf or .bdf, and a finished sample from .npy"
            )
        found: list[Montage] = []

        def choose(names: list[str]) -> list[int]:
            found.append(find_montage(names, self.names, self.reference))
            return found[0].indices

        record = open_edf(path, choose, in_microvolts, kind="channel")  # type: ignore[arg-type]  # a list of names
        if record.rate < 2 * self.band[1]:
            raise DataError(
                f"was sampled at {record.rate:g} Hz, too slowly for a band up to {self.band[1]:g} Hz; lower 'band'"
            )
        clean = partial(_filtered, rate=record.rate, band=self.band, notch=self.notch)
        signal = cut(record, start, stop, self.rate, self.length, clean, SURROUND / self.band[0])
        signal = found[0].weights @ signal
        for name, deviation in zip(self.names, signal.std(1), strict=True):
            if deviation > WILDEST:
                raise DataError(f"has a standard deviation of {deviation:.3g} uV in {name!r}, too much for an EEG")
            if deviation < TAMEST:
                self.notes[f"channel with a standard deviation below {TAMEST:g} uV"] += 1
        return signal.astype(np.float32)

    def files(self, cell: str | Path) -> list[Path]:
        """Return the recording's file, without the time."""
        return [parse_cell(cell).path]

    def examples(self, count: int) -> Tensor:
        """Return noise that falls with the frequency, as an EEG does, of 10 to 40 microvolts."""
        noise = torch.randn(count, *self.shape).cumsum(-1)
        noise = noise - noise.mean(-1, keepdim=True)
        noise = noise / noise.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)
        epochs: Tensor = noise * (10 + 30 * torch.rand(count, self.channels, 1))
        return epochs

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw the channels one below the other, as electroencephalographers do, with time in seconds."""
        step = max(1.0, 6 * float(sample.std(-1, correction=0).median()))
        time = np.arange(self.length) / self.rate
        for row, values in enumerate(sample.numpy()):
            ax.plot(time, values - values.mean() - row * step, linewidth=0.6, color="black")
        ax.set_yticks([-row * step for row in range(len(self.names))], self.names)
        ax.set(xlabel="time (s)", title=f"{step:.0f} \N{MICRO SIGN}V between channels")

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the median and the range of each channel over time."""
        times = np.arange(self.length) / self.rate
        return draw_bands(sets, times, "time (s)", [f"{name} (\N{MICRO SIGN}V)" for name in self.names])


def _filtered(signal: Real, rate: float, band: tuple[float, float], notch: int | None) -> Real:
    """Return a signal (channels, samples) after the filters, which move nothing in time."""
    from scipy.signal import butter, filtfilt, iirnotch, sosfiltfilt

    beyond = min(signal.shape[1] - 1, round(SURROUND * rate / band[0]))
    high = min(band[1], 0.49 * rate)
    signal = sosfiltfilt(
        butter(ORDER, (band[0], high), "bandpass", fs=rate, output="sos"), signal, axis=1, padlen=beyond
    )
    if notch and notch < rate / 2:
        signal = filtfilt(*iirnotch(notch, SHARPNESS, rate), signal, axis=1, padlen=beyond)
    return np.asarray(signal)
