"""The multi-modal variational autoencoder."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import checked, real_samples, require_finite, require_whole
from multimodal_vae.data.batch import Batch, batches_of
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.fusions.subsets import SubsetBatch
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality, Noise, check_samples, needs_calibration, require_size
from multimodal_vae.model_checks import (
    FUSION,
    METRIC_LOSS,
    check_latents,
    check_weights,
    count_features,
    decoder_of,
    encoder_of,
    explain_failure,
)
from multimodal_vae.names import name_of
from multimodal_vae.objective import KL, METRIC, Objective, reconstruction
from multimodal_vae.observation import noise_of, observe
from multimodal_vae.scopes import BoundedWeights, evaluating, evaluation_mode, seeded
from multimodal_vae.temperature import ROWS, Temperature, evenly_spaced

Precision = Literal["float32", "bfloat16"]
Encodable: TypeAlias = Mapping[str, Tensor] | MultimodalDataset
"""Samples to encode: tensors by modality, or a data set."""

CALIBRATION_BYTES = 1 << 28
"""Maximum bytes of training samples that calibrate a modality (256 MiB)."""


class MultimodalVAE(nn.Module):
    """One encoder and decoder per modality, one fusion, one latent.

    Every decoder takes the shared latent and, with some fusions, its modality's private dimensions.

    Args:
        modalities: modalities by name, each an instance, a registered name or a table with a ``name``.
        classes: names of the classes; a label is an index into this list.
        fusion: maps features to the posterior of the latent.
        metric_loss: separates the classes in the latent.
        latent_dim: number of latent dimensions; the paper uses 128. What a model does not need stays at the prior.
        objective: weights of the terms, an :class:`~multimodal_vae.objective.Objective` or a table.
        seed: seed of the initial weights. Default: torch's current random state.

    Attributes:
        shared_dim: number of leading latent dimensions that all modalities share; all of them with most fusions.
        precision: precision in which encoders and decoders train; only a training changes it from ``"float32"``.

    Raises:
        ConfigurationError: if settings are invalid, or a modality's networks and loss do not fit its shape.

    Example:
        >>> from multimodal_vae import Vector
        >>> vae = MultimodalVAE({"height": Vector(size=1), "blood": Vector(size=5)}, ["well", "ill"], latent_dim=4)
        >>> {name: x.shape for name, x in vae.generate(torch.zeros(2, 4)).items()}
        {'height': torch.Size([2, 1]), 'blood': torch.Size([2, 5])}
    """

    @checked
    def __init__(
        self,
        modalities: Mapping[str, Any],
        classes: Sequence[str],
        fusion: Any = "mvtcae",
        metric_loss: Any = "triplet",
        latent_dim: int = 32,
        objective: Objective | Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not modalities:
            raise ConfigurationError("modalities is empty; a model needs at least one")
        names: list[Any] = list(modalities)
        if not all(isinstance(name, str) for name in names):
            raise ConfigurationError(f"the modalities are called {names}; name them by text")
        require_whole("latent_dim", latent_dim, 1)
        self.modalities = {name: Modality.of(spec) for name, spec in modalities.items()}
        given: list[Any] = list(classes)
        self.classes = [name if isinstance(name, str) else name_of(name) for name in given]
        if len({*self.classes}) < len(self.classes):
            raise ConfigurationError(f"the classes {self.classes} are not distinct; name each class once")
        for name, modality in self.modalities.items():
            require_size(name, modality)
        self.latent_dim = latent_dim
        self.seed = seed
        self.precision: Precision = "float32"
        self.fusion = Fusion.of(fusion)
        self.shared_dim = latent_dim - len(self.modalities) * self.fusion.private
        if self.shared_dim < 1:
            raise ConfigurationError(
                f"{len(self.modalities)} modalities with private = {self.fusion.private} leave no shared dimension of "
                f"latent_dim = {latent_dim}. Raise latent_dim, or lower private"
            )
        self.objective = Objective.of(objective or {}, self.modalities, self.shared_dim)
        self.metric_loss = MetricLoss.of(metric_loss)
        with seeded(seed), explain_failure(), BoundedWeights():
            # Lists, not dictionaries of modules: a modality may have any name, also one that torch forbids.
            self.encoders = nn.ModuleList(modality.encoder() for modality in self.modalities.values())
            decoder_dim = self.shared_dim + self.fusion.private
            self.decoders = nn.ModuleList(modality.decoder(decoder_dim) for modality in self.modalities.values())
            self.sizes, likelihoods = count_features(self.modalities, self.encoders, self.decoders, decoder_dim)
            calibrated = {*self.modalities} - likelihoods if self.objective.reduction == "calibrated" else ()
            self.temperatures = nn.ModuleList(
                Temperature(modality) if name in calibrated else nn.Identity()
                for name, modality in self.modalities.items()
            )
            self.dependences = nn.ModuleList(
                NoiseDependence(modality) if name in likelihoods else nn.Identity()
                for name, modality in self.modalities.items()
            )
            self.fusion.build(self.sizes, latent_dim)
            self.metric_loss.build(self.objective.metric_dimensions or self.shared_dim, len(self.classes))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample in all modalities."""
        return 4 * sum(modality.elements for modality in self.modalities.values())

    @property
    def metric_names(self) -> list[str]:
        """Names of a batch's metrics: ``loss``, then the terms of :meth:`forward` in order."""
        return ["loss", *map(reconstruction, self.modalities), KL, METRIC]

    @property
    def configuration(self) -> dict[str, Any]:
        """All settings but the seed, with defaults, as a table that builds the same model."""
        return {
            "modalities": {name: modality.configuration for name, modality in self.modalities.items()},
            "classes": self.classes,
            "fusion": self.fusion.configuration,
            "metric_loss": self.metric_loss.configuration,
            "latent_dim": self.latent_dim,
            "objective": self.objective.model_dump(exclude_none=True),
        }

    def forward(
        self,
        batch: Batch,
        inputs: Mapping[str, Tensor] | None = None,
        gather: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> dict[str, Tensor]:
        """Compute the terms of the objective.

        Args:
            batch: samples to reconstruct.
            inputs: samples to encode instead of the batch's own, such as corrupted ones.
            gather: concatenates rows over all processes that share a batch, for the metric loss.

        Returns:
            ``reconstruction.<modality>`` and ``kl``, (N,) each, and ``metric``, a scalar.
        """
        batch.require_modalities()
        features = self.features(inputs or batch.samples, batch.present)
        subsets = SubsetBatch(self.fusion.subsets(batch.present))
        features = {name: subsets.expand(x) for name, x in features.items()}
        posterior: Gaussian = self.fusion(features, subsets.mask)
        latents = posterior.rsample()
        terms = {
            reconstruction(name): self._reconstruction_term(column, latents, subsets, batch, gather)
            for column, name in enumerate(self.modalities)
        }
        present = subsets.expand(batch.present)
        divergence = self.fusion.divergence(posterior, latents, features, subsets.mask, present)
        terms[KL] = subsets.weighted_sum(divergence) / (self.latent_dim if self.objective.reduction == "mean" else 1)
        terms[METRIC] = self._metric_term(posterior.mean, subsets, batch.labels, gather)
        return terms

    def _reconstruction_term(
        self, column: int, latents: Tensor, subsets: SubsetBatch, batch: Batch, gather: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return one modality's reconstruction term, (N,), weighted over subsets; zero where it is absent."""
        name, modality = list(self.modalities.items())[column]
        decoder, weight = self.decoders[column], subsets.reconstruction_weight[:, column]
        temperature, here = self.temperatures[column], batch.present[:, column]

        def loss(latents: Tensor, rows: Tensor) -> Tensor:
            decoded = self._run(decoder, latents)
            target, present = (subsets.take(x, rows) for x in (batch.samples[name], here))
            # Decode absent rows too: batch norm needs more than one row.
            return _masked_apply(modality.reconstruction_loss, present, (), decoded, target)

        losses = _masked_apply(loss, weight > 0, (), self._decoder_input(latents, column), subsets.rows)
        term = subsets.weighted_sum(losses * weight)
        if not isinstance(temperature, Temperature):
            # Authors write a mean over elements; the objective may rescale it to a sum.
            return term * self.objective.elements(name, {name: part.elements for name, part in self.modalities.items()})
        weights = subsets.weighted_sum(weight * subsets.expand(here))
        least = _masked_apply(modality.least_loss, here, (), batch.samples[name])
        return temperature.forward(term - weights * least, weights, gather)

    def _metric_term(
        self, means: Tensor, subsets: SubsetBatch, labels: Tensor, gather: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return the metric loss of the shared latent, averaged over subsets by their weights."""
        by_subset = subsets.scatter(means[:, : self.objective.metric_dimensions or self.shared_dim])
        means, weights, labels = gather(by_subset), gather(subsets.weight.T), gather(labels)
        total, whole = means.new_zeros(()), weights.sum()
        for number in range(means.shape[1]):
            known = (labels >= 0) & (weights[:, number] > 0)
            share = weights[:, number].sum() / whole
            total = total + share * self.metric_loss(means[known, number], labels[known])
        return total

    def posterior(self, samples: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the posterior given the present modalities.

        Args:
            samples: (N, *shape) by modality.
            present: (N, M) of bool; each encoder runs on its present rows only.
        """
        posterior: Gaussian = self.fusion(self.features(samples, present), present)
        return posterior

    def features(self, samples: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """Return each encoder's features, (N, size) by modality; zero where the modality is absent."""
        features = {
            name: _masked_apply(
                partial(self._run, nn.Sequential(encoder, nn.Flatten())),
                present[:, column],
                (self.sizes[name],),
                samples[name],
            )
            for column, (name, encoder) in enumerate(zip(self.modalities, self.encoders, strict=True))
        }
        if not self.training:  # a training checks its loss
            for name, x in features.items():
                require_finite(x, encoder_of(name))
        return features

    def decode(self, latents: Tensor, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the raw output of each decoder, or of those of some modalities, for latents (N, latent_dim)."""
        return {
            name: self._run(decoder, self._decoder_input(latents, column))
            for column, (name, decoder) in enumerate(zip(self.modalities, self.decoders, strict=True))
            if names is None or name in names
        }

    def _decoder_input(self, latents: Tensor, column: int) -> Tensor:
        """Return the shared dimensions and the private ones of one modality."""
        if not self.fusion.private:
            return latents
        start = self.shared_dim + column * self.fusion.private
        return torch.cat([latents[:, : self.shared_dim], latents[:, start : start + self.fusion.private]], 1)

    def _run(self, network: nn.Module, x: Tensor) -> Any:
        """Apply an encoder or decoder: in training in :attr:`precision`, otherwise in float32.

        A single row has no batch statistics, so batch norm takes its running ones.
        """
        reduced = self.training and self.precision == "bfloat16"
        with (
            torch.autocast(self.device.type, torch.bfloat16) if reduced else nullcontext(),
            evaluation_mode(network) if self.training and len(x) == 1 else nullcontext(),
        ):
            y = network(x)
        return y.to(torch.promote_types(x.dtype, y.dtype)) if isinstance(y, Tensor) else y

    def augment(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Augment samples that serve as input and target; absent rows, if ``present`` is given, become zero."""
        return self._transform(samples, present, lambda modality: modality.augment)

    def corrupt(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Corrupt the input of a training step, not its target; rows absent by ``present`` (N, M) become zero."""
        return self._transform(samples, present, lambda modality: modality.corrupt)

    def _transform(
        self,
        samples: Mapping[str, Tensor],
        present: Tensor | None,
        method: Callable[[Modality], Callable[[Tensor], Tensor]],
    ) -> dict[str, Tensor]:
        if present is None:
            return {name: method(modality)(samples[name]) for name, modality in self.modalities.items()}
        return {
            name: _masked_apply(method(modality), present[:, column], modality.shape, samples[name])
            for column, (name, modality) in enumerate(self.modalities.items())
        }

    @checked
    def calibrate(self, data: MultimodalDataset) -> None:
        """Calibrate each modality on its training samples, or on evenly spaced ones up to :data:`CALIBRATION_BYTES`."""
        for (name, modality), encoder, decoder, temperature in zip(
            self.modalities.items(), self.encoders, self.decoders, self.temperatures, strict=True
        ):
            rows = data.present[:, list(data.modalities).index(name)].nonzero()[:, 0]
            needed = needs_calibration(modality, encoder, decoder)
            most = max(1, min(len(rows) if needed else ROWS, CALIBRATION_BYTES // (4 * math.prod(modality.shape))))
            if len(rows) and (needed or isinstance(temperature, Temperature)):
                samples = data.samples.columns[name][evenly_spaced(rows, most)]
                with torch.no_grad():
                    modality.calibrate(encoder, decoder, samples)
                if isinstance(temperature, Temperature):
                    temperature.calibrate(modality, decoder, self.shared_dim + self.fusion.private, samples)

    @checked
    def embed(self, data: MultimodalDataset, batch_size: int = 256) -> Tensor:
        """Return the posterior mean of every sample, (N, latent_dim), on the CPU."""
        return self.encode(data, batch_size).mean

    @checked
    def generate(
        self,
        latents: Tensor,
        batch_size: int = 256,
        *,
        noise: Noise | None = "mean",
        seed: int | None = None,
        first: int = 0,
    ) -> dict[str, Tensor]:
        """Decode latents (N, latent_dim) into samples, (N, *shape) by modality, on the CPU.

        Args:
            latents: the latents.
            batch_size: number of latents per batch.
            noise: ``"mean"``, expected samples; ``"draw"``, draws, with a likelihood; None, as each modality says.
            seed: seed of the noise. Default: torch's current random state.
            first: number of the first latent, to generate in parts: the noise of a sample depends on seed and number.

        Raises:
            DataError: if the latents have another shape, or are not finite.
            TrainingError: naming the decoder that gives values that are not finite.
        """
        latents = check_latents(latents, self.latent_dim)
        require_whole("batch_size", batch_size, 1)
        require_memory(self.bytes_per_sample * len(latents), f"{len(latents)} samples are too many at once")
        if seed is None and noise != "mean":
            seed = int(torch.randint(2**63 - 1, ()))
        parts: dict[str, list[Tensor]] = {name: [] for name in self.modalities}
        with evaluating(self):
            for part in torch.split(latents, batch_size):
                for name, decoded in self.decode(part.to(next(self.parameters()))).items():
                    dependence = self.dependences[list(self.modalities).index(name)]
                    samples = observe(name, self.modalities[name], decoded, dependence, noise, seed, first)
                    parts[name].append(require_finite(samples, decoder_of(name)))
                first += len(part)
        return {name: torch.cat(samples) for name, samples in parts.items()}

    def noise_of(self, noise: Noise | None = None) -> dict[str, Noise]:
        """Return, by modality, whether :meth:`generate` draws samples for a setting of ``noise``."""
        with evaluating(self):
            decoded = self.decode(torch.zeros(1, self.latent_dim, device=self.device))
        return {name: noise_of(modality, decoded[name], noise) for name, modality in self.modalities.items()}

    @checked
    def reconstruct(self, samples: Encodable) -> dict[str, Tensor]:
        """Decode the posterior means of samples: (N, *shape) by modality, absent modalities included.

        Args:
            samples: as for :meth:`encode`.
        """
        return self.generate(self.encode(samples).mean)

    @checked
    def translate(
        self,
        samples: Encodable,
        to: str,
        batch_size: int = 256,
        *,
        draws: int | None = None,
        seed: int | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Predict one modality from the given ones.

        Args:
            samples: as for :meth:`encode`.
            to: modality to predict.
            batch_size: number of samples per batch.
            draws: number of latents to draw from each posterior. Default: decode the posterior mean.
            seed: seed of the draws. Default: torch's current random state.
            noise: as for :meth:`generate`. Default: with ``draws``, as the modality says; without, ``"mean"``.

        Returns:
            The predicted modality on the CPU, (N, *shape), or (N, draws, *shape) with ``draws``.

        Raises:
            ConfigurationError: if ``draws`` is below 1.
            DataError: if a modality is unknown, samples do not fit, or the fusion needs an absent modality.
        """
        self._require_modality(to)
        if draws is not None:
            require_whole("draws", draws, 1)
        posterior = self.encode(samples, batch_size)
        if draws is None:
            return self.generate(posterior.mean, batch_size, noise=noise or "mean", seed=seed)[to]
        with seeded(seed):
            latents = posterior.sample(draws)
        predicted = self.generate(latents.flatten(0, 1), batch_size, noise=noise, seed=seed)[to]
        return predicted.reshape(*latents.shape[:2], *predicted.shape[1:])

    @checked
    def interpolate(self, pair: Encodable, steps: int = 8) -> dict[str, Tensor]:
        """Decode equal steps on the line between the posterior means of two samples.

        Args:
            pair: two samples, as for :meth:`encode`; their modalities may differ.
            steps: number of steps, both ends included.

        Returns:
            (steps, *shape) by modality; the first and last are the reconstructions of the two samples.

        Raises:
            ConfigurationError: if ``steps`` is below 2.
            DataError: if there are not two samples, or as for :meth:`encode`.
        """
        require_whole("steps", steps, 2)  # both ends count
        require_memory(4 * self.latent_dim * steps, f"steps is {steps}, which is too many")
        means = self.encode(pair).mean
        if len(means) != 2:
            raise DataError(f"interpolate takes 2 samples, not {len(means)}")
        return self.generate(torch.lerp(means[0], means[1], torch.linspace(0, 1, steps)[:, None]))

    @checked
    def encode(self, samples: Encodable, batch_size: int = 256) -> Gaussian:
        """Return the posterior given some or all modalities: mean and log-variance of the latent.

        Args:
            samples: (N, *shape) by modality, one or several; or a data set, whose samples may lack modalities.
                :meth:`~multimodal_vae.data.dataset.MultimodalDataset.only` selects modalities of a data set.
            batch_size: number of samples per batch.

        Returns:
            Mean and log-variance, (N, latent_dim) each, on the CPU.

        Raises:
            DataError: if a modality is unknown, samples do not fit, or the fusion needs an absent modality.
        """
        require_whole("batch_size", batch_size, 1)
        if not isinstance(samples, Mapping):
            self.check(samples)
            return self._encode_batches(
                samples.batch(rows) for rows in torch.split(torch.arange(len(samples)), batch_size)
            )
        for name in samples:
            self._require_modality(name)
        if not samples:
            raise DataError(f"there are no samples to encode; give samples of one or more of {list(self.modalities)}")
        samples = {name: real_samples(name, x) for name, x in samples.items()}
        for name, x in samples.items():
            check_samples(name, self.modalities[name], x)
        shapes = {name: modality.shape for name, modality in self.modalities.items()}
        return self._encode_batches(batches_of(samples, shapes, batch_size))

    def _require_modality(self, name: str) -> None:
        if name not in self.modalities:
            raise DataError(f"there is no modality {name!r}; {did_you_mean(name, self.modalities)}")

    def _encode_batches(self, batches: Iterable[Batch]) -> Gaussian:
        """Return the posteriors of all batches, (N, latent_dim), on the CPU."""
        means, logvars = [torch.zeros(0, self.latent_dim)], [torch.zeros(0, self.latent_dim)]
        with evaluating(self):
            for batch in batches:
                batch.require_modalities()
                moved = batch.to(self.device)
                posterior = self.posterior(moved.samples, moved.present)
                means.append(posterior.mean.cpu())
                logvars.append(posterior.logvar.cpu())
        mean, logvar = (require_finite(torch.cat(parts), FUSION) for parts in (means, logvars))
        return Gaussian(mean, logvar)

    def require_finite_weights(self) -> None:
        """Raise TrainingError, naming the part, if weights or statistics are not finite."""
        networks: dict[str, nn.Module] = {FUSION: self.fusion, METRIC_LOSS: self.metric_loss}
        networks.update(zip(map(encoder_of, self.modalities), self.encoders, strict=True))
        networks.update(zip(map(decoder_of, self.modalities), self.decoders, strict=True))
        check_weights(networks)

    def check(self, data: MultimodalDataset) -> None:
        """Raise DataError if the data has other modalities or classes than the model."""
        if list(data.modalities) != list(self.modalities):
            raise DataError(f"the data has the modalities {list(data.modalities)}, the model {list(self.modalities)}")
        if data.classes != self.classes:
            raise DataError(f"the data has the classes {data.classes}, the model {self.classes}")


def _masked_apply(function: Callable[..., Tensor], mask: Tensor, shape: tuple[int, ...], *tensors: Tensor) -> Tensor:
    """Apply a function to the rows where the mask is true; the other rows of the result, (N, *shape), are zero.

    Absent rows must not pass through networks: batch norm would count them, and NaN would spread from them.
    """
    if bool(mask.all()):
        return function(*tensors)
    result = tensors[0].new_zeros(len(mask), *shape)
    if bool(mask.any()):
        result[mask] = function(*(x[mask] for x in tensors))
    return result
