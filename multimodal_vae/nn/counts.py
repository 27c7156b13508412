"""Counts, such as reads per gene or individuals per species: their distributions, and layers before and after them."""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn
from torch.distributions import Bernoulli, Distribution, constraints

from multimodal_vae.nn.count_distribution import inner_probability, least_count
from multimodal_vae.nn.mlp import LinearAndMLP
from multimodal_vae.nn.scale import RATE
from multimodal_vae.nn.standardize import Calibrated

_FARTHEST = 4.0
"""Most deviations of the log total of a decoded sample from the mean of the training data."""

_RAREST = -25.0
"""Least logarithm of an expected count; below it, a draw is never anything but zero."""

_DISPERSIONS = (-4.0, 8.0)
"""Least and greatest logarithm of a dispersion before training."""


class Poisson(distributions.Poisson):
    """The Poisson distribution with a distribution function and its inverse, which torch lacks and SciPy has.

    Example:
        >>> Poisson(torch.tensor([3.0])).icdf(torch.tensor([0.5]))
        tensor([3.])
    """

    def __init__(self, rate: Tensor) -> None:
        super().__init__(rate, validate_args=False)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most a count; 0 below 0."""
        from scipy import special

        count = value.detach().cpu().double().floor()
        found = special.pdtr(count.clamp_min(0).numpy(), self.rate.detach().cpu().double().numpy())
        return torch.where(count < 0, 0.0, torch.from_numpy(found)).to(value)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the least count that is not exceeded with a probability."""
        from scipy import special

        found = special.pdtrik(inner_probability(value).numpy(), self.rate.detach().cpu().double().numpy())
        count = torch.from_numpy(found).nan_to_num(0.0).ceil().clamp_min(0).to(value)
        return least_count(self, count, value)


class Presence(Bernoulli):
    """1 for present and 0 for absent, with a distribution function and its inverse.

    Example:
        >>> Presence(torch.tensor([0.0])).icdf(torch.tensor([0.6]))
        tensor([1.])
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most a value."""
        return torch.where(value < 0, 0.0, torch.where(value < 1, 1 - self.probs, 1.0))

    def icdf(self, value: Tensor) -> Tensor:
        """Return 1 for probabilities above that of absence."""
        return (value > 1 - self.probs).to(value)


class ZeroInflated(Distribution):
    r"""Counts that are zero with an additional probability, as where a gene of a cell was not captured.

    .. math:: P(0) = \pi + (1 - \pi)\, P_0(0), \quad P(x) = (1 - \pi)\, P_0(x)

    Source: Lambert, *Zero-inflated Poisson regression* (1992).

    Args:
        base: distribution :math:`P_0` of one count per element.
        logits: logits of :math:`\pi`, of the shape of the elements.

    Example:
        >>> ZeroInflated(Poisson(torch.tensor([3.0])), torch.tensor([0.0])).mean
        tensor([1.5000])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.nonnegative_integer

    def __init__(self, base: Distribution, logits: Tensor) -> None:
        self.base, self.logits = base, logits
        super().__init__(base.batch_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of each count."""
        captured: Tensor = F.logsigmoid(-self.logits) + self.base.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.logits), captured), captured)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most a count; 0 below 0."""
        zero = self.logits.sigmoid()
        return torch.where(value < 0, 0.0, zero + (1 - zero) * self.base.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the least count that is not exceeded with a probability."""
        zero = self.logits.sigmoid()
        return self.base.icdf(((value - zero) / (1 - zero).clamp_min(1e-12)).clamp(0, 1)).masked_fill(value <= zero, 0)

    @property
    def mean(self) -> Tensor:
        """Mean of the counts."""
        return torch.sigmoid(-self.logits) * self.base.mean

    @property
    def variance(self) -> Tensor:
        """Variance of the counts."""
        zero = self.logits.sigmoid()
        return torch.sigmoid(-self.logits) * (self.base.variance + zero * self.base.mean.square())

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw counts, without gradients, with torch's default generator."""
        with torch.no_grad():
            counts = self.base.sample(sample_shape)
            return counts * torch.bernoulli(torch.sigmoid(-self.logits).expand(counts.shape))


