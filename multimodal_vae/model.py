"""The multi-modal variational autoencoder."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from multimodal_vae.bounds import require_memory
from multimodal_vae.calibration import calibrate_modality
from multimodal_vae.checks import checked, require_finite, require_whole
from multimodal_vae.conditions import Conditions, nearer_end, values_of_samples
from multimodal_vae.data.batch import Batch, batches_of
from multimodal_vae.data.batches import in_order
from multimodal_vae.data.covariates import covariates_of, values_of_covariates
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, listing
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.fusions.subsets import SubsetBatch
from multimodal_vae.independence import dependence_over_subsets
from multimodal_vae.masking import masked_apply, transform_present
from multimodal_vae.metric_losses.base import MetricLoss, loss_over_subsets
from multimodal_vae.modalities.base import Noise
from multimodal_vae.model_checks import (
    FUSION,
    METRIC_LOSS,
    check_data,
    check_latents,
    check_weights,
    classes_of,
    count_features,
    decoder_of,
    encoder_of,
    explain_failure,
    modalities_of,
    require_modality,
    samples_of,
)
from multimodal_vae.model_file import ModelFile, put_weights
from multimodal_vae.objective import DEPENDENCE, KL, METRIC, Objective, reconstruction
from multimodal_vae.observation import noise_of, observe
from multimodal_vae.overview import Overview, shaped
from multimodal_vae.part import Part, plain
from multimodal_vae.progress import track
from multimodal_vae.scopes import BoundedWeights, evaluating, evaluation_mode, seeded
from multimodal_vae.temperature import Temperature
from multimodal_vae.trainable import Trainable
from multimodal_vae.transfer import copy_mask

Encodable: TypeAlias = Mapping[str, Tensor] | MultimodalDataset
"""Samples to encode: tensors by modality, or a data set."""


class MultimodalVAE(Overview, Trainable):
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
        covariates: typed covariates, as a data set has them. Every encoder's features and every decoder's input get
            them, so that the latent need not carry them. Default: none.

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
        covariates: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        require_whole("latent_dim", latent_dim, 1)
        self.modalities = modalities_of(modalities)
        self.classes = classes_of(classes)
        self.covariates = covariates_of(covariates)
        self.conditions = Conditions(self.covariates)
        self.latent_dim = latent_dim
        self.seed = seed
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
            decoder_dim = self.shared_dim + self.fusion.private + self.conditions.size
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
            self.fusion.build({name: size + self.conditions.size for name, size in self.sizes.items()}, latent_dim)
            self.metric_loss.build(self.objective.metric_dimensions or self.shared_dim, len(self.classes))

    def overview(self) -> tuple[str, Mapping[str, str]]:
        """Return the number of weights; and the classes, parts and modalities. ``vae.encoders`` shows the networks."""
        entries = {"latent": f"{self.latent_dim} dimensions", "classes": listing(self.classes)}
        entries |= {"fusion": repr(self.fusion), "metric loss": repr(self.metric_loss)}
        entries |= {f"modality {name}": f"{part.name}, {shaped(part.shape)}" for name, part in self.modalities.items()}
        if self.covariates:
            entries["covariates"] = ", ".join(each.name for each in self.covariates)
        return f"MultimodalVAE: {sum(x.numel() for x in self.parameters()):,} weights", entries

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample in all modalities."""
        return 4 * sum(modality.elements for modality in self.modalities.values())

    @property
    def metric_names(self) -> list[str]:
        """Names of a batch's metrics: ``loss``, then the terms of :meth:`forward` in order."""
        return ["loss", *map(reconstruction, self.modalities), KL, METRIC, *([DEPENDENCE] if self.covariates else [])]

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
            **({"covariates": plain(self.covariates)} if self.covariates else {}),
        }

    @checked
    def save(self, path: str | Path) -> None:
        """Write weights, settings and classes to one file, which holds no code; :meth:`load` reads it.

        The file is replaced if it exists. The densities of the classes are not in it: save them by
        :meth:`~multimodal_vae.synthesis.synthesizer.Synthesizer.save`. A run folder has such a file,
        ``model.safetensors``.

        Args:
            path: a safetensors file.

        Raises:
            RunError: if the file cannot be written.
        """
        file = ModelFile(self.state_dict(), self.configuration, self.seed)
        file.write(Path(path), [*self.modalities.values(), self.fusion, self.metric_loss])

    @classmethod
    @checked
    def load(cls, path: str | Path, parts: Sequence[type[Part]] = ()) -> Self:
        """Read a model that :meth:`save` wrote: the same model, bit for bit, on the CPU and in evaluation mode.

        Args:
            path: the file.
            parts: classes of the model's parts that are not installed, such as those of a notebook; they are registered
                for the session. Default: none.

        Raises:
            RunError: if the file is missing or damaged, holds no model, or a part has another ``behavior_version``.
            PluginError: if a part is neither installed nor among ``parts``.

        Warns:
            MultimodalVAEWarning: if a part has another version than when the model was written.

        Example:
            >>> import tempfile
            >>> from multimodal_vae import Vector
            >>> vae = MultimodalVAE({"height": Vector(size=1)}, ["well", "ill"], latent_dim=4)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     vae.save(f"{folder}/model.safetensors")
            ...     again = MultimodalVAE.load(f"{folder}/model.safetensors")
            >>> again.classes, again.latent_dim
            (['well', 'ill'], 4)
        """
        path = Path(path)
        file = ModelFile.read(path, parts)
        vae = file.build(cls, path)
        vae.seed = file.seed
        put_weights(file.weights, vae, path, "the settings in its header", vae.require_finite_weights)
        return vae.eval()

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
            ``reconstruction.<modality>`` and ``kl``, (N,) each, and the scalars ``metric`` and, with covariates,
            ``dependence``.
        """
        batch.require_modalities()
        features = self.features(inputs or batch.samples, batch.present, batch.covariates)
        subsets = SubsetBatch(self.fusion.subsets(batch.present), self.device)
        present = copy_mask(batch.present, self.device)
        features = {name: subsets.expand(x) for name, x in features.items()}
        posterior: Gaussian = self.fusion(features, subsets.mask)
        latents = posterior.rsample()
        given = self.conditions.append(latents, batch.covariates, subsets.rows)
        terms = {
            reconstruction(name): self._reconstruction_term(column, given, subsets, batch, present[:, column], gather)
            for column, name in enumerate(self.modalities)
        }
        divergence = self.fusion.divergence(posterior, latents, features, subsets.mask, subsets.expand(present))
        terms[KL] = subsets.weighted_sum(divergence) / (self.latent_dim if self.objective.reduction == "mean" else 1)
        terms[METRIC] = self._metric_term(posterior.mean, subsets, batch.labels, gather)
        if self.conditions.size:
            means, none = subsets.scatter(posterior.mean), latents.new_zeros(len(batch), 0)
            given = self.conditions.append(none, batch.covariates)
            dependence = dependence_over_subsets(means, subsets.weight.T, given, batch.labels, gather)
            terms[DEPENDENCE] = self._measurements() * dependence
        return terms

    def _reconstruction_term(
        self,
        column: int,
        given: Tensor,
        subsets: SubsetBatch,
        batch: Batch,
        here: Tensor,
        gather: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """Return one modality's reconstruction term, (N,), weighted over subsets; zero where it is absent.

        ``here`` (N,) is the modality's mask on the model's device, and that of the batch the same on the CPU.
        """
        name, modality = list(self.modalities.items())[column]
        decoder, weight = self.decoders[column], subsets.reconstruction_weight[:, column]
        temperature, known = self.temperatures[column], batch.present[:, column]

        def loss(given: Tensor, rows: Tensor) -> Tensor:
            decoded = self._run(decoder, given)
            target, present = (subsets.take(x, rows) for x in (batch.samples[name], known))
            # Decode absent rows too: batch norm needs more than one row.
            return masked_apply(modality.reconstruction_loss, present, (), decoded, target)

        reconstructed = subsets.reconstructed[:, column]
        losses = masked_apply(loss, reconstructed, (), self._decoder_input(given, column), subsets.rows)
        term = subsets.weighted_sum(losses * weight)
        if not isinstance(temperature, Temperature):
            # Authors write a mean over elements; the objective may rescale it to a sum.
            return term * self.objective.elements(name, {name: part.elements for name, part in self.modalities.items()})
        weights = subsets.weighted_sum(weight * subsets.expand(here))
        least = masked_apply(modality.least_loss, known, (), batch.samples[name])
        return temperature.forward(term - weights * least, weights, gather)

    def total(self, terms: Mapping[str, Tensor], kl_share: float = 1.0) -> Tensor:
        """Return the loss, as :meth:`~multimodal_vae.objective.Objective.total` does."""
        return self.objective.total(terms, kl_share)

    def _measurements(self) -> Tensor | float:
        """Return as how many measurements a sample counts in the loss."""
        parts = zip(self.modalities.items(), self.temperatures, strict=True)
        return self.objective.measurements(
            {name: (part.elements, getattr(each, "measurements", None)) for (name, part), each in parts}
        )

    def _metric_term(
        self, means: Tensor, subsets: SubsetBatch, labels: Tensor, gather: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return the metric loss of the shared latent, averaged over subsets by their weights."""
        by_subset = subsets.scatter(means[:, : self.objective.metric_dimensions or self.shared_dim])
        means, weights, labels = gather(by_subset), gather(subsets.weight.T), gather(labels)
        return loss_over_subsets(self.metric_loss, means, weights, labels)

    def posterior(self, samples: Mapping[str, Tensor], present: Tensor, covariates: Tensor | None = None) -> Gaussian:
        """Return the posterior given the present modalities.

        Args:
            samples: (N, *shape) by modality.
            present: (N, M) of bool; each encoder runs on its present rows only.
            covariates: (N, C), as in a batch. Default: all are missing.
        """
        posterior: Gaussian = self.fusion(self.features(samples, present, covariates), copy_mask(present, self.device))
        return posterior

    def features(
        self, samples: Mapping[str, Tensor], present: Tensor, covariates: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return each encoder's features with the covariates, (N, F) by modality; zero where the modality is absent."""
        features = {
            name: masked_apply(
                partial(self._run, nn.Sequential(encoder, nn.Flatten())),
                present[:, column],
                (self.sizes[name],),
                samples[name],
            )
            for column, (name, encoder) in enumerate(zip(self.modalities, self.encoders, strict=True))
        }
        features = self.conditions.append_to_each(features, copy_mask(present, self.device), covariates)
        if not self.training:  # a training checks its loss
            for name, x in features.items():
                require_finite(x, encoder_of(name))
        return features

    def decode(
        self, latents: Tensor, names: Iterable[str] | None = None, covariates: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the raw output of each decoder, or of those of some modalities.

        Args:
            latents: (N, latent_dim).
            names: the modalities. Default: all.
            covariates: (N, C), as in a batch. Default: all are missing.
        """
        given = self.conditions.append(latents, covariates)
        return {
            name: self._run(decoder, self._decoder_input(given, column))
            for column, (name, decoder) in enumerate(zip(self.modalities, self.decoders, strict=True))
            if names is None or name in names
        }

    def _decoder_input(self, given: Tensor, column: int) -> Tensor:
        """Return the shared dimensions, the private ones of one modality, and the covariates."""
        if not self.fusion.private:
            return given
        start = self.shared_dim + column * self.fusion.private
        shared, private = given[:, : self.shared_dim], given[:, start : start + self.fusion.private]
        return torch.cat([shared, private, given[:, self.latent_dim :]], 1)

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
        return transform_present(samples, present, self.modalities, lambda modality: modality.augment)

    def corrupt(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Corrupt the input of a training step, not its target; rows absent by ``present`` (N, M) become zero."""
        return transform_present(samples, present, self.modalities, lambda modality: modality.corrupt)

    @checked
    def calibrate(self, data: MultimodalDataset) -> None:
        """Calibrate each modality on its training samples, and standardize the covariates by them."""
        self.conditions.measure(data.covariates)
        decoder_dim = self.shared_dim + self.fusion.private + self.conditions.size
        parts = zip(self.modalities, self.encoders, self.decoders, self.temperatures, strict=True)
        for name, encoder, decoder, temperature in parts:
            calibrate_modality(self.modalities[name], name, data, encoder, decoder, temperature, decoder_dim)

    @checked
    def embed(self, data: MultimodalDataset, batch_size: int = 256, augmented: bool = False) -> Tensor:
        """Return the posterior mean of every sample, or of an augmented version, (N, latent_dim), on the CPU."""
        self.check(data)
        change = self.augment if augmented else lambda samples, _: samples
        batches = _counted(in_order(data, batch_size), len(data), batch_size)
        return self._encode_batches(x.with_samples(change(x.samples, x.present)) for x in batches).mean

    @checked
    def generate(
        self,
        latents: Tensor,
        batch_size: int = 256,
        *,
        names: Collection[str] | None = None,
        noise: Noise | None = "mean",
        seed: int | None = None,
        first: int = 0,
        covariates: Any = None,
    ) -> dict[str, Tensor]:
        """Decode latents (N, latent_dim) into samples, (N, *shape) by modality, on the CPU.

        Args:
            latents: the latents.
            batch_size: number of latents per batch.
            names: the modalities. Default: all.
            noise: ``"mean"``, expected samples; ``"draw"``, draws, with a likelihood; None, as each modality says.
            seed: seed of the noise. Default: torch's current random state.
            first: number of the first latent, to generate in parts: the noise of a sample depends on seed and number.
            covariates: by name, one value for all samples or one per sample, such as ``{"site": "B"}``; None where it
                is not known. Or as in a batch, (N, C).

        Raises:
            DataError: if the latents have another shape or are not finite, or a covariate is missing or unknown.
            TrainingError: naming the decoder that gives values that are not finite.
        """
        latents = check_latents(latents, self.latent_dim)
        require_whole("batch_size", batch_size, 1)
        require_memory(self.bytes_per_sample * len(latents), f"{len(latents)} samples are too many at once")
        values = values_of_covariates(self.covariates, covariates, len(latents))
        if seed is None and noise != "mean":
            seed = int(torch.randint(2**63 - 1, ()))
        parts: dict[str, list[Tensor]] = {name: [] for name in self.modalities if names is None or name in names}
        with evaluating(self):
            for part, given in zip(torch.split(latents, batch_size), torch.split(values, batch_size), strict=True):
                latents = part.to(next(self.parameters()))
                for name, decoded in self.decode(latents, parts, given.to(self.device)).items():
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
    def reconstruct(self, samples: Encodable, covariates: Any = None) -> dict[str, Tensor]:
        """Decode the posterior means of samples: (N, *shape) by modality, absent modalities included.

        Args:
            samples: as for :meth:`encode`.
            covariates: as for :meth:`encode`.
        """
        return self.generate(
            self.encode(samples, covariates=covariates).mean,
            covariates=values_of_samples(self.covariates, samples, covariates),
        )

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
        covariates: Any = None,
    ) -> Tensor:
        """Predict one modality from the given ones.

        Args:
            samples: as for :meth:`encode`.
            to: modality to predict.
            batch_size: number of samples per batch.
            draws: number of latents to draw from each posterior. Default: decode the posterior mean.
            seed: seed of the draws. Default: torch's current random state.
            noise: as for :meth:`generate`. Default: with ``draws``, as the modality says; without, ``"mean"``.
            covariates: as for :meth:`encode`.

        Returns:
            The predicted modality on the CPU, (N, *shape), or (N, draws, *shape) with ``draws``.

        Raises:
            ConfigurationError: if ``draws`` is below 1.
            DataError: if a modality is unknown, samples do not fit, or the fusion needs an absent modality.
        """
        require_modality(to, self.modalities)
        if draws is not None:
            require_whole("draws", draws, 1)
        posterior, given = (
            self.encode(samples, batch_size, covariates),
            values_of_samples(self.covariates, samples, covariates),
        )
        if draws is None:
            noise = noise or "mean"
            return self.generate(posterior.mean, batch_size, names=[to], noise=noise, seed=seed, covariates=given)[to]
        with seeded(seed):
            latents = posterior.sample(draws)
        given = given.repeat_interleave(draws, 0)
        each = latents.flatten(0, 1)
        predicted = self.generate(each, batch_size, names=[to], noise=noise, seed=seed, covariates=given)[to]
        return predicted.reshape(*latents.shape[:2], *predicted.shape[1:])

    @checked
    def interpolate(self, pair: Encodable, steps: int = 8, covariates: Any = None) -> dict[str, Tensor]:
        """Decode equal steps on the line between the posterior means of two samples.

        Args:
            pair: two samples, as for :meth:`encode`; their modalities may differ.
            steps: number of steps, both ends included.
            covariates: as for :meth:`encode`. Between the samples, each step has those of the nearer one.

        Returns:
            (steps, *shape) by modality; the first and last are the reconstructions of the two samples.

        Raises:
            ConfigurationError: if ``steps`` is below 2.
            DataError: if there are not two samples, or as for :meth:`encode`.
        """
        require_whole("steps", steps, 2)  # both ends count
        require_memory(4 * self.latent_dim * steps, f"steps is {steps}, which is too many")
        means = self.encode(pair, covariates=covariates).mean
        if len(means) != 2:
            raise DataError(f"interpolate takes 2 samples, not {len(means)}")
        latents = torch.lerp(means[0], means[1], torch.linspace(0, 1, steps)[:, None])
        return self.generate(
            latents, covariates=nearer_end(values_of_samples(self.covariates, pair, covariates), steps)
        )

    @checked
    def encode(self, samples: Encodable, batch_size: int = 256, covariates: Any = None) -> Gaussian:
        """Return the posterior given some or all modalities: mean and log-variance of the latent.

        Args:
            samples: (N, *shape) by modality, one or several; or a data set, whose samples may lack modalities.
                :meth:`~multimodal_vae.data.dataset.MultimodalDataset.only` selects modalities of a data set.
            batch_size: number of samples per batch.
            covariates: covariates of samples that are tensors, as for :meth:`generate`; a data set has its own.

        Returns:
            Mean and log-variance, (N, latent_dim) each, on the CPU.

        Raises:
            DataError: if a modality is unknown, samples do not fit, or the fusion needs an absent modality.
        """
        if not isinstance(samples, Mapping):
            self.check(samples)
            values_of_samples(self.covariates, samples, covariates)  # none may be given
            return self._encode_batches(_counted(in_order(samples, batch_size), len(samples), batch_size))
        samples = samples_of(samples, self.modalities)
        shapes = {name: modality.shape for name, modality in self.modalities.items()}
        return self._encode_batches(
            batches_of(samples, shapes, batch_size, values_of_samples(self.covariates, samples, covariates))
        )

    def _encode_batches(self, batches: Iterable[Batch]) -> Gaussian:
        """Return the posteriors of all batches, (N, latent_dim), on the CPU."""
        means, logvars = [torch.zeros(0, self.latent_dim)], [torch.zeros(0, self.latent_dim)]
        with evaluating(self):
            for batch in batches:
                batch.require_modalities()
                moved = batch.to(self.device)
                posterior = self.posterior(moved.samples, moved.present, moved.covariates)
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
        """Raise DataError if the data has other modalities, classes or covariates than the model."""
        check_data(data, self.modalities, self.classes, self.covariates)


def _counted(batches: Iterator[Batch], samples: int, batch_size: int) -> Iterator[Batch]:
    """Count the batches of so many samples where progress is shown."""
    return track(batches, "encoding", total=-(-samples // batch_size))
