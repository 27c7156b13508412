"""Settings of a training."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from multimodal_vae.loggers.base import Logger
from multimodal_vae.scopes import Seed


class EarlyStopping(BaseModel):
    """When to stop before the last epoch; the model then takes the weights of the best epoch.

    Attributes:
        metric: metric to watch, by its name in the log, such as ``"validation.loss"``.
        patience: number of epochs to wait for a better value.
        mode: whether ``"min"`` or ``"max"`` is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = "validation.loss"
    patience: PositiveInt = 20
    mode: Literal["min", "max"] = "min"

    def is_better(self, value: float, best: float) -> bool:
        """Return whether a value is better than the best one so far."""
        return value < best if self.mode == "min" else value > best


class Training(BaseModel):
    """Settings of a training. The defaults are the paper's, except for its 5000 epochs.

    Attributes:
        epochs: number of epochs; one epoch draws about as many samples as there are.
        per_class: number of samples of each class per batch.
        unlabeled: number of unlabeled samples per batch, in addition; all terms but the metric loss learn from them.
        learning_rate: Adam's maximum learning rate.
        schedule: ``"constant"``, or ``"cosine"`` down to zero.
        warmup: number of steps over which the learning rate rises from zero.
        kl_warmup: number of steps over which the KL weight rises from zero to the objective's.
        clip: maximum norm of the gradient. Default: no clipping.
        accumulate: number of batches whose gradients are averaged for one step.
        average: decay of a moving average of the weights, such as 0.999. The average is evaluated after each epoch and
            becomes the model, with its own batch-norm statistics. Default: use the last weights.
        early_stopping: when to stop before the last epoch. Default: never.
        checkpoint_seconds: seconds between two checkpoints; one is written after the step in which they have passed.
        seed: seed of batches, augmentation and latents.
        loggers: loggers of each epoch's metrics.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"auto"`` is the first accelerator, or else the CPU.
        precision: precision in which encoders and decoders train: ``"float32"`` or ``"bfloat16"``, about twice as fast
            on devices that support it; ``"auto"`` is bfloat16 on CUDA devices that support it and float32 elsewhere.
            The run records the precision. Validation is in float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    epochs: PositiveInt = 200
    per_class: Annotated[int, Field(ge=2)] = 20
    unlabeled: NonNegativeInt = 0
    learning_rate: PositiveFloat = 4e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: NonNegativeInt = 0
    kl_warmup: NonNegativeInt = 0
    clip: PositiveFloat | None = None
    accumulate: PositiveInt = 1
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_seconds: NonNegativeFloat = 300.0
    seed: Seed = 0
    loggers: list[Logger] = Field(default=["jsonl", "console"], validate_default=True)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