class StandardizeCounts(Calibrated):
    """Standardize the logarithms of the shares of each element, and the logarithm of the total, (N, size + 1).

    A share counts as ``log(1 + share * M)`` with the mean M of the totals of the training data, so that the depth with
    which a sample was measured does not look like its content.

    Args:
        size: number of elements of a sample.
    """

    mean: Tensor
    deviation: Tensor
    total: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size + 1))
        self.register_buffer("deviation", torch.ones(size + 1))
        self.register_buffer("total", torch.ones(()))

    def measure(self, samples: Tensor) -> None:
        """Compute the statistics of training samples (N, size)."""
        self.total.copy_(samples.sum(1).mean().clamp_min(1.0))
        features = self._features(samples)
        deviation = features.std(0, correction=0)
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Map counts (N, size) to features."""
        return (self._features(x) - self.mean) / self.deviation

    def _features(self, x: Tensor) -> Tensor:
        total = x.sum(1, keepdim=True)
        return torch.cat([(x * (self.total / total.clamp_min(1.0))).log1p(), total.log1p()], 1)


class CountDecoder(Calibrated):
    """Map latents to logarithms of expected counts, and of dispersions, and to logits of further zeros, (N, 1-3, size).

    An expected count is a share of the total, by a softmax, times a total that the latent determines: within four
    deviations of those of the training data, on a logarithmic scale. Shares and dispersions start at those of the
    training data; dispersions are learned per element, logits of zeros are linear in the latent.

    Args:
        latent_dim: length of the latent.
        size: number of elements of a sample.
        hidden: width of the perceptron's two hidden layers.
        dispersed: whether to append dispersions, for a negative binomial distribution.
        inflated: whether to append logits of further zeros, for :class:`ZeroInflated`.

    Example:
        >>> CountDecoder(latent_dim=4, size=7, hidden=8, dispersed=True, inflated=False)(torch.zeros(3, 4)).shape
        torch.Size([3, 2, 7])
    """

    log_share: Tensor
    log_total: Tensor
    log_dispersion: Tensor

    def __init__(self, latent_dim: int, size: int, hidden: int, dispersed: bool, inflated: bool) -> None:
        super().__init__()
        self.network = LinearAndMLP([latent_dim, hidden, hidden, size + 1])
        self.dispersion = nn.Parameter(torch.zeros(size)) if dispersed else None
        self.zeros = nn.Linear(latent_dim, size) if inflated else None
        if self.zeros is not None:
            nn.init.constant_(self.zeros.bias, -2.0)
        self.register_buffer("log_share", torch.full((size,), -math.log(size)))
        self.register_buffer("log_total", torch.tensor([0.0, 1.0]))  # mean and deviation
        self.register_buffer("log_dispersion", torch.zeros(size))

    def measure(self, samples: Tensor) -> None:
        """Compute shares, totals and dispersions, by the method of moments, of training samples (N, size)."""
        totals = samples.sum(1).clamp_min(1.0)
        logarithms = totals.log()
        deviation = logarithms.std(correction=0)
        self.log_total.copy_(torch.stack([logarithms.mean(), deviation.clamp_min(0.1)]))
        means = samples.mean(0)
        self.log_share.copy_(((means + 1e-3) / (means + 1e-3).sum()).log())
        excess = (samples.var(0, correction=0) - means).clamp_min(1e-6)
        self.log_dispersion.copy_((means.square().clamp_min(1e-6) / excess).log().clamp(*_DISPERSIONS))

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to parameters."""
        output = self.network(z)
        middle, deviation = self.log_total.unbind()
        total = middle + deviation * _FARTHEST * torch.tanh(output[:, -1:] / _FARTHEST)
        log_mean = total + (self.log_share + output[:, :-1]).log_softmax(1)
        rows = [log_mean.clamp_min(_RAREST)]
        if self.dispersion is not None:
            rows.append((self.log_dispersion + RATE * self.dispersion).expand_as(log_mean))
        if self.zeros is not None:
            rows.append(self.zeros(z))
        return torch.stack(rows, 1)
