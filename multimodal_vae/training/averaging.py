"""An exponential moving average of the weights, which varies less from step to step than the weights do."""

from typing import cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.scopes import seeded
from multimodal_vae.trainable import Trainable

_BATCH_SIZE = 256  # samples per batch in which statistics are estimated
MOST_SAMPLES = 2048
"""Maximum number of training samples on which statistics are estimated."""
MOST_EACH_EPOCH = 512
"""The same after each epoch, where the model is only validated."""


def weight_average(model: Trainable, decay: float) -> AveragedModel:
    """Return a copy of a model whose ``update_parameters(model)`` averages the weights exponentially.

    The first steps have a smaller decay, ``min(decay, (1 + step) / (10 + step))``, or the initial weights would
    dominate for long.

    Args:
        model: the model, with its initial weights.
        decay: share of the average that remains at each step.
    """
    return _WeightAverage(model, decay)


class _WeightAverage(AveragedModel):
    """The average. Its number of steps stays on the CPU; torch's implementation copies it to a GPU and waits for it."""

    def __init__(self, model: Trainable, decay: float) -> None:
        super().__init__(model)
        self._decay = decay
        self.n_averaged += 1  # the initial weights are the first

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        step = int(self.n_averaged)
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        for own, new in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(new)
        self.n_averaged += 1


def averaged_model(average: AveragedModel, model: Trainable, data: MultimodalDataset, seed: int) -> Trainable:
    """Return the averaged model with batch-norm statistics of the averaged weights, on few of the training samples."""
    averaged = cast(Trainable, average.module)
    averaged.precision = model.precision
    estimate_statistics(averaged, data, seed, MOST_EACH_EPOCH)
    return averaged


def estimate_statistics(model: Trainable, data: MultimodalDataset, seed: int, most: int = MOST_SAMPLES) -> None:
    """Set the running statistics of every batch norm to their mean over batches of random training samples.

    Args:
        model: the model.
        data: the training samples.
        seed: seed of their choice.
        most: maximum number of samples.
    """
    with seeded(seed):
        batches = torch.split(torch.randperm(len(data))[:most], _BATCH_SIZE)
        # A single sample has no variance.
        update_bn((data.batch(rows) for rows in batches if len(rows) > 1 or len(data) == 1), model, model.device)
