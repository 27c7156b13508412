"""The settings of a training, beside those of the model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from multimodal_vae.loggers.base import Logger


class Training(BaseModel):
    """How a model is trained; the defaults are the paper's but for its 5000 epochs.

    Attributes:
        epochs: how often about as many samples as there are have been seen.
        per_class: samples of each class in a batch.
        learning_rate: Adam's, at its highest.
        schedule: ``"constant"``, or ``"cosine"`` down to zero at the end.
        warmup: steps over which the learning rate rises from zero.
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
    learning_rate: PositiveFloat = 4e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    loggers: list[Logger] = Field(default=["jsonl", "console"], validate_default=True)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
