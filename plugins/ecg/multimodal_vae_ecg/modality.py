"""Electrocardiograms: leads over time in millivolts."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.distributions import Normal

from multimodal_vae import ConfigurationError, DataError, Modality
from multimodal_vae.measurements import check_order, gaps_as_nan
from multimodal_vae.modalities.bands import draw_bands
from multimodal_vae.modalities.recordings import Record, cut, parse_cell
from multimodal_vae.nn import LearnedScale, ResidualDecoder, ResidualEncoder, Standardize, Unstandardize
from multimodal_vae_ecg.augmentation import scaled, shifted, wandering, without_leads
from multimodal_vae_ecg.filters import SURROUND, remove_wander
from multimodal_vae_ecg.leads import NO_UNIT, plain_name
from multimodal_vae_ecg.loss import beat_loss
from multimodal_vae_ecg.records import files_of, open_record, write_prepared
from multimodal_vae_ecg.synthetic import synthetic_ecg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Finite = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Names = Annotated[list[str], Field(min_length=1)]

SHORTEST = 8
"""Samples; fewer contain no wave."""

WILDEST = 20.0
"""Standard deviation in mV above which a signal is refused: ten times that of the liveliest ECG."""

TAMEST = 0.002
"""Standard deviation in mV below which a signal is refused, or noted if its unit is stated: volts taken for mV
have less."""

FARTHEST = 100.0
"""Distance in mV from its lead's median at which a value is refused; amplifiers of ECGs end at a tenth of it."""


