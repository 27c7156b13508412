"""Settings of a training."""

import inspect
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from multimodal_vae.loggers.base import Logger
from multimodal_vae.scopes import Seed
from multimodal_vae.training.precision import resolve_precision
from multimodal_vae.training.threads import Threads

STEPS = 5000
"""Default of ``steps`` if a validation set ends the training earlier."""
UNWATCHED_STEPS = 500
"""Default of ``steps`` otherwise."""
BATCH = 100
"""Number of samples per batch from which the default of ``per_class`` follows."""
REFINEMENT_BATCH = 18
"""The same of a refiner, whose networks keep the size of a sample."""
LEAST_PER_CLASS = 2
"""Minimum of ``per_class``: a metric loss compares samples of a class."""
WARMUP = 100
"""Default of ``warmup`` in a training of many steps."""
EPOCHS = 200
"""Number of epochs into which ``steps`` are divided, if they are many."""
SHORTEST_EPOCH = 25
"""Minimum number of steps in such an epoch."""
LEAST_PATIENCE = 10
"""Minimum of the default of ``patience``."""

Off = Literal[False]


class EarlyStopping(BaseModel):
    """When to stop before the last epoch; the model takes the weights of the best epoch.

    Attributes:
        metric: metric to watch, by its name in the log, such as ``"validation.loss"``.
        patience: number of epochs to wait for a better value. Default: a tenth of all epochs, at least
            :data:`LEAST_PATIENCE`.
        mode: whether ``"min"`` or ``"max"`` is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = "validation.loss"
    patience: PositiveInt | None = None
    mode: Literal["min", "max"] = "min"

    def patience_of(self, epochs: int) -> int:
        """Return the patience in a training of so many epochs."""
        return self.patience or max(LEAST_PATIENCE, epochs // 10)

    def is_better(self, value: float, best: float) -> bool:
        """Return whether a value is better than the best one so far."""
        return value < best if self.mode == "min" else value > best


class Training(BaseModel):
    """Settings of a training. Those that are None follow from the data, and a run records their values.

    Metrics are logged, and held-out samples evaluated, once per epoch.

    Attributes:
        steps: maximum number of optimizer steps; an epoch is one of :data:`EPOCHS` equal parts, or
            :data:`SHORTEST_EPOCH` if that is more. Default: :data:`STEPS`, or :data:`UNWATCHED_STEPS` without early
            stopping.
        epochs: maximum number of epochs instead; an epoch then draws about as many samples as there are.
        per_class: number of samples of each class per batch. Default: about :data:`BATCH` samples per batch, but no
            more than there are, and at least two per class.
        unlabeled: number of unlabeled samples per batch, in addition; all terms but the metric loss learn from them.
        learning_rate: Adam's maximum learning rate.
        schedule: ``"constant"``, or ``"cosine"`` down to zero.
        warmup: number of steps over which the learning rate rises from zero. Default: :data:`WARMUP`, but no more than
            a tenth of all steps.
        kl_warmup: number of steps over which the KL weight rises from zero to the objective's.
        clip: maximum norm of the gradient; false for no clipping. Adam divides by the gradient's size, so that a
            small norm slows no training, but single extreme batches cannot end it.
        accumulate: number of batches whose gradients are averaged for one step.
        average: decay of a moving average of the weights. The average is evaluated after each epoch and becomes the
            model, with its own batch-norm statistics; false uses the weights themselves.
        early_stopping: when to stop before the last epoch. Without validation samples, :func:`~multimodal_vae.run.fit`
            holds out some patients for it, if they are enough; false never stops and holds out nobody.
        checkpoint_seconds: seconds between two checkpoints; one is written after the step in which they have passed.
        seed: seed of batches, augmentation and latents.
        loggers: loggers of each epoch's metrics.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"auto"`` is the first accelerator, or else the CPU.
        precision: precision in which encoders and decoders train: ``"float32"``; or ``"bfloat16"``, about twice as fast
            on devices with units for it; ``"auto"`` is bfloat16 on such devices, which are CUDA devices since Ampere
            and CPUs with AMX, and float32 elsewhere. Set ``"float32"`` for results that two CPUs share.
            The run records the precision. Validation is in float32.
        threads: number of processor threads; ``"auto"`` is as many as help, up to torch's number, measured in a few
            steps that are thrown away, where the training is long enough. The log of times records it, and a resumed
            training keeps it. Only the same number gives the same results to the last bit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    other_names: ClassVar[dict[str, str]] = {
        "batch_size": "'per_class', the number of samples of each class per batch",
        "lr": "'learning_rate'",
        "patience": "early_stopping = { patience = ... }",
    }
    """What to set in place of keys that other libraries have."""
    batch_size: ClassVar[int] = BATCH
    default_steps: ClassVar[tuple[int, int]] = (STEPS, UNWATCHED_STEPS)
    """Defaults of ``steps`` with and without early stopping."""

    steps: PositiveInt | None = None
    epochs: PositiveInt | None = None
    per_class: Annotated[int, Field(ge=LEAST_PER_CLASS)] | None = None
    unlabeled: NonNegativeInt = 0
    learning_rate: PositiveFloat = 2e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: NonNegativeInt | None = None
    kl_warmup: NonNegativeInt = 0
    clip: PositiveFloat | Off = 1.0
    accumulate: PositiveInt = 1
    average: Annotated[float, Field(gt=0, lt=1)] | Off = 0.99
    early_stopping: EarlyStopping | Off | None = None
    checkpoint_seconds: NonNegativeFloat = 300.0
    seed: Seed = 0
    loggers: list[Logger] = Field(default=["jsonl", "console"], validate_default=True)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: Threads = "auto"

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps and self.epochs:
            raise ValueError("steps and epochs are both given; give one of them")
        return self

    def resolved(self, classes: int, samples: int, validated: bool) -> Self:
        """Return these settings with values in place of None.

        Args:
            classes: number of classes.
            samples: number of training samples.
            validated: whether there are validation samples.
        """
        stopping = (EarlyStopping() if validated else False) if self.early_stopping is None else self.early_stopping
        automatic = {
            "steps": self.default_steps[0 if stopping else 1] if self.epochs is None else None,
            "per_class": max(LEAST_PER_CLASS, round(min(self.batch_size, samples) / max(1, classes))),
        }
        update = {name: value for name, value in automatic.items() if getattr(self, name) is None}
        return self.model_copy(update={**update, "early_stopping": stopping})

    def on_this_machine(self) -> Self:
        """Return these settings with a precision in place of ``"auto"``."""
        return self.model_copy(update={"precision": resolve_precision(self.precision, self.device)})

    def length(self, batches: int) -> "Length":
        """Return the length of a training with so many batches in one pass over the data."""
        if self.epochs:
            return Length(self.epochs * batches, batches, self.accumulate)
        steps = self.steps or self.default_steps[1]
        return Length(
            steps * self.accumulate, max(SHORTEST_EPOCH, math.ceil(steps / EPOCHS)) * self.accumulate, self.accumulate
        )


