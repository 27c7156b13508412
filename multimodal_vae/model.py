"""The multi-modal variational autoencoder: an encoder and a decoder a modality, one latent."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pydantic
import torch
from torch import Tensor, nn

from multimodal_vae.data.batch import UNLABELED, Batch
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.fusions.base import Fusion, Subsets
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality, check_samples
from multimodal_vae.nn import Standardize
from multimodal_vae.objective import KL, METRIC, Objective, reconstruction
from multimodal_vae.part import explain_settings
from multimodal_vae.scopes import evaluating, seeded

if TYPE_CHECKING:
    from multimodal_vae.data.dataset import MultimodalDataset

Precision = Literal["float32", "bfloat16"]
Given: TypeAlias = "Mapping[str, Tensor] | MultimodalDataset"
"""Samples that a model is asked about: tensors by modality, or a data set."""

CALIBRATION_BYTES = 1 << 28
"""Most of a modality's training samples that it measures: 256 MiB, or 16,384 pictures of 64 x 64 of float32."""


class MultimodalVAE(nn.Module):
    """Encoders, a fusion into one latent, and decoders that see all of it, but for what is another modality's own.

    Args:
        modalities: a modality by name: an instance, the name of a registered one, or a table.
        classes: names of the classes; a label is an index into them.
        fusion: how features become one latent.
        metric_loss: what draws the classes apart.
        latent_dim: length of the latent; 128 is the paper's.
        objective: weights of the terms, an :class:`~multimodal_vae.objective.Objective` or a table.
        seed: of the initial weights; torch's present state where it is None.

    Attributes:
        shared_dim: how many of the latent's first dimensions all modalities share; all, with most fusions.
        precision: in which encoders and decoders train; ``"float32"`` but for the length of a training that says
            otherwise.

    Raises:
        ConfigurationError: if a part's settings are wrong, or a modality's networks and loss do not fit its shape.

    Example:
        >>> from multimodal_vae import Vector
        >>> vae = MultimodalVAE({"height": Vector(size=1), "blood": Vector(size=5)}, ["well", "ill"], latent_dim=4)
        >>> {name: x.shape for name, x in vae.generate(torch.zeros(2, 4)).items()}
        {'height': torch.Size([2, 1]), 'blood': torch.Size([2, 5])}
    """

    def __init__(
        self,
        modalities: Mapping[str, Any],
        classes: Sequence[str],
        fusion: Any = "concat",
        metric_loss: Any = "triplet",
        latent_dim: int = 128,
        objective: Objective | Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not modalities:
            raise ConfigurationError("a model needs at least one modality")
        if latent_dim < 1:
            raise ConfigurationError(f"latent_dim is {latent_dim}, and a latent has at least one dimension")
        self.modalities = {name: Modality.of(spec) for name, spec in modalities.items()}
        self.classes = list(classes)
        self.latent_dim = latent_dim
        self.seed = seed
        self.precision: Precision = "float32"
        self.fusion = Fusion.of(fusion)
        self.shared_dim = latent_dim - len(self.modalities) * self.fusion.private
        if self.shared_dim < 1:
            raise ConfigurationError(
                f"{len(self.modalities)} modalities with private = {self.fusion.private} dimensions each leave nothing "
                f"to share of a latent of {latent_dim}; make latent_dim larger, or private smaller"
            )
        self.objective = _objective(objective or {}, self.modalities, self.shared_dim)
        self.metric_loss = MetricLoss.of(metric_loss)
        with seeded(seed):
            # Lists, not dictionaries of modules: a modality may have any name, also one that torch forbids.
            self.encoders = nn.ModuleList(modality.encoder() for modality in self.modalities.values())
            seen = self.shared_dim + self.fusion.private
            self.decoders = nn.ModuleList(modality.decoder(seen) for modality in self.modalities.values())
            self.sizes = self._sizes(seen)
            self.fusion.build(self.sizes, latent_dim)
            self.metric_loss.build(self.objective.metric_dimensions or self.shared_dim, len(self.classes))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def figures(self) -> list[str]:
        """Names of what a batch comes to: ``loss``, then the terms of :meth:`forward` in their order."""
        return ["loss", *map(reconstruction, self.modalities), KL, METRIC]

    @property
    def configuration(self) -> dict[str, Any]:
        """All settings but the seed, defaults included, as a table that makes the same model anew."""
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
            batch: what is to be reconstructed.
            inputs: what the encoders see in its place, such as the same samples with parts erased.
            gather: brings together the rows of all processes that share a batch, for the metric loss, which belongs to
                the batch as a whole.

        Returns:
            ``reconstruction.<modality>`` and ``kl``, (N,) each; and ``metric``, a scalar.
        """
        _require_something(batch)
        features = self.features(inputs or batch.samples, batch.present)
        subsets = SubsetBatch(self.fusion.subsets(batch.present))
        features = {name: subsets.of(x) for name, x in features.items()}
        posterior: Gaussian = self.fusion(features, subsets.asked)
        latents = posterior.rsample()
        elements = {name: modality.elements for name, modality in self.modalities.items()}
        terms = {}
        for column, name in enumerate(self.modalities):
            loss = self._reconstruction(column, latents, subsets, batch)
            # A loss is a mean over its sample's elements; sums are asked of the objective, not of each author.
            terms[reconstruction(name)] = loss * self.objective.elements(name, elements)
        present = subsets.of(batch.present)
        divergence = self.fusion.divergence(posterior, latents, features, subsets.asked, present)
        terms[KL] = subsets.summed(divergence) / (self.latent_dim if self.objective.reduction == "mean" else 1)
        terms[METRIC] = self._metric(posterior.mean, subsets, batch.labels, gather)
        return terms

    def _reconstruction(self, column: int, latents: Tensor, subsets: "SubsetBatch", batch: Batch) -> Tensor:
        """How far a modality is from being rebuilt, (N,), over all subsets that have to; zero where it is absent."""
        name, modality = list(self.modalities.items())[column]
        decoder, counts = self.decoders[column], subsets.reconstruction_weight[:, column]

        def loss(latents: Tensor, rows: Tensor) -> Tensor:
            decoded = self._run(decoder, latents)
            target, present = (subsets.take(x, rows) for x in (batch.samples[name], batch.present[:, column]))
            # Absent rows are decoded all the same, lest batch norm be left with a single one.
            return _where_present(modality.reconstruction_loss, present, (), decoded, target)

        lost = _where_present(loss, counts > 0, (), self._seen(latents, column), subsets.rows)
        return subsets.summed(lost * counts)

    def _metric(
        self, means: Tensor, subsets: "SubsetBatch", labels: Tensor, gather: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The metric loss of the shared latent, once for each of a sample's subsets, averaged by their weights."""
        shaped = subsets.spread(means[:, : self.objective.metric_dimensions or self.shared_dim])
        everyone, weights, labels = gather(shaped), gather(subsets.weights.T), gather(labels)
        total, whole = means.new_zeros(()), weights.sum()
        for number in range(everyone.shape[1]):
            known = (labels >= 0) & (weights[:, number] > 0)
            share = weights[:, number].sum() / whole
            total = total + share * self.metric_loss(everyone[known, number], labels[known])
        return total

    def posterior(self, samples: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Encode and fuse.

        Args:
            samples: (N, *shape) by modality.
            present: (N, M) of bool; encoders run on present rows only.
        """
        posterior: Gaussian = self.fusion(self.features(samples, present), present)
        return posterior

    def features(self, samples: Mapping[str, Tensor], present: Tensor) -> dict[str, Tensor]:
        """What each encoder tells of its modality, (N, size) by name; zero where it is absent."""
        return {
            name: _where_present(
                partial(self._run, nn.Sequential(encoder, nn.Flatten())),
                present[:, column],
                (self.sizes[name],),
                samples[name],
            )
            for column, (name, encoder) in enumerate(zip(self.modalities, self.encoders, strict=True))
        }

    def decode(self, latents: Tensor) -> dict[str, Tensor]:
        """Map latents (N, latent_dim) to each decoder's own output."""
        return {
            name: self._run(decoder, self._seen(latents, column))
            for column, (name, decoder) in enumerate(zip(self.modalities, self.decoders, strict=True))
        }

    def _seen(self, latents: Tensor, column: int) -> Tensor:
        """What the decoder of a modality sees of latents: what is shared, and its own."""
        if not self.fusion.private:
            return latents
        start = self.shared_dim + column * self.fusion.private
        return torch.cat([latents[:, : self.shared_dim], latents[:, start : start + self.fusion.private]], 1)

    def _run(self, network: nn.Module, x: Tensor) -> Any:
        """Apply an encoder or decoder, in training in the precision of the run; all around them is float32."""
        reduced = self.training and self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if reduced else nullcontext():
            y = network(x)
        return y.to(torch.promote_types(x.dtype, y.dtype)) if isinstance(y, Tensor) else y

    def augment(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Each modality's augmentation of input and target alike; rows that are absent, if it is said, are zero."""
        return self._changed(samples, present, lambda modality: modality.augment)

    def corrupt(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Each modality's corruption of the input alone; rows that are absent, if it is said, are zero."""
        return self._changed(samples, present, lambda modality: modality.corrupt)

    def _changed(
        self,
        samples: Mapping[str, Tensor],
        present: Tensor | None,
        change: Callable[[Modality], Callable[[Tensor], Tensor]],
    ) -> dict[str, Tensor]:
        if present is None:
            return {name: change(modality)(samples[name]) for name, modality in self.modalities.items()}
        return {
            name: _where_present(change(modality), present[:, column], modality.shape, samples[name])
            for column, (name, modality) in enumerate(self.modalities.items())
        }

    def calibrate(self, data: "MultimodalDataset") -> None:
        """Let each modality that measures anything measure the training data, or evenly spaced samples of it."""
        for (name, modality), encoder, decoder in zip(
            self.modalities.items(), self.encoders, self.decoders, strict=True
        ):
            rows = data.present[:, list(data.modalities).index(name)].nonzero()[:, 0]
            most = max(1, CALIBRATION_BYTES // (4 * math.prod(modality.shape)))
            if len(rows) > most:
                rows = rows[torch.arange(most) * len(rows) // most]
            if len(rows) and _measures(modality, encoder, decoder):
                with torch.no_grad():
                    modality.calibrate(encoder, decoder, data.samples.columns[name][rows])

    def embed(self, data: "MultimodalDataset", batch_size: int = 256) -> Tensor:
        """The posterior's mean of every sample, (N, latent_dim), on the CPU."""
        return self.encode(data, batch_size).mean

    def generate(self, latents: Tensor, batch_size: int = 256) -> dict[str, Tensor]:
        """Decode latents (N, latent_dim) into samples of every modality, on the CPU."""
        with evaluating(self):
            parts = [
                {
                    name: self.modalities[name].observe(decoded).cpu()
                    for name, decoded in self.decode(part.to(self.device)).items()
                }
                for part in torch.split(latents, batch_size)
            ]
        return {name: torch.cat([part[name] for part in parts]) for name in self.modalities}

    def reconstruct(self, samples: Given) -> dict[str, Tensor]:
        """Each sample through the mean of its posterior and back, (N, *shape) by modality; also those it lacks.

        Args:
            samples: as :meth:`encode` takes them.
        """
        return self.generate(self.encode(samples).mean)

    def translate(
        self, samples: Given, to: str, batch_size: int = 256, *, draws: int | None = None, seed: int | None = None
    ) -> Tensor:
        """Tell one modality from others: through the posterior given only those, and back.

        Args:
            samples: as :meth:`encode` takes them.
            to: the modality that is wanted.
            batch_size: how many are encoded at once.
            draws: how many latents are drawn from each posterior; only its mean is taken where it is None.
            seed: of the draws; torch's default generator goes on where it is None.

        Returns:
            The wanted modality on the CPU, (N, *shape); (N, draws, *shape) where there are draws.

        Raises:
            ConfigurationError: if there is less than one draw.
            DataError: if a name is no modality, the samples do not fit, or the fusion cannot do without the others.
        """
        self._require_modality(to)
        if draws is not None and draws < 1:
            raise ConfigurationError(f"draws is {draws}; it must be at least 1, or left out for the posterior's mean")
        posterior = self.encode(samples, batch_size)
        if draws is None:
            return self.generate(posterior.mean, batch_size)[to]
        with seeded(seed):
            latents = posterior.sample(draws)
        told = self.generate(latents.flatten(0, 1), batch_size)[to]
        return told.reshape(*latents.shape[:2], *told.shape[1:])

    def interpolate(self, pair: Given, steps: int = 8) -> dict[str, Tensor]:
        """The way from one sample to another: a straight line between their posterior means, decoded at equal steps.

        Args:
            pair: two samples, as :meth:`encode` takes them; they need not have the same modalities.
            steps: how many, both ends included.

        Returns:
            (steps, *shape) by modality; the first and the last are the two samples' reconstructions.

        Raises:
            ConfigurationError: if there are fewer than two steps.
            DataError: if there are not two samples, or as :meth:`encode` raises it.
        """
        if steps < 2:
            raise ConfigurationError(f"steps is {steps}; it must be at least 2, since both ends are counted")
        means = self.encode(pair).mean
        if len(means) != 2:
            raise DataError(f"{len(means)} samples are given to interpolate between, and two are wanted")
        return self.generate(torch.lerp(means[0], means[1], torch.linspace(0, 1, steps)[:, None]))

    def encode(self, samples: Given, batch_size: int = 256) -> Gaussian:
        """The posterior given some of the modalities, or all: the mean and the log-variance of the latent.

        Args:
            samples: (N, *shape) by modality, one or several; or a data set, each of whose samples has what it has.
                :meth:`~multimodal_vae.data.dataset.MultimodalDataset.only` leaves out the rest of one.
            batch_size: how many are encoded at once.

        Returns:
            (N, latent_dim), on the CPU.

        Raises:
            DataError: if a name is no modality, the samples do not fit, or the fusion cannot do without the others.
        """
        if not isinstance(samples, Mapping):
            self.check(samples)
            return self._posteriors(samples.batch(rows) for rows in torch.split(torch.arange(len(samples)), batch_size))
        for name in samples:
            self._require_modality(name)
        if not samples:
            raise DataError(
                f"nothing is given to encode: give samples of one of {list(self.modalities)}, or of several"
            )
        counts = {name: len(x) for name, x in samples.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"the modalities have different numbers of samples: {counts}")
        for name, x in samples.items():
            check_samples(name, self.modalities[name], x)
        count = next(iter(counts.values()))
        return self._posteriors(self._partial(samples, count, batch_size))

    def _require_modality(self, name: str) -> None:
        if name not in self.modalities:
            raise DataError(f"there is no modality {name!r}; {did_you_mean(name, self.modalities)}")

    def _partial(self, samples: Mapping[str, Tensor], count: int, batch_size: int) -> Iterator[Batch]:
        """Batches in which some modalities are absent altogether."""
        present = torch.tensor([name in samples for name in self.modalities])
        for rows in torch.split(torch.arange(count), batch_size):
            yield Batch(
                {
                    # Of single precision, as data sets have them.
                    name: samples[name][rows].float() if name in samples else torch.zeros(len(rows), *modality.shape)
                    for name, modality in self.modalities.items()
                },
                present.expand(len(rows), -1),
                torch.full((len(rows),), UNLABELED),
                [str(row) for row in rows.tolist()],
            )

    def _posteriors(self, batches: Iterable[Batch]) -> Gaussian:
        """The posteriors, (N, latent_dim), on the CPU."""
        means, logvars = [torch.zeros(0, self.latent_dim)], [torch.zeros(0, self.latent_dim)]
        with evaluating(self):
            for batch in batches:
                _require_something(batch)
                moved = batch.to(self.device)
                posterior = self.posterior(moved.samples, moved.present)
                means.append(posterior.mean.cpu())
                logvars.append(posterior.logvar.cpu())
        return Gaussian(torch.cat(means), torch.cat(logvars))

    def check(self, data: "MultimodalDataset") -> None:
        """Refuse data with other modalities or classes than the model's."""
        if list(data.modalities) != list(self.modalities):
            raise DataError(f"the data has the modalities {list(data.modalities)}, the model {list(self.modalities)}")
        if data.classes != self.classes:
            raise DataError(f"the data has the classes {data.classes}, the model {self.classes}")

    def _sizes(self, seen_dim: int) -> dict[str, int]:
        """Number of features of each encoder, found on two blank samples, with every shape checked on the way."""
        sizes = {}
        with torch.no_grad():
            for (name, modality), encoder, decoder in zip(
                self.modalities.items(), self.encoders, self.decoders, strict=True
            ):
                blank = torch.zeros(2, *modality.shape)
                with evaluating(encoder), evaluating(decoder):
                    features = encoder(blank)
                    decoded = decoder(torch.zeros(2, seen_dim))
                    observed, loss = modality.observe(decoded), modality.reconstruction_loss(decoded, blank)
                for what, seen, wanted in (
                    ("encoder gives", features.shape[:1], (2,)),
                    ("observe gives", observed.shape, blank.shape),
                    ("reconstruction loss gives", loss.shape, (2,)),
                ):
                    if tuple(seen) != tuple(wanted):
                        raise ConfigurationError(
                            f"modality {name!r}: for 2 samples of {modality.shape} the {what} the shape {tuple(seen)}, "
                            f"and {tuple(wanted)} is wanted"
                        )
                sizes[name] = features[0].numel()
        return sizes


class SubsetBatch:
    """The subsets that a step asks, folded into one axis of R rows: a row is one subset of one sample.

    What counts nothing is left out, and of one question a sample nothing is copied.

    Attributes:
        asked: (R, M), the subsets.
        reconstruction_weight: (R, M), how much each modality's reconstruction counts.
        rows: (R,), which sample each is of.
        weights: (K, N), how much each counts.
    """

    def __init__(self, subsets: Subsets) -> None:
        wanted = subsets.weights > 0
        self.weights = subsets.weights
        self.asked, self.reconstruction_weight = subsets.asked[wanted], subsets.reconstruction_weight[wanted]
        self._slots, self.rows = wanted.nonzero(as_tuple=True)
        self._single = len(wanted) == 1

    def take(self, x: Tensor, rows: Tensor) -> Tensor:
        """What the samples (N, ...) have, for some of the subsets' rows."""
        return x if self._single and len(rows) == len(x) else x[rows]

    def of(self, x: Tensor) -> Tensor:
        """What the samples (N, ...) have, for each of their subsets, (R, ...)."""
        return self.take(x, self.rows)

    def spread(self, x: Tensor) -> Tensor:
        """What the subsets (R, ...) have, by sample and subset, (N, K, ...); zero where nothing was asked."""
        count, samples = self.weights.shape
        whole = x.new_zeros(samples, count, *x.shape[1:])
        return whole.index_put((self.rows, self._slots), x)

    def summed(self, x: Tensor) -> Tensor:
        """The weighted sum over a sample's subsets of what they came to (R,), (N,)."""
        return (self.spread(x) * self.weights.T).sum(1)


def _require_something(batch: Batch) -> None:
    """Refuse, by name, a sample of which there is nothing."""
    empty = ~batch.present.any(1)
    if bool(empty.any()):
        raise DataError(
            f"the sample {batch.ids[int(empty.nonzero()[0])]!r} has no modality at all; leave it out, or give it one"
        )


def _measures(modality: Modality, encoder: nn.Module, decoder: nn.Module) -> bool:
    """Whether calibrating it would look at the samples at all; if not, none need be read."""
    own = type(modality).calibrate is not Modality.calibrate
    return own or any(isinstance(layer, Standardize) for layer in (*encoder.modules(), *decoder.modules()))


def _where_present(function: Callable[..., Tensor], present: Tensor, tail: tuple[int, ...], *tensors: Tensor) -> Tensor:
    """Apply a function to the present rows only; the others are zero in what it gives, (N, *tail).

    An absent row must not so much as pass through: batch norm would count it, and NaN would spread from it.
    """
    if bool(present.all()):
        return function(*tensors)
    whole = tensors[0].new_zeros(len(present), *tail)
    if bool(present.any()):
        whole[present] = function(*(x[present] for x in tensors))
    return whole


def _objective(spec: Objective | Mapping[str, Any], modalities: Mapping[str, Modality], shared_dim: int) -> Objective:
    try:
        objective = spec if isinstance(spec, Objective) else Objective(**spec)
    except pydantic.ValidationError as error:
        raise ConfigurationError(f"objective: {explain_settings(error, Objective)}") from error
    for name in objective.weights:
        if name not in modalities:
            raise ConfigurationError(f"objective: weights names {name!r}, which is no modality of {list(modalities)}")
    if (objective.metric_dimensions or 0) > shared_dim:
        raise ConfigurationError(
            f"objective: metric_dimensions is {objective.metric_dimensions}, and the latent has {shared_dim} that are "
            "shared"
        )
    return objective