class ECG(Modality):
    """An electrocardiogram, (leads, samples) in mV; standardized per lead on the training data.

    A sample lasts ``seconds`` at ``rate``. It begins where the recording does, or where the cell says:
    ``holter.edf#t=12.5`` begins 12.5 s after the first sample, and ``holter.edf#t=12.5,13.5`` also ends there.

    Args:
        leads: names of the leads; or their number, which takes the first leads of each file. Their names must then
            agree between files, and a note gives them.
        rate: sampling rate in Hz.
        seconds: length of a sample.
        highpass: cut-off in Hz of the filter that removes baseline wander; 0 for none. From a recording shorter than
            two periods of it, the median is subtracted instead. See
            :func:`~multimodal_vae_ecg.filters.remove_wander`.
        width: features of the network's first block.
        qrs: additional weight of an error where the target is steepest; 0 weights all samples equally.
        slope: weight of the slope's error relative to the amplitude's. See :func:`~multimodal_vae_ecg.loss.beat_loss`.
        gain: input and target are multiplied by a random factor between 1 / (1 + gain) and 1 + gain, since electrodes
            and chests differ.
        shift: input and target are shifted at random by up to so many seconds.
        wander: amplitude in mV, at most, of a slow sine that is added to the input, so that the network learns to
            remove it.
        loosen: probability per lead that the input is flat, as if an electrode were loose; at least one lead per sample
            stays. The network learns to restore it from the others.
        loss: ``"beat"``, the weighted error of amplitude and slope; or ``"normal"``, a likelihood: normal noise with a
            deviation that is learned per lead. Samples can then be drawn with their noise, and leads of a target that
            are missing count nothing.

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
        loss: Literal["beat", "normal"] = "beat",
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
        self.loss = loss
        self.length = round(rate * seconds)
        if self.length < SHORTEST:
            raise ConfigurationError(
                f"{self.name!r}: {seconds:g} s at {rate:g} Hz are {self.length} samples, fewer than {SHORTEST}; raise "
                "'seconds', or 'rate', which is in Hz"
            )
        if 2 * highpass >= rate:
            raise ConfigurationError(f"{self.name!r}: 'highpass' is {highpass:g} Hz, but must be below half the rate")
        if isinstance(leads, list) and len({lead.lower() for lead in leads}) < len(leads):
            raise ConfigurationError(f"{self.name!r}: 'leads' names one lead twice: {', '.join(leads)}")

    @property
    def names(self) -> list[str]:
        """Names of the leads; numbered if only their number is set."""
        return [f"lead {n + 1}" for n in range(self.leads)] if isinstance(self.leads, int) else self.leads

    @property
    def shape(self) -> tuple[int, ...]:
        """(leads, samples)."""
        return (len(self.names), self.length)

    def encoder(self) -> nn.Module:
        """Return standardization per lead, then one-dimensional residual blocks."""
        return nn.Sequential(Standardize((len(self.names), 1)), ResidualEncoder(self.shape, self.width))

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a network to values in mV and deviations, of the data or of the noise, (N, 2, leads, samples)."""
        per_lead = (len(self.names), 1)
        layers = [ResidualDecoder(latent_dim, self.shape, self.width), Unstandardize(per_lead)]
        return nn.Sequential(*layers, *([LearnedScale(per_lead)] if self.loss == "normal" else []))

    def likelihood(self, decoded: Tensor) -> Normal | None:
        """Return a normal distribution around the values, if ``loss`` is ``"normal"``."""
        value, deviation = decoded.unbind(1)
        return Normal(value, deviation, validate_args=False) if self.loss == "normal" else None

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the weighted mean squared error of amplitude and slope, in standard deviations of each lead, (N,).

        See :func:`~multimodal_vae_ecg.loss.beat_loss`. With a likelihood, return its negative logarithm.
        """
        if self.loss == "normal":
            return super().reconstruction_loss(decoded, target)
        value, deviation = decoded.unbind(1)
        return beat_loss((value - target) / deviation, target, self.rate, self.qrs, self.slope)

    def observe(self, decoded: Tensor) -> Tensor:
        """Return the values in mV."""
        return decoded[:, 0]

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Return samples with another gain, shifted in time; a new tensor unless both are off."""
        if self.gain:
            x = scaled(x, self.gain)
        samples = round(self.shift * self.rate)
        return shifted(x, samples) if samples else x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Return samples with flat leads and baseline wander; a new tensor unless both are off."""
        if self.loosen:
            x = without_leads(x, self.loosen)
        return wandering(x, self.rate, self.wander) if self.wander else x

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a recording, or a stretch of one, filtered and resampled; see :mod:`multimodal_vae_ecg.records`.

        Raises:
            DataError: if it is too short, has a gap, lacks a lead, is in an unknown unit, or is no recording.
        """
        path, start, stop = parse_cell(cell)
        if path.suffix.lower() == ".npy":
            if start or np.isfinite(stop):
                raise DataError("is a finished sample, which has no stretches; leave out '#t='")
            array = super().read(path)
            if array.shape != self.shape:
                return array
            array = gaps_as_nan(array)
            if np.isfinite(array).all():
                _check_size(array, unit_stated=False)
            return array
        record = open_record(path, self.leads, self.rate)
        if self._is_finished(record):
            signal = record.load(0, self.length)
        else:
            clean = partial(remove_wander, rate=record.rate, cutoff=self.highpass)
            reach = SURROUND / self.highpass if self.highpass else 0
            signal = cut(record, start, stop, self.rate, self.length, clean, reach)
            _check_size(signal, NO_UNIT not in record.notes)
            if 0 < signal.std() < TAMEST:
                self.notes[f"standard deviation below {TAMEST:g} mV"] += 1
        self.notes.update(record.notes)
        if record.rate < self.rate * (1 - 1e-6):
            self.notes[f"sampled at less than {self.rate:g} Hz"] += 1
        return signal.astype(np.float32)

    def check(self, samples: Tensor) -> None:
        """Check shape, finiteness, and that no sample (N, leads, samples) is too large for an ECG in mV.

        Raises:
            DataError: with the actual and the expected value.
        """
        super().check(samples)
        if samples.numel():
            _refuse_wild(float(samples.flatten(1).std(1, correction=0).max()))

    def check_notes(self, notes: Mapping[str, int]) -> None:
        """Refuse files whose first leads have different names, if ``leads`` is a number."""
        check_order(notes, "leads", "set 'leads' to names", plain_name)

    def files(self, cell: str | Path) -> list[Path]:
        """Return the recording's file; of a WFDB record the header and the files that it names."""
        return files_of(parse_cell(cell).path)

    def _is_finished(self, record: Record) -> bool:
        return (
            record.prepared
            and record.rate == self.rate
            and record.samples == self.length
            and len(record.leads) == len(self.names)
        )

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a sample (leads, samples) as ``.csv``: a column ``time_s``, then one column per lead in mV."""
        write_prepared(sample.double().numpy(), self.rate, self.names, path)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw the leads on ECG paper, one below the other, at 25 mm/s and 10 mm/mV."""
        from multimodal_vae_ecg.paper import draw_on_paper

        draw_on_paper(sample.double().numpy(), self.rate, self.names, ax)

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the median and the range of each lead over time."""
        times = np.arange(self.length) / self.rate
        return draw_bands(sets, times, "time (s)", [f"{name} (mV)" for name in self.names])

    def examples(self, count: int) -> Tensor:
        """Return synthetic ECGs (count, leads, samples) from torch's default generator."""
        return synthetic_ecg(count, len(self.names), self.rate, self.length)


def _check_size(signal: NDArray[np.floating], unit_stated: bool) -> None:
    """Refuse a signal (leads, samples) whose size in mV is not that of an ECG."""
    with np.errstate(over="ignore"):
        deviation = float(signal.std(dtype=np.float64))
    _refuse_wild(deviation)
    if not unit_stated and 0 < deviation < TAMEST:
        raise DataError(f"has a standard deviation of {deviation:.3g} mV, too little for an ECG; state its unit")
    distance = np.abs(signal - np.median(signal, axis=1, keepdims=True)).max()
    if distance > FARTHEST:
        raise DataError(f"has a value {distance:.3g} mV from its lead's median, too far for an ECG; cut it out")


def _refuse_wild(deviation: float) -> None:
    if deviation > WILDEST:
        raise DataError(f"has a standard deviation of {deviation:.3g} mV, too much for an ECG; state its unit")
