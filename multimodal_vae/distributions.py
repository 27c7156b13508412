"""The probability distributions that the package speaks in: a diagonal Gaussian, and a mixture of Gaussians."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussians, one a row: what an encoder and a fusion say of a sample's latent.

    Attributes:
        mean: (N, D), or with more axes before the last, such as (N, M, D) for experts.
        logvar: of the same shape, the natural logarithm of the variance.
    """

    mean: Tensor
    logvar: Tensor

    @classmethod
    def standard_like(cls, x: Tensor) -> "Gaussian":
        """N(0, I) of a tensor's shape."""
        return cls(torch.zeros_like(x), torch.zeros_like(x))

    def rsample(self) -> Tensor:
        """Draw one latent a row by the reparameterization trick (Kingma and Welling 2014, section 2.4); (N, D)."""
        return self.mean + torch.randn_like(self.mean) * torch.exp(0.5 * self.logvar)

    def sample(self, count: int) -> Tensor:
        """Draw several latents a row, without gradients, with torch's default generator; (N, count, D) of (N, D)."""
        with torch.no_grad():
            deviation = torch.exp(0.5 * self.logvar)
            noise = torch.randn(len(self.mean), count, *self.mean.shape[1:], dtype=self.mean.dtype)
            return self.mean[:, None] + noise.to(self.mean.device) * deviation[:, None]

    def kl_to_standard_normal(self) -> Tensor:
        """KL divergence from N(0, I) by dimension, in nats, (N, D) (Kingma and Welling 2014, appendix B).

        Example:
            >>> Gaussian(torch.tensor([[1.0]]), torch.tensor([[0.0]])).kl_to_standard_normal()
            tensor([[0.5000]])
        """
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar)

    def kl_to(self, other: "Gaussian") -> Tensor:
        """KL divergence from others by dimension, in nats, of the shape that both broadcast to.

        Example:
            >>> one, other = (Gaussian(torch.tensor([[m]]), torch.tensor([[0.0]])) for m in (1.0, 3.0))
            >>> one.kl_to(other)
            tensor([[2.]])
        """
        narrower = self.logvar - other.logvar
        offset = (self.mean - other.mean).square() * torch.exp(-other.logvar)
        return 0.5 * (offset + narrower.exp() - 1 - narrower)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, summed over the last axis, of the shape before it."""
        squares = (value - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + math.log(2 * math.pi)).sum(-1)


def product(experts: Gaussian, taken: Tensor, prior: bool = False) -> Gaussian:
    """The normalized product of Gaussians: precisions add up, and means are weighted by them.

    Precisions are summed as logarithms, so that variances from 1e-8 to 1e8 may stand side by side (Wu and Goodman
    2018, section 2.1, with the weights written as a softmax).

    Args:
        experts: (..., M, D), finite.
        taken: (..., M) of bool, who is multiplied; nobody at all gives N(0, I).
        prior: whether N(0, I) is multiplied as well.

    Returns:
        (..., D).

    Example:
        >>> both = Gaussian(torch.tensor([[[0.0], [3.0]]]), torch.zeros(1, 2, 1))
        >>> product(both, torch.tensor([[True, True]])).mean, product(both, torch.tensor([[True, True]]), True).mean
        (tensor([[1.5000]]), tensor([[1.]]))
    """
    precisions = torch.where(taken[..., None], -experts.logvar, -torch.inf)
    standing = torch.ones_like(taken[..., :1]) if prior else ~taken.any(-1, keepdim=True)
    alone = torch.where(standing[..., None], torch.zeros_like(precisions[..., :1, :]), -torch.inf)
    precisions = torch.cat([precisions, alone], -2)
    means = torch.cat([experts.mean, torch.zeros_like(experts.mean[..., :1, :])], -2)
    return Gaussian((precisions.softmax(-2) * means).sum(-2), -precisions.logsumexp(-2))


def moment_matched(experts: Gaussian, taken: Tensor) -> Gaussian:
    """The Gaussian with the mean and the variance, by dimension, of an equal mixture.

    Args:
        experts: (..., M, D), finite.
        taken: (..., M) of bool, the mixture's components; none at all gives N(0, I).

    Returns:
        (..., D).
    """
    shares = (taken / taken.sum(-1, keepdim=True).clamp(min=1))[..., None].to(experts.mean.dtype)
    mean = (shares * experts.mean).sum(-2)
    variance = (shares * (experts.logvar.exp() + (experts.mean - mean[..., None, :]).square())).sum(-2)
    some = taken.any(-1, keepdim=True)
    return Gaussian(mean, torch.where(some, torch.where(some, variance, 1).log(), 0))


def mixture_log_prob(value: Tensor, components: Gaussian, taken: Tensor) -> Tensor:
    """Log density of an equal mixture, in nats.

    Args:
        value: (N, D).
        components: (N, M, D), finite.
        taken: (N, M) of bool, the mixture's components; at least one.

    Returns:
        (N,).
    """
    densities = torch.where(taken, components.log_prob(value[:, None]), -torch.inf)
    return densities.logsumexp(1) - taken.sum(1).log()


class GaussianMixture(Distribution):
    """A mixture of Gaussians that share a scale or have one each; a kernel density is one of these too.

    torch's own ``MixtureSameFamily`` draws from every component before it picks one, which for a kernel density of a
    few hundred points and a million draws is more than a hundred gigabytes; this one picks first.

    Args:
        weights: (K,), positive; normalized here.
        means: (K, D).
        scale: standard deviations, (K, D), or lower Cholesky factors, (K, D, D); a leading 1 is shared by all
            components.

    Example:
        >>> mixture = GaussianMixture(torch.ones(2), torch.tensor([[-1.0], [1.0]]), torch.ones(1, 1))
        >>> mixture.log_prob(torch.tensor([0.0])).item()
        -1.41893...
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  (the name and form are torch's)
    support = constraints.real_vector
    has_rsample = False
    _chunk = 2**24  # elements of the largest intermediate of log_prob: 128 MiB in float64

    def __init__(self, weights: Tensor, means: Tensor, scale: Tensor) -> None:
        self.weights = weights / weights.sum()
        self.means = means
        # As it comes back from a file: in the layout that a Cholesky factor is made in, draws differ in their last bit.
        self.scale = scale.contiguous()
        self._dense = scale.dim() == 3
        super().__init__(batch_shape=torch.Size(), event_shape=means.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mixture's mean, (D,)."""
        return self.weights @ self.means

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Draw latents, (*sample_shape, D), with torch's default generator."""
        count = math.prod(sample_shape)
        if not count:
            return self.means.new_empty(*sample_shape, self.means.shape[1])
        with torch.no_grad():
            component = torch.multinomial(self.weights, count, replacement=True)
            drawn = torch.randn(count, self.means.shape[1], dtype=self.means.dtype, device=self.means.device)
            scale = self.scale.expand(len(self.means), *self.scale.shape[1:])
            rows = max(1, self._chunk // 4 // self.means.shape[1])
            for which, noise in zip(torch.split(component, rows), torch.split(drawn, rows), strict=True):
                if self._dense:
                    # One component at a time: a factor for every draw would not fit into memory.
                    for k in torch.unique(which):
                        noise[which == k] = noise[which == k] @ scale[k].T
                else:
                    noise.mul_(scale[which])
                noise.add_(self.means[which])
        return drawn.reshape(*sample_shape, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats, (*sample_shape,), computed in float64 where the device has it."""
        exact = torch.float32 if value.device.type == "mps" else torch.float64
        points = value.reshape(-1, value.shape[-1]).to(exact)
        means, scale = self.means.to(exact), self.scale.to(exact)
        step = max(1, self._chunk // max(1, means.numel()))
        weights = self.weights.to(exact).log()
        parts = torch.split(points, step)
        rows = [(self._component_log_prob(part, means, scale) + weights).logsumexp(-1) for part in parts]
        return torch.cat(rows).to(value.dtype).reshape(value.shape[:-1])

    def _component_log_prob(self, points: Tensor, means: Tensor, scale: Tensor) -> Tensor:
        """Log density of each point under each component, (N, K)."""
        offset = points[:, None] - means  # (N, K, D)
        if self._dense:
            white = torch.linalg.solve_triangular(scale, offset.permute(1, 2, 0), upper=False).permute(2, 0, 1)
            log_volume = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            white = offset / scale
            log_volume = scale.log().sum(-1)
        log_density: Tensor = -0.5 * (white.square().sum(-1) + means.shape[1] * math.log(2 * math.pi)) - log_volume
        return log_density
