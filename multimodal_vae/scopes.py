"""Context managers for a seed and for evaluation mode."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn
from torch.overrides import TorchFunctionMode

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, LARGEST_SEED, require_memory, require_seed
from multimodal_vae.errors import ConfigurationError

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""A seed among settings."""


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's generators and restore their states on exit; do nothing if the seed is None.

    Raises:
        ConfigurationError: if it is no seed.
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(require_seed(seed, LARGEST_DERIVED_SEED))
        yield


class BoundedWeights(TorchFunctionMode):
    """Refuse, within a block of code, tensors that are too large together to be the weights of a model.

    Training needs four times their memory: for gradients and for the two moments of the optimizer.

    Raises:
        ConfigurationError: at the first tensor beyond the memory of this machine.
    """

    _CREATING = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye))

    def __init__(self) -> None:
        super().__init__()
        self._total = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, and count what it creates."""
        try:
            created = function(*args, **kwargs or {})
        except (RuntimeError, TypeError) as error:  # torch has no class of its own for sizes beyond all bounds
            if function in self._CREATING and re.search("alloc|overflow", str(error), re.IGNORECASE):
                raise ConfigurationError("the model is too large: memory cannot hold a layer") from error
            raise
        if function in self._CREATING:
            self._total += created.nbytes
            require_memory(4 * self._total, "the model is too large to train")
        return created


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode and restore its mode on exit."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode, without gradients, and restore its mode on exit."""
    with evaluation_mode(module), torch.no_grad():
        yield
