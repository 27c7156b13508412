"""The door for a density sampler of your own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from multimodal_vae.errors import SamplerError
from multimodal_vae.part import Part


class DensitySampler(Part, nn.Module, ABC):
    """Learns the density of one class's latents; called, it is an ordinary ``torch.distributions`` object.

    What is fitted lives in buffers, declared in the constructor as ``self.register_buffer("means", None)``; they are
    saved with the model and come back by :meth:`restore` whatever their size.
    """

    kind = "sampler"

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def fit(self, latents: Tensor) -> Self:
        """Fit to latents (N, D) of one class, and return itself.

        Raises:
            SamplerError: if there are too few latents, or they are all equal.
        """

    def prepare(self, classes: Sequence[Tensor]) -> Self:
        """Return the sampler of which a copy is to be fitted to each class, having seen all of them: here, itself.

        For what the classes share. The answer is a sampler with other settings rather than with something learned, so
        that what is fitted to a class is still told by its settings and that class's latents.

        Args:
            classes: the latents of each class, (N, D); also those that :meth:`fit` will refuse.
        """
        return self

    @abstractmethod
    def forward(self) -> Distribution:
        """Return the fitted density, over vectors (D,)."""

    def state(self) -> dict[str, Tensor]:
        """Return the fitted buffers and parameters by name.

        Raises:
            SamplerError: if nothing has been fitted.
        """
        state = dict(self.state_dict())
        if not state:
            raise SamplerError(f"the sampler {self.name!r} has not been fitted")
        return state

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """Take back what :meth:`state` gave, and return itself."""
        for name, value in state.items():
            owner, _, leaf = name.rpartition(".")
            module = dict(self.named_modules()).get(owner, nn.Module())
            if leaf in module._buffers:
                module._buffers[leaf] = value
            elif isinstance(module._parameters.get(leaf), nn.Parameter):
                module._parameters[leaf] = nn.Parameter(value)
            else:
                raise SamplerError(f"the sampler {self.name!r} has no state {name!r}")
        return self


def require_spread(latents: Tensor, name: str) -> None:
    """Refuse latents from which no density can be learned: fewer than two, not finite, or all equal."""
    if latents.dim() != 2:
        raise SamplerError(f"{name!r} takes latents of shape (N, D), not {tuple(latents.shape)}")
    if len(latents) < 2:
        raise SamplerError(
            f"{name!r} needs at least 2 latents, and there are {len(latents)}; add samples, or leave the class out"
        )
    if not torch.isfinite(latents).all():
        raise SamplerError(f"{name!r} got latents that are not finite")
    if bool((latents == latents[0]).all()):
        raise SamplerError(f"{name!r} got {len(latents)} latents that are all equal, so they have no spread to learn")
