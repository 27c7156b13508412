"""What the training loop needs of a module: the whole model, or a refiner of what it decodes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from multimodal_vae.data.batch import Batch

Precision = Literal["float32", "bfloat16"]


class Trainable(nn.Module, ABC):
    """A module with a loss on batches. Training updates all of its parameters, and saves its whole state."""

    precision: Precision = "float32"
    """Precision in which the networks train; only a training changes it."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    @abstractmethod
    def metric_names(self) -> list[str]:
        """Names of a batch's metrics: ``loss``, then the terms of :meth:`forward` in order."""

    @abstractmethod
    def forward(
        self,
        batch: Batch,
        inputs: Mapping[str, Tensor] | None = None,
        gather: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> dict[str, Tensor]:
        """Compute the terms of the loss by name, each (N,) or a scalar.

        Args:
            batch: samples to learn.
            inputs: samples to encode instead of the batch's own, such as corrupted ones.
            gather: concatenates rows over all processes that share a batch.
        """

    @abstractmethod
    def total(self, terms: Mapping[str, Tensor], kl_share: float = 1.0) -> Tensor:
        """Return the loss, a scalar, of the terms; ``kl_share`` is a factor on a KL term, if there is one."""

    @abstractmethod
    def augment(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Augment samples that serve as input and target; absent rows, if ``present`` is given, become zero."""

    @abstractmethod
    def corrupt(self, samples: Mapping[str, Tensor], present: Tensor | None = None) -> dict[str, Tensor]:
        """Corrupt the input of a training step, not its target; rows absent by ``present`` (N, M) become zero."""

    @abstractmethod
    def require_finite_weights(self) -> None:
        """Raise TrainingError, naming the part, if weights or statistics are not finite."""
