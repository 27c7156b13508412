"""The settings of a training, beside those of the model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from multimodal_vae.loggers.base import Logger


class EarlyStopping(BaseModel):
    """When to end before the last epoch; the weights of the best epoch are then the model's.

    Attributes:
        figure: that is watched, by its name in the log, such as ``"validation.loss"``.
        patience: epochs to wait for a better one.
        mode: whether ``"min"`` or ``"max"`` is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    figure: str = "validation.loss"
    patience: PositiveInt = 20
    mode: Literal["min", "max"] = "min"

    def better(self, value: float, than: float) -> bool:
        """Whether one value is better than another."""
        return value < than if self.mode == "min" else value > than


class Training(BaseModel):
    """How a model is trained; the defaults are the paper's but for its 5000 epochs.

    Attributes:
        epochs: how often about as many samples as there are have been seen.
        per_class: samples of each class in a batch.
        unlabeled: samples without a label in a batch, beside those; all terms but the metric loss learn from them.
        learning_rate: Adam's, at its highest.
        schedule: ``"constant"``, or ``"cosine"`` down to zero at the end.
        warmup: steps over which the learning rate rises from zero.
        kl_warmup: steps over which the weight of the KL divergence rises from zero to the objective's.
        clip: greatest norm of the gradient; a larger one is scaled down to it. None leaves it as it is.
        accumulate: batches whose gradients make one step.
        average: decay of a moving average of the weights, such as 0.999; the average is what is evaluated after each
            epoch and what the model ends with, its batch norms estimated anew. None takes the last weights.
        early_stopping: when to end before the last epoch; never where None.
        checkpoint_seconds: a checkpoint is written after the first step that ends so many seconds after the last one.
        seed: of batches, augmentation and latents.
        loggers: where the figures of each epoch go.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"`` takes the first accelerator there is.
        precision: of encoders and decoders: ``"float32"``; ``"bfloat16"``, about twice as fast where the device has
            it; ``"auto"`` is bfloat16 on a CUDA device that has it and float32 elsewhere, and the run keeps which.
            Validation is in float32.
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
    seed: NonNegativeInt = 0
    loggers: list[Logger] = Field(default=["jsonl", "console"], validate_default=True)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
