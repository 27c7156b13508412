"""Metrics of the batches of a training: computed on its device, and read from there together."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from multimodal_vae import distributed
from multimodal_vae.errors import TrainingError

EVERY = 50
"""Number of batches between two readings on a GPU, which wait until it has finished all that is queued."""


def reading_interval(optimizer: torch.optim.Optimizer, device: torch.device) -> int:
    """Return after how many batches metrics are read: each on a CPU, where it costs nothing, :data:`EVERY` on a GPU.

    Only a fused optimizer can leave a step out by a flag on the GPU; with any other, each batch is read.
    """
    return EVERY if device.type == "cuda" and optimizer.defaults.get("fused") else 1


class BatchMetrics:
    """Metrics of batches that are read from the device every few batches, or when asked for.

    From the first batch on whose metrics are not finite, the optimizer takes no step, although nobody has read them
    yet: its ``found_inf`` is a flag on the device. So the weights stay those before the step of that batch.

    Args:
        optimizer: the optimizer; fused if ``every`` is above 1.
        device: device of the metrics.
        every: number of batches between two readings. With 1, each batch is read before its step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, every: int = 1) -> None:
        self._every = every
        self._device = device
        self._unread: list[tuple[Tensor, list[str], Sequence[str]]] = []
        if every > 1:
            self._faulty = torch.zeros((), device=device)
            optimizer.found_inf = self._faulty  # type: ignore[attr-defined]  # as torch.amp.GradScaler sets it

    def add(self, loss: Tensor, terms: Mapping[str, Tensor], ids: Sequence[str]) -> list[dict[str, float]]:
        """Add the metrics of one batch, and return those of all unread batches if they are due.

        Args:
            loss: a scalar.
            terms: the terms of the loss by name, each (N,) or a scalar.
            ids: names of the batch's samples.

        Raises:
            TrainingError: as :meth:`read` does.
        """
        values = stack_metrics(loss, terms)
        if distributed.world_size() > 1:
            values = distributed.sum_over_processes(values.double(), self._device) / distributed.world_size()
        if self._every > 1:
            torch.maximum(self._faulty, (~values.isfinite()).any().float(), out=self._faulty)
        self._unread.append((values, ["loss", *terms], ids))
        return self.read() if len(self._unread) >= self._every else []

    def read(self) -> list[dict[str, float]]:
        """Return the loss and its terms of each unread batch, by one transfer from the device.

        Raises:
            TrainingError: naming the terms and samples of the first batch with a metric that is not finite.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return []
        read = []
        for values, (_, names, ids) in zip(torch.stack([x for x, *_ in unread]).cpu().tolist(), unread, strict=True):
            metrics = dict(zip(names, values, strict=True))
            require_finite_metrics(metrics, ids)
            read.append(metrics)
        return read


def stack_metrics(loss: Tensor, terms: Mapping[str, Tensor]) -> Tensor:
    """Return the loss and the mean of each term, (1 + terms,), on their device."""
    return torch.stack([loss.detach(), *(term.detach().mean() for term in terms.values())])


def require_finite_metrics(metrics: Mapping[str, float], ids: Sequence[str]) -> None:
    """Raise TrainingError, naming the terms and some of the samples, unless all metrics are finite."""
    if not all(map(math.isfinite, metrics.values())):
        terms = [name for name, value in metrics.items() if name != "loss" and not math.isfinite(value)]
        raise TrainingError(
            f"the term {' and '.join(terms) or 'loss'} is not finite, in the batch of samples "
            f"{', '.join(list(ids)[:3])}, ...; lower the learning rate, or check those samples"
        )
