"""Counts that vary more than chance alone lets them, such as visits, cells or reads."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

LARGEST_COUNT = 2**24
"""Largest count; float32 does not hold every larger whole number."""


class NegativeBinomial(Distribution):
    r"""Counts of a given mean, whose variance is :math:`m + m^2 / r` with the concentration r.

    A large concentration gives the Poisson distribution. The distribution function and its inverse, which torch lacks,
    are SciPy's, and computed on the CPU.

    Args:
        mean: mean, positive, of any shape.
        concentration: r, positive, of the same shape.

    Example:
        >>> NegativeBinomial(torch.tensor([1.0]), torch.tensor([1.0])).log_prob(torch.tensor([0.0])).exp()
        tensor([0.5000])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.nonnegative_integer

    def __init__(self, mean: Tensor, concentration: Tensor) -> None:
        self._mean, self.concentration = mean, concentration
        super().__init__(mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self._mean + self._mean.square() / self.concentration

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of each count."""
        # float32 loses whole nats of large counts; Apple's devices have no other type.
        precise = torch.float32 if value.device.type == "mps" else torch.float64
        k, r, mean = (x.to(precise) for x in (value, self.concentration, self._mean))
        ways = torch.lgamma(k + r) - torch.lgamma(r) - torch.lgamma(k + 1)
        log_prob = ways + r * (r / (r + mean)).log() + k * (mean / (r + mean)).log()
        return log_prob.to(self._mean)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most a count; 0 below 0."""
        from scipy import special

        r, success = self._on_cpu()
        count = value.detach().cpu().double().floor()
        found = special.betainc(r.numpy(), count.clamp_min(0).numpy() + 1, success.numpy())
        return torch.where(count < 0, 0.0, torch.from_numpy(found)).to(value)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the least count that is not exceeded with a probability, at most :data:`LARGEST_COUNT`."""
        from scipy import special

        r, success = self._on_cpu()
        found = special.nbdtrik(inner_probability(value).numpy(), r.numpy(), success.numpy())
        count = torch.from_numpy(found).nan_to_num(float(LARGEST_COUNT)).ceil().clamp(0, LARGEST_COUNT).to(value)
        count = least_count(self, count, value)
        return count.masked_fill(self.cdf(torch.zeros_like(count)) >= value, 0)  # SciPy's is NaN for tiny means

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw counts with torch's default generator: Poisson ones around means that are gamma distributed."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            r = self.concentration.expand(shape)
            rate = torch._standard_gamma(r) * self._mean / r
            return torch.poisson(rate).clamp_max(LARGEST_COUNT)

    def _on_cpu(self) -> tuple[Tensor, Tensor]:
        """Return the concentration and the probability of success, in double precision."""
        r, mean = self.concentration.detach().cpu().double(), self._mean.detach().cpu().double()
        return r, r / (r + mean)


def inner_probability(value: Tensor) -> Tensor:
    """Return probabilities in double precision on the CPU, away from 0 and 1, whose quantiles may be infinite."""
    return value.detach().cpu().double().clamp(1e-9, 1 - 1e-9)


def least_count(distribution: Distribution, count: Tensor, value: Tensor) -> Tensor:
    """Return the count before one that rounding left a step above the quantile of a probability."""
    return torch.where((count > 0) & (distribution.cdf(count - 1) >= value), count - 1, count)