class RefinementTraining(Training):
    """Settings of the training of refiners: those of :class:`Training`, with other defaults.

    ``kl_warmup`` has no effect on them.

    Attributes:
        steps: default 6,000, or 3,000 without early stopping.
        per_class: default: about :data:`REFINEMENT_BATCH` samples per batch.
        learning_rate: default 1e-3.
        schedule: default ``"cosine"``.
        average: default .998.
    """

    batch_size: ClassVar[int] = REFINEMENT_BATCH
    default_steps: ClassVar[tuple[int, int]] = (6000, 3000)

    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    average: Annotated[float, Field(gt=0, lt=1)] | Off = 0.998


F = TypeVar("F", bound=Callable[..., Any])


def lists_settings(settings: type[Training]) -> Callable[[F], F]:
    """Return a decorator of a function that takes ``**settings``: its signature lists each of them, as editors show it.

    Example:
        >>> @lists_settings(Training)
        ... def train(data: str, **settings: Any) -> None: ...
        >>> [str(each) for each in inspect.signature(train).parameters.values()][3]
        'per_class: Optional[int] = None'
    """

    def listing(function: F) -> F:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        hints = typing.get_type_hints(settings)  # without the limits of numbers
        fields = inspect.signature(settings).parameters.values()
        parameters = [*own, *(each.replace(annotation=hints[each.name]) for each in fields)]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return listing


@dataclass(frozen=True)
class Length:
    """Length of a training.

    Attributes:
        batches: number of batches.
        per_epoch: number of batches per epoch; the last epoch has the rest.
        accumulate: number of batches per step; the last step of an epoch has the rest.
    """

    batches: int
    per_epoch: int
    accumulate: int = 1

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return math.ceil(self.batches / self.per_epoch)

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        whole, rest = divmod(self.batches, self.per_epoch)
        return whole * math.ceil(self.per_epoch / self.accumulate) + math.ceil(rest / self.accumulate)

    def batches_in(self, epoch: int) -> int:
        """Return the number of batches of an epoch, counted from 1."""
        return min(self.per_epoch, self.batches - (epoch - 1) * self.per_epoch)
