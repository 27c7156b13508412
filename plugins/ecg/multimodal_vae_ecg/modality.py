"""Electrocardiograms: leads over time in millivolts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from multimodal_vae import ConfigurationError, DataError, Modality
from multimodal_vae.nn import ResidualDecoder, ResidualEncoder, Standardize, Unstandardize
from multimodal_vae_ecg.augmentation import scaled, shifted, wandering, without_leads
from multimodal_vae_ecg.loss import beat_loss
from multimodal_vae_ecg.records import Record, files_of, open_record, write_prepared
from multimodal_vae_ecg.segment import cut, parse_cell
from multimodal_vae_ecg.synthetic import synthetic_ecg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Finite = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Names = Annotated[list[str], Field(min_length=1)]

SHORTEST = 8
"""Samples; fewer hold no wave."""

WILDEST = 20.0
"""mV of standard deviation: ten times the liveliest ECG's, and a tenth of what microvolts taken for millivolts have."""


class ECG(Modality):
    """An electrocardiogram: (leads, samples) in mV, standardized by lead on the training data.

    A sample lasts ``seconds`` at ``rate``; what is longer is cut from its start, or from where its cell says:
    ``holter.edf#t=12.5`` begins 12.5 s after the first sample, and ``holter.edf#t=12.5,13.5`` also ends there.

    Args:
        leads: how many, the first ones of each file; or which, by name.
        rate: samples a second of each lead, in Hz.
        seconds: how long a sample is.
        highpass: cut-off in Hz of the filter that removes baseline wander; 0 for none. A recording shorter than two of
            its periods loses its median instead. See :func:`~multimodal_vae_ecg.filters.remove_wander`.
        width: features of the network's first block.
        qrs: how much more than elsewhere an error counts where the target is steepest; 0 makes all places equal.
        slope: weight of the slope's error, beside the amplitude's. See :func:`~multimodal_vae_ecg.loss.beat_loss`.
        gain: input and target alike are multiplied by up to 1 + gain, or divided by it: electrodes and chests differ.
        shift: input and target alike are moved by up to so many seconds either way.
        wander: the input alone gets a slow sine of up to so many mV: the network must see past it, not generate it.
        loosen: probability for each lead to be flat in the input alone, as if its electrode were loose; one of a
            sample's leads always stays. The network has to restore it from the others.

    Example:
        >>> ECG(leads=["I", "II", "V2"], rate=250, seconds=4).shape
        (3, 1000)
    """

    suffix = ".csv"

    def __init__(
        self,
        leads: PositiveInt | Names = 1,
        rate: Finite = 100.0,
        seconds: Finite = 10.0,
        highpass: Amount = 0.5,
        width: Annotated[int, Field(ge=4)] = 32,
        qrs: Amount = 4.0,
        slope: Amount = 0.5,
        gain: Share = 0.1,
        shift: Amount = 0.02,
        wander: Amount = 0.1,
        loosen: Share = 0.1,
    ) -> None:
        self.leads = leads
        self.rate = rate
        self.seconds = seconds
        self.highpass = highpass
        self.width = width
        self.qrs = qrs
        self.slope = slope
        self.gain = gain
        self.shift = shift
        self.wander = wander
        self.loosen = loosen
        self.length = round(rate * seconds)
        if self.length < SHORTEST:
            raise ConfigurationError(
                f"{self.name!r}: {seconds:g} s at {rate:g} Hz are {self.length} samples, and an ECG has at least "
                f"{SHORTEST}; raise seconds, or rate, which is in Hz"
            )
        if 2 * highpass >= rate:
            raise ConfigurationError(f"{self.name!r}: highpass is {highpass:g} Hz, and must be below half the rate")
        if isinstance(leads, list) and len({lead.lower() for lead in leads}) < len(leads):
            raise ConfigurationError(f"{self.name!r}: leads names one twice: {', '.join(leads)}")

    @property
    def names(self) -> list[str]:
        """Names of the leads; numbered where only their count is known."""
        return [f"lead {n + 1}" for n in range(self.leads)] if isinstance(self.leads, int) else self.leads

    @property
    def shape(self) -> tuple[int, ...]:
        """(leads, samples)."""
        return (len(self.names), self.length)

    def encoder(self) -> nn.Module:
        """Standardization by lead, then one-dimensional residual blocks."""
        return nn.Sequential(Standardize((len(self.names), 1)), ResidualEncoder(self.shape, self.width))

    def decoder(self, latent_dim: int) -> nn.Module:
        """The way back, to mV and their deviations, (N, 2, leads, samples)."""
        return nn.Sequential(ResidualDecoder(latent_dim, self.shape, self.width), Unstandardize((len(self.names), 1)))

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Mean squared error in each lead's standard deviations, QRS complexes weighted, with that of the slope, (N,).

        See :func:`~multimodal_vae_ecg.loss.beat_loss`.
        """
        value, deviation = decoded.unbind(1)
        return beat_loss((value - target) / deviation, target, self.rate, self.qrs, self.slope)

    def observe(self, decoded: Tensor) -> Tensor:
        """The values, in mV."""
        return decoded[:, 0]

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Change the gain and shift in time; a new tensor unless neither is wanted."""
        if self.gain:
            x = scaled(x, self.gain)
        samples = round(self.shift * self.rate)
        return shifted(x, samples) if samples else x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Loosen leads and add wander; a new tensor unless neither is wanted."""
        if self.loosen:
            x = without_leads(x, self.loosen)
        return wandering(x, self.rate, self.wander) if self.wander else x

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a stretch of a recording and bring it to this shape: filtered, resampled, in mV.

        See :mod:`multimodal_vae_ecg.records` for the formats and :mod:`multimodal_vae_ecg.segment` for stretches. What
        :meth:`write` made, with the same leads, rate and length, is taken as it is; so is an array in a ``.npy`` file.

        Raises:
            DataError: if it is no such recording, too short, without a wanted lead, or in an unknown unit.
        """
        path, start, stop = parse_cell(cell)
        if path.suffix.lower() == ".npy":
            if start or np.isfinite(stop):
                raise DataError("is a finished sample, of which no stretch can be read; leave out '#t='")
            return super().read(path)
        record = open_record(path, self.leads, self.rate)
        if self._is_finished(record):
            return record.load(0, self.length).astype(np.float32)
        signal = cut(record, start, stop, self.rate, self.length, self.highpass)
        deviation = float(signal.std())
        if deviation > WILDEST:
            raise DataError(f"has a standard deviation of {deviation:.3g} mV, more than any heart's; say its true unit")
        if record.rate < self.rate * (1 - 1e-6):
            self.notes[f"sampled at less than {self.rate:g} Hz"] += 1
        return signal.astype(np.float32)

    def files(self, cell: str | Path) -> list[Path]:
        """The recording's file; of a WFDB record its header, and whatever that names."""
        return files_of(parse_cell(cell).path)

    def _is_finished(self, record: Record) -> bool:
        return (
            record.prepared
            and record.rate == self.rate
            and record.samples == self.length
            and len(record.leads) == len(self.names)
        )

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a sample (leads, samples) as ``.csv``: a column ``time_s``, then one a lead in mV."""
        write_prepared(sample.double().numpy(), self.rate, self.names, path)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw on ECG paper: 25 mm a second, 10 mm a millivolt, leads one under the other."""
        from multimodal_vae_ecg.paper import draw_on_paper

        draw_on_paper(sample.double().numpy(), self.rate, self.names, ax)

    def examples(self, count: int) -> Tensor:
        """Made-up ECGs (count, leads, samples), from torch's default generator."""
        return synthetic_ecg(count, len(self.names), self.rate, self.length)
