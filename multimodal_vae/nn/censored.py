"""Values that pile up at a lowest or highest one, such as black pixels or results below a limit of detection."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from multimodal_vae.nn.standardize import Calibrated

_SHARE, _COUNT = 0.02, 3
"""Share and number of training values that an extreme needs to be a limit."""

_FAR = 30.0
"""Deviations to an absent limit; no normal value lies beyond."""


class Limits(Calibrated):
    """Append the limits of each element, at which its values pile up, to decoded values and deviations.

    A limit is the minimum or maximum of the training data if at least 2 % of its values, and at least 3, equal it;
    otherwise it is infinite. :class:`CensoredNormal` takes all four.

    Args:
        shape: shape of the limits, broadcast against a sample.

    Example:
        >>> limits = Limits((2,))
        >>> limits.measure(torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [1.0, 4.0]]))
        >>> limits.low, limits.high
        (tensor([0., -inf]), tensor([inf, inf]))
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("low", torch.full(tuple(shape), -torch.inf))
        self.register_buffer("high", torch.full(tuple(shape), torch.inf))

    def measure(self, samples: Tensor) -> None:
        """Find the limits of training samples (N, ...)."""
        low, high = find_limits(samples, self.reduced_axes(self.low, samples))
        self.low.copy_(low.reshape(self.low.shape))
        self.high.copy_(high.reshape(self.high.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map values and deviations, (N, 2, ...), to values, deviations, and lower and upper limits, (N, 4, ...)."""
        value, deviation = x.unbind(1)
        return torch.stack([value, deviation, self.low.expand_as(value), self.high.expand_as(value)], 1)


def find_limits(samples: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return lowest and highest values at which samples (N, ...) pile up, over axes that are dropped; else infinity."""
    axes, limits = list(axes), []
    for sign in (-1.0, 1.0):
        x = (sign * samples).nan_to_num(-torch.inf, torch.inf, -torch.inf) if samples.isnan().any() else sign * samples
        extreme = x.amax(axes, keepdim=True)
        equal = (x == extreme) & extreme.isfinite()
        reached = (equal.sum(axes) >= _COUNT) & (equal.float().mean(axes) >= _SHARE)
        limits.append(sign * torch.where(reached, extreme.squeeze(axes), torch.inf))
    return limits[0], limits[1]


class CensoredNormal(Distribution):
    """Normal values of which those beyond a limit are recorded as the limit (Tobin 1958).

    The density is that of the normal distribution between the limits; a limit has the mass beyond it. An element whose
    limits are equal is constant, and its log-probability is 0.

    Args:
        loc: mean before censoring, of any shape.
        scale: standard deviation before censoring.
        low: lower limit, a number or one per element; minus infinity for none.
        high: upper limit; infinity for none.

    Example:
        >>> CensoredNormal(torch.zeros(1), torch.ones(1), low=0.0, high=1.0).log_prob(torch.zeros(1)).exp()
        tensor([0.5000])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real

    def __init__(self, loc: Tensor, scale: Tensor, low: Tensor | float, high: Tensor | float) -> None:
        self.loc, self.scale = loc, scale
        self.low, self.high = (
            limit.to(loc) if isinstance(limit, Tensor) else loc.new_full((), limit) for limit in (low, high)
        )
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each element between the limits, or the log-mass at a limit."""
        low, high = value <= self.low, value >= self.high
        standard = (value.clamp(self.low, self.high) - self.loc) / self.scale
        density = -0.5 * standard.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        log_prob = torch.where(low | high, torch.special.log_ndtr(torch.where(high, -standard, standard)), density)
        return log_prob.masked_fill(self.low >= self.high, 0.0)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of recording at most a value."""
        probability = torch.special.ndtr((value - self.loc) / self.scale)
        return torch.where(value >= self.high, 1.0, torch.where(value < self.low, 0.0, probability))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the recorded value that is not exceeded with a probability."""
        values: Tensor = self.loc + self.scale * torch.special.ndtri(value)
        return values.clamp(self.low, self.high)

    def _standard(self, limit: Tensor, absent: float) -> Tensor:
        """Return a limit in deviations from the mean."""
        finite = limit.isfinite()
        return torch.where(finite, (torch.where(finite, limit, self.loc) - self.loc) / self.scale, absent)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Return the first two moments of a censored standard normal value (Greene, *Econometric Analysis*, 19.3)."""
        a, b = self._standard(self.low, -_FAR), self._standard(self.high, _FAR)
        below, above = torch.special.ndtr(a), torch.special.ndtr(-b)
        at_a, at_b = (torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi) for x in (a, b))
        first = a * below + b * above + at_a - at_b
        second = a.square() * below + b.square() * above + 1 - below - above + a * at_a - b * at_b
        return first, second

    @property
    def mean(self) -> Tensor:
        """Mean of the recorded values."""
        return self._recorded(self.loc + self.scale * self._moments()[0])

    @property
    def variance(self) -> Tensor:
        """Variance of the recorded values."""
        first, second = self._moments()
        return self.scale.square() * (second - first.square()).clamp_min(0)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, without gradients, with torch's default generator."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
            return self._recorded(self.loc + self.scale * noise)

    def _recorded(self, value: Tensor) -> Tensor:
        """Return the limits in place of values beyond them; infinite ones stay, so that they are noticed."""
        return torch.where(value.isfinite(), value.clamp(self.low, self.high), value)
