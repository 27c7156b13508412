"""A moving average of the weights, which is less noisy than any of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import seeded

_AT_ONCE = 256  # samples of a batch on which statistics are estimated


class WeightAverage:
    """An exponential moving average of a model's parameters.

    The first steps count less than the decay says, ``min(decay, (1 + steps) / (10 + steps))``, or the average would
    long remember how it began.

    Args:
        vae: the model.
        decay: share of the average that stays at each step.
    """

    def __init__(self, vae: MultimodalVAE, decay: float) -> None:
        self.vae = vae
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in vae.parameters()]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take the weights after so many steps into account."""
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.vae.parameters()], share)

    @contextmanager
    def applied(self, data: MultimodalDataset, seed: int) -> Iterator[None]:
        """Give the model the averaged weights for the length of a block.

        Batch norm's statistics are those of the weights that were, and are estimated anew on the training data; in
        the end, weights and statistics are the model's own again.
        """
        kept = {name: x.detach().clone() for name, x in self.vae.state_dict().items()}
        try:
            with torch.no_grad():
                for parameter, value in zip(self.vae.parameters(), self.values, strict=True):
                    parameter.copy_(value)
            estimate_statistics(self.vae, data, seed)
            yield
        finally:
            self.vae.load_state_dict(kept)

    def state(self) -> dict[str, Tensor]:
        """The averages, for :meth:`restore`."""
        return {str(index): value for index, value in enumerate(self.values)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        for index, value in enumerate(self.values):
            value.copy_(state[str(index)])


def estimate_statistics(vae: MultimodalVAE, data: MultimodalDataset, seed: int) -> None:
    """Set the running statistics of every batch norm to the means over the training data, in batches."""
    layers = [layer for layer in vae.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean of all batches
    training = vae.training
    vae.train()
    try:
        with torch.no_grad(), seeded(seed):
            for rows in torch.split(torch.randperm(len(data)), _AT_ONCE):
                if len(rows) > 1 or len(data) == 1:  # one sample alone has no variance
                    vae(data.batch(rows).to(vae.device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        vae.train(training)
