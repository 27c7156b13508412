"""Covariates as the numbers that the networks of a model get."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multimodal_vae.data.covariates import Covariate, values_of_covariates
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.transfer import copy_to

_BOUND = 5.0
"""Largest number, in standard deviations; networks would follow outliers to any distance."""


class Conditions(nn.Module):
    """Numbers that stand for covariates: zero on average over the training samples, and where a value is missing.

    A covariate of numbers is standardized and followed by an indicator of missing values; one of words is one-hot,
    minus the frequencies of the words. A number that is constant in the training samples is zero: of a word that none
    of them has, nothing was learned.

    Args:
        covariates: the typed covariates; without any there is no number and no buffer.

    Raises:
        ConfigurationError: if a covariate has no type.

    Attributes:
        size: how many numbers stand for the covariates of a sample.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, covariates: Sequence[Covariate]) -> None:
        super().__init__()
        self.covariates = list(covariates)
        for each in covariates:
            if each.kind is None or (each.kind == "word" and each.values is None):
                raise ConfigurationError(f"the covariate {each.name!r} has no type yet; pass data.covariate_types")
        self.size = sum(len(_measured(each)) for each in covariates)
        if self.size:
            self.register_buffer("mean", torch.zeros(self.size))
            self.register_buffer("scale", torch.ones(self.size))

    def measure(self, values: Tensor) -> None:
        """Set means and scales from the training samples' covariates, (N, C)."""
        if not self.size:
            return
        numbers = self._numbers(values.to(self.mean.device)).double()
        mean = numbers.nanmean(0).nan_to_num(0.0)
        deviation = (numbers - mean).square().nanmean(0).sqrt().nan_to_num(0.0)
        measured = torch.tensor([flag for each in self.covariates for flag in _measured(each)], device=mean.device)
        scale = torch.where(measured, 1 / deviation, 1.0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6 * mean.abs(), scale, 0.0))

    def forward(self, values: Tensor) -> Tensor:
        """Return the numbers of N samples, (N, size), from their covariates (N, C)."""
        numbers = (self._numbers(values) - self.mean) * self.scale
        return numbers.nan_to_num(0.0).clamp(-_BOUND, _BOUND)

    def append(self, x: Tensor, values: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """Return latents or features with these numbers behind them, (R, D + size); as they are without covariates.

        Args:
            x: (R, D).
            values: covariates (N, C). None: all are missing.
            rows: (R,), number of the sample of each row. Default: the rows are the samples.
        """
        if not self.size:
            return x
        if values is None:
            return nn.functional.pad(x, (0, self.size))
        return torch.cat([x, self(values if rows is None else values[copy_to(rows, values.device)]).to(x.dtype)], 1)

    def append_to_each(self, features: dict[str, Tensor], present: Tensor, values: Tensor | None) -> dict[str, Tensor]:
        """Return features (N, F) by modality with these numbers behind them; absent ones, by (N, M), stay zero."""
        if not self.size:
            return features
        return {
            name: torch.where(present[:, column, None], self.append(x, values), 0)
            for column, (name, x) in enumerate(features.items())
        }

    def _numbers(self, values: Tensor) -> Tensor:
        """Return numbers and indicators, (N, size), before they are centered; NaN for what is missing."""
        parts = []
        for column, covariate in enumerate(self.covariates):
            x = values[:, column, None]
            if covariate.kind == "number":
                parts.append(torch.cat([x, x.isnan().to(x)], 1))
            else:
                words = torch.arange(len(covariate.values or ()), device=x.device)
                parts.append(torch.where(x.isnan(), x, (x == words).to(x)))
        return torch.cat(parts, 1)


def _measured(covariate: Covariate) -> list[bool]:
    """Return, for each number of a covariate, whether it is a measurement rather than an indicator."""
    return [True, False] if covariate.kind == "number" else [False] * len(covariate.values or ())


def nearer_end(values: Tensor, steps: int) -> Tensor:
    """Return the covariates (steps, C) of steps between two samples, given theirs (2, C): those of the nearer one."""
    return values[(torch.linspace(0, 1, steps) > 0.5).long()]


def values_of_samples(
    covariates: Sequence[Covariate], samples: Mapping[str, Tensor] | MultimodalDataset, given: Any
) -> Tensor:
    """Return the covariates of samples, (N, C): those of a data set, or those given with tensors.

    Raises:
        DataError: as :func:`~multimodal_vae.data.covariates.values_of_covariates` does.
        ConfigurationError: if covariates are given beside a data set.
    """
    if isinstance(samples, Mapping):
        return values_of_covariates(covariates, given, len(next(iter(samples.values()))))
    if given is not None:
        raise ConfigurationError(
            "covariates are given beside a data set, which has its own; to decode with others, use "
            "vae.generate(vae.encode(data).mean, covariates=...)"
        )
    return samples.covariates
