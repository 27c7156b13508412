"""The multi-modal variational autoencoder: an encoder and a decoder a modality, one latent."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from multimodal_vae.data.batch import UNLABELLED, Batch
from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality, check_samples
from multimodal_vae.nn import Standardise
from multimodal_vae.objective import KL, METRIC, Objective, reconstruction
from multimodal_vae.part import explain_settings
from multimodal_vae.scopes import evaluating, seeded

if TYPE_CHECKING:
    from multimodal_vae.data.dataset import MultimodalDataset

Precision = Literal["float32", "bfloat16"]

CALIBRATION_BYTES = 1 << 28
"""Most of a modality's training samples that it measures: 256 MiB, or 16,384 pictures of 64 x 64 of float32."""


class MultimodalVAE(nn.Module):
    """Encoders, a fusion into one latent, and decoders that all see the whole latent.

    Args:
        modalities: a modality by name: an instance, the name of a registered one, or a table.
        classes: names of the classes; a label is an index into them.
        fusion: how features become one latent.
        metric_loss: what draws the classes apart.
        latent_dim: length of the latent; 128 is the paper's.
        objective: weights of the terms, an :class:`~multimodal_vae.objective.Objective` or a table.
        seed: of the initial weights; torch's present state where it is None.

    Attributes:
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
        self.objective = _objective(objective or {}, self.modalities, latent_dim)
        self.fusion = Fusion.of(fusion)
        self.metric_loss = MetricLoss.of(metric_loss)
        with seeded(seed):
            # Lists, not dictionaries of modules: a modality may have any name, also one that torch forbids.
            self.encoders = nn.ModuleList(modality.encoder() for modality in self.modalities.values())
            self.decoders = nn.ModuleList(modality.decoder(latent_dim) for modality in self.modalities.values())
            self.sizes = self._sizes()
            self.fusion.build(self.sizes, latent_dim)
            self.metric_loss.build(self.objective.metric_dimensions or latent_dim, len(self.classes))

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
        posterior = self.posterior(inputs or batch.samples, batch.present)
        decoded = self.decode(posterior.rsample())
        terms = {}
        for column, (name, modality) in enumerate(self.modalities.items()):
            target = batch.samples[name]
            loss = _where_present(modality.reconstruction_loss, batch.present[:, column], (), decoded[name], target)
            # A loss is a mean over its sample's elements; sums are asked of the objective, not of each author.
            terms[reconstruction(name)] = loss * (modality.elements if self.objective.reduction == "sum" else 1)
        divergence = posterior.kl_to_standard_normal()
        terms[KL] = divergence.sum(1) if self.objective.reduction == "sum" else divergence.mean(1)
        labels, shaped = gather(batch.labels), gather(posterior.mean[:, : self.objective.metric_dimensions])
        terms[METRIC] = self.metric_loss(shaped[labels >= 0], labels[labels >= 0])
        return terms

    def posterior(self, samples: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Encode and fuse.

        Args:
            samples: (N, *shape) by modality.
            present: (N, M) of bool; encoders run on present rows only.
        """
        features = {
            name: _where_present(
                partial(self._run, nn.Sequential(encoder, nn.Flatten())),
                present[:, column],
                (self.sizes[name],),
                samples[name],
            )
            for column, (name, encoder) in enumerate(zip(self.modalities, self.encoders, strict=True))
        }
        posterior: Gaussian = self.fusion(features, present)
        return posterior

    def decode(self, latents: Tensor) -> dict[str, Tensor]:
        """Map latents (N, latent_dim) to each decoder's own output."""
        return {name: self._run(decoder, latents) for name, decoder in zip(self.modalities, self.decoders, strict=True)}

    def _run(self, network: nn.Module, x: Tensor) -> Any:
        """Apply an encoder or decoder, in training in the precision of the run; all around them is float32."""
        reduced = self.training and self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if reduced else nullcontext():
            y = network(x)
        return y.to(torch.promote_types(x.dtype, y.dtype)) if isinstance(y, Tensor) else y

    def augment(self, samples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each modality's augmentation of input and target alike."""
        return {name: modality.augment(samples[name]) for name, modality in self.modalities.items()}

    def corrupt(self, samples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each modality's corruption of the input alone."""
        return {name: modality.corrupt(samples[name]) for name, modality in self.modalities.items()}

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
        self.check(data)
        return self._means(data.batch(rows) for rows in torch.split(torch.arange(len(data)), batch_size))

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

    def reconstruct(self, data: "MultimodalDataset") -> dict[str, Tensor]:
        """Each sample through the mean of its posterior and back."""
        return self.generate(self.embed(data))

    def translate(self, samples: Mapping[str, Tensor], to: str, batch_size: int = 256) -> Tensor:
        """Tell one modality from others: through the mean of the posterior given only those, and back.

        Args:
            samples: (N, *shape) by modality; one or several.
            to: the modality that is wanted.
            batch_size: how many are encoded at once.

        Returns:
            (N, *shape) of the wanted modality, on the CPU.

        Raises:
            DataError: if a name is no modality, the samples do not fit, or the fusion cannot do without the others.
        """
        for name in (to, *samples):
            if name not in self.modalities:
                raise DataError(f"there is no modality {name!r}; {did_you_mean(name, self.modalities)}")
        if not samples:
            raise DataError(f"nothing is given to tell {to!r} from")
        counts = {name: len(x) for name, x in samples.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"the modalities have different numbers of samples: {counts}")
        for name, x in samples.items():
            check_samples(name, self.modalities[name], x)
        count = next(iter(counts.values()))
        return self.generate(self._means(self._partial(samples, count, batch_size)), batch_size)[to]

    def _partial(self, samples: Mapping[str, Tensor], count: int, batch_size: int) -> Iterator[Batch]:
        """Batches in which some modalities are absent altogether."""
        present = torch.tensor([name in samples for name in self.modalities])
        for rows in torch.split(torch.arange(count), batch_size):
            yield Batch(
                {
                    name: samples[name][rows] if name in samples else torch.zeros(len(rows), *modality.shape)
                    for name, modality in self.modalities.items()
                },
                present.expand(len(rows), -1),
                torch.full((len(rows),), UNLABELLED),
                [str(row) for row in rows.tolist()],
            )

    def _means(self, batches: Iterable[Batch]) -> Tensor:
        """The posterior's means, (N, latent_dim), on the CPU."""
        with evaluating(self):
            means = [
                self.posterior(batch.samples, batch.present).mean.cpu()
                for batch in (batch.to(self.device) for batch in batches)
            ]
        return torch.cat(means) if means else torch.zeros(0, self.latent_dim)

    def check(self, data: "MultimodalDataset") -> None:
        """Refuse data with other modalities or classes than the model's."""
        if list(data.modalities) != list(self.modalities):
            raise DataError(f"the data has the modalities {list(data.modalities)}, the model {list(self.modalities)}")
        if data.classes != self.classes:
            raise DataError(f"the data has the classes {data.classes}, the model {self.classes}")

    def _sizes(self) -> dict[str, int]:
        """Number of features of each encoder, found on two blank samples, with every shape checked on the way."""
        sizes = {}
        with torch.no_grad():
            for (name, modality), encoder, decoder in zip(
                self.modalities.items(), self.encoders, self.decoders, strict=True
            ):
                blank = torch.zeros(2, *modality.shape)
                with evaluating(encoder), evaluating(decoder):
                    features = encoder(blank)
                    decoded = decoder(torch.zeros(2, self.latent_dim))
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


def _measures(modality: Modality, encoder: nn.Module, decoder: nn.Module) -> bool:
    """Whether calibrating it would look at the samples at all; if not, none need be read."""
    own = type(modality).calibrate is not Modality.calibrate
    return own or any(isinstance(layer, Standardise) for layer in (*encoder.modules(), *decoder.modules()))


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


def _objective(spec: Objective | Mapping[str, Any], modalities: Mapping[str, Modality], latent_dim: int) -> Objective:
    try:
        objective = spec if isinstance(spec, Objective) else Objective(**spec)
    except pydantic.ValidationError as error:
        raise ConfigurationError(f"objective: {explain_settings(error, Objective)}") from error
    for name in objective.weights:
        if name not in modalities:
            raise ConfigurationError(f"objective: weights names {name!r}, which is no modality of {list(modalities)}")
    if (objective.metric_dimensions or 0) > latent_dim:
        raise ConfigurationError(
            f"objective: metric_dimensions is {objective.metric_dimensions}, and the latent has {latent_dim}"
        )
    return objective
