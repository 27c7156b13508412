"""Training of refiners: each learns for one modality what the frozen model's decoded samples lack."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor

from multimodal_vae.checks import checked
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, DataError
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_checks import check_weights, explain_failure, refiner_of, require_modality
from multimodal_vae.part import explain_settings
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.scopes import BoundedWeights, seeded
from multimodal_vae.trainable import Trainable
from multimodal_vae.training.holding_out import hold_out
from multimodal_vae.training.interruption import catch_signals
from multimodal_vae.training.logging import log_epochs
from multimodal_vae.training.loop import Epoch, minimize
from multimodal_vae.training.settings import REFINEMENT_BATCH, RefinementTraining, Training, lists_settings
from multimodal_vae.transfer import copy_to

CALIBRATION_SAMPLES = 256
"""Number of training samples that a refiner sees at the end of its training."""


class _Frozen:
    """Hold a model that is no part of the module that uses it: nothing trains, saves or copies it."""

    def __init__(self, vae: MultimodalVAE) -> None:
        self.vae = vae

    def __deepcopy__(self, memory: dict[int, Any]) -> "_Frozen":
        return self


class Refining(Trainable):
    """A refiner in training. Its parameters and state are the refiner's; the model computes in evaluation mode.

    Args:
        vae: trained model, which moves between devices together with this module.
        name: modality whose samples are refined.
        refiner: the refiner, built.
    """

    def __init__(self, vae: MultimodalVAE, name: str, refiner: Refiner) -> None:
        super().__init__()
        self.name = name
        self.term = f"refinement.{name}"
        self.refiner = refiner
        self._frozen = _Frozen(vae.eval())

    @property
    def metric_names(self) -> list[str]:
        """Names of a batch's metrics."""
        return ["loss", self.term]

    def forward(
        self,
        batch: Batch,
        inputs: Mapping[str, Tensor] | None = None,
        gather: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> dict[str, Tensor]:
        """Return the refiner's loss, (N,), on what the model decodes from a draw from each posterior."""
        arguments = self._arguments(batch)
        reduced = self.training and self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if reduced else nullcontext():
            loss = self.refiner.loss(*arguments)
        return {self.term: loss.float()}

    @torch.no_grad()
    def calibrate(self, data: MultimodalDataset) -> None:
        """Let the refiner adjust to training samples, up to :data:`CALIBRATION_SAMPLES` of them."""
        rows = torch.split(torch.randperm(len(data))[:CALIBRATION_SAMPLES], REFINEMENT_BATCH)
        pieces = [self._arguments(data.batch(some)) for some in rows]
        self.refiner.calibrate(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))

    @torch.no_grad()
    def _arguments(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the model decodes from a draw from each posterior, the real samples, the draws and the labels."""
        vae = self._frozen.vae
        latents = vae.posterior(batch.samples, batch.present, batch.covariates).rsample()
        decoded = vae.decode(latents, [self.name], batch.covariates)[self.name]
        labels = copy_to(batch.labels, latents.device)
        return vae.modalities[self.name].observe(decoded), batch.samples[self.name], latents, labels

    def total(self, terms: Mapping[str, Tensor], kl_share: float = 1.0) -> Tensor:
        """Return the mean loss of the batch."""
        return terms[self.term].mean()

    def augment(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Augment samples as the model's training does."""
        return self._frozen.vae.augment(samples, present)

    def corrupt(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Return the samples as they are: the model has learned."""
        return dict(samples)

    def require_finite_weights(self) -> None:
        """Raise TrainingError if weights or statistics are not finite."""
        check_weights({refiner_of(self.name): self.refiner})

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Refining":
        """Move the model as well."""
        self._frozen.vae._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        moved: Refining = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved


def build_refiner(vae: MultimodalVAE, name: str, refiner: Any, seed: int | None = None) -> Refiner:
    """Return a refiner of one modality of a model, with initial weights.

    Args:
        vae: the model.
        name: the modality.
        refiner: an instance, which is copied without what it has learned, a name or a table.
        seed: seed of the weights. Default: torch's current random state.

    Raises:
        DataError: if there is no such modality.
        ConfigurationError: if the refiner cannot take its samples.
    """
    require_modality(name, vae.modalities)
    modality, part = vae.modalities[name], Refiner.of(refiner).clone()
    if modality.gaps:
        raise ConfigurationError(f"samples of modality {name!r} may lack elements, which no refiner can learn")
    with _explaining(name), seeded(seed), explain_failure("it"), BoundedWeights():
        part.build(tuple(modality.shape), vae.latent_dim, len(vae.classes))
    if not any(parameter.requires_grad for parameter in part.parameters()):
        raise ConfigurationError(f"the refiner {part.name!r} of modality {name!r} has no weights to train after build")
    return part.eval()


@contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Name the refiner in errors."""
    try:
        yield
    except (ConfigurationError, DataError) as error:
        raise type(error)(f"{refiner_of(name)}: {error}") from error


def prepare_refiner(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    name: str,
    refiner: Any,
    settings: Training,
) -> tuple[Refiner, MultimodalDataset, MultimodalDataset | None]:
    """Return an untrained refiner, and the training and validation samples that have its modality.

    Arguments and errors are those of :func:`train_refiner`, so that what cannot be trained is refused beforehand.
    """
    built = build_refiner(vae, name, refiner, settings.seed)
    with _explaining(name):
        data, validation = _having(data, name), validation and _having(validation, name)
        BalancedBatches(data.labels, data.classes, settings.per_class or 2, torch.Generator(), settings.unlabeled)
    return built, data, validation


def train_refiner(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    name: str,
    refiner: Any,
    settings: Training,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    show: bool = True,
    checkpoint: Path | None = None,
) -> Refiner:
    """Train a refiner of one modality on the samples that have it, and leave the model as it is.

    Args:
        vae: trained model, on the CPU.
        data: training samples.
        validation: samples on which to evaluate the loss after each epoch, if any.
        name: the modality.
        refiner: as for :func:`build_refiner`.
        settings: settings of the training, :meth:`~multimodal_vae.training.settings.Training.resolved`.
        on_epoch: as for :func:`~multimodal_vae.training.loop.train`, like all that follow.
        show: whether to show progress.
        checkpoint: file to write checkpoints to, and to resume from.

    Returns:
        The refiner, on the CPU, in evaluation mode.

    Raises:
        DataError: if no training sample of a class, or no validation sample, has the modality.
    """
    vae.check(data)
    built, data, validation = prepare_refiner(vae, data, validation, name, refiner, settings)
    refining = Refining(vae, name, built)
    with seeded(settings.seed), catch_signals() as stop:
        minimize(refining, data, validation, settings, stop, on_epoch, show, checkpoint, refiner_of(name))
        torch.manual_seed(settings.seed)  # a resumed training calibrates as a whole one
        refining.calibrate(data)
        refining.require_finite_weights()
    return refining.refiner


def _having(data: MultimodalDataset, name: str) -> MultimodalDataset:
    """Return the samples that have a modality."""
    here = data.present[:, list(data.modalities).index(name)]
    if not bool(here.any()):
        raise DataError("it has nothing to learn from or to be validated on: no such sample has the modality")
    return data if bool(here.all()) else data.subset(here.nonzero()[:, 0].tolist())


@lists_settings(RefinementTraining)
@checked
def fit_refiner(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    name: str,
    refiner: Any = "rectified_flow",
    validation: MultimodalDataset | None = None,
    *,
    show: bool = True,
    **settings: Any,
) -> Refiner:
    """Train a refiner of one modality of a trained model, which stays as it is.

    :class:`~multimodal_vae.synthesis.synthesizer.Synthesizer` takes the result. A run trains its refiners itself: see
    ``[refinement]`` in its recipe.

    Args:
        vae: trained model.
        data: the samples that it was trained on.
        name: modality to refine.
        refiner: an instance, a name or a table.
        validation: samples to evaluate after each epoch. Default: as for :func:`~multimodal_vae.run.fit`, a tenth of
            the patients, held out of ``data``.
        show: whether to show progress.
        settings: fields of :class:`~multimodal_vae.training.settings.RefinementTraining`, such as ``steps=2000``.

    Returns:
        The refiner, on the CPU, in evaluation mode.

    Raises:
        ConfigurationError: if a setting is invalid, or the refiner cannot take samples of the modality.
        DataError: if there is no such modality, or a class has no sample of it.
    """
    try:
        training = RefinementTraining(**settings)
    except pydantic.ValidationError as error:
        raise ConfigurationError(explain_settings(error, RefinementTraining)) from error
    vae.check(data)
    if validation is None and training.early_stopping is not False:
        data, validation = hold_out(data, training.seed)
    training = training.resolved(len(data.classes), len(data), validation is not None).on_this_machine()
    loggers = [logger for logger in training.loggers if show or not logger.displays_progress]
    with log_epochs(loggers, None, {"training": training}) as on_epoch:
        return train_refiner(vae, data, validation, name, refiner, training, on_epoch, show)
