"""Diagonal Gaussians, their products and mixtures."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import checked, require_finite, require_whole


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussians, one per row, such as the posteriors of a batch.

    Attributes:
        mean: (N, D), or with more leading axes, such as (N, M, D) for experts.
        logvar: natural logarithm of the variance, of the same shape.
    """

    mean: Tensor
    logvar: Tensor

    @classmethod
    def standard_like(cls, x: Tensor) -> "Gaussian":
        """Return N(0, I) with the shape, type and device of a tensor."""
        return cls(torch.zeros_like(x), torch.zeros_like(x))

    def rsample(self) -> Tensor:
        """Draw one vector per row, (N, D), by the reparameterization trick (Kingma and Welling 2014, section 2.4)."""
        return self.mean + torch.randn_like(self.mean) * torch.exp(0.5 * self.logvar)

    @checked
    def sample(self, count: int) -> Tensor:
        """Draw ``count`` vectors per row, (N, count, D), without gradients, with torch's default generator."""
        require_memory(4 * self.mean.numel() * count, f"{count} draws per posterior are too many")
        require_whole("count", count, 0)
        with torch.no_grad():
            deviation = torch.exp(0.5 * self.logvar)
            noise = torch.randn(len(self.mean), count, *self.mean.shape[1:], dtype=self.mean.dtype)
            draws = self.mean[:, None] + noise.to(self.mean.device) * deviation[:, None]
        return require_finite(draws, "a Gaussian")

    def kl_to_standard_normal(self) -> Tensor:
        """Return the KL divergence from N(0, I) per dimension, (N, D), in nats (Kingma and Welling 2014, appendix B).

        Example:
            >>> Gaussian(torch.tensor([[1.0]]), torch.tensor([[0.0]])).kl_to_standard_normal()
            tensor([[0.5000]])
        """
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar)

    def kl_to(self, other: "Gaussian") -> Tensor:
        """Return the KL divergence from another Gaussian per dimension, in nats; shapes broadcast.

        Example:
            >>> one, other = (Gaussian(torch.tensor([[m]]), torch.tensor([[0.0]])) for m in (1.0, 3.0))
            >>> one.kl_to(other)
            tensor([[2.]])
        """
        log_ratio = self.logvar - other.logvar
        offset = (self.mean - other.mean).square() * torch.exp(-other.logvar)
        return 0.5 * (offset + log_ratio.exp() - 1 - log_ratio)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, summed over the last axis."""
        squares = (value - self.mean).square() * torch.exp(-self.logvar)
        return -0.5 * (squares + self.logvar + math.log(2 * math.pi)).sum(-1)


def product(experts: Gaussian, mask: Tensor, prior: bool = False) -> Gaussian:
    """Return the normalized product of Gaussians: precisions add up and weight the means.

    See Wu and Goodman 2018, section 2.1. The weights are a softmax of log precisions, so variances from 1e-8 to 1e8
    can be mixed.

    Args:
        experts: (..., M, D), finite.
        mask: (..., M) of bool, the factors of the product; without any, the result is N(0, I).
        prior: whether N(0, I) is another factor.

    Returns:
        (..., D).

    Example:
        >>> both = Gaussian(torch.tensor([[[0.0], [3.0]]]), torch.zeros(1, 2, 1))
        >>> product(both, torch.tensor([[True, True]])).mean, product(both, torch.tensor([[True, True]]), True).mean
        (tensor([[1.5000]]), tensor([[1.]]))
    """
    log_precisions = torch.where(mask[..., None], -experts.logvar, -torch.inf)
    with_prior = torch.ones_like(mask[..., :1]) if prior else ~mask.any(-1, keepdim=True)
    of_prior = torch.where(with_prior[..., None], torch.zeros_like(log_precisions[..., :1, :]), -torch.inf)
    log_precisions = torch.cat([log_precisions, of_prior], -2)
    means = torch.cat([experts.mean, torch.zeros_like(experts.mean[..., :1, :])], -2)
    return Gaussian((log_precisions.softmax(-2) * means).sum(-2), -log_precisions.logsumexp(-2))


def moment_matched(experts: Gaussian, mask: Tensor) -> Gaussian:
    """Return the Gaussian with the mean and variance, per dimension, of an equal mixture.

    Args:
        experts: (..., M, D), finite.
        mask: (..., M) of bool, the components of the mixture; without any, the result is N(0, I).

    Returns:
        (..., D).
    """
    shares = (mask / mask.sum(-1, keepdim=True).clamp(min=1))[..., None].to(experts.mean.dtype)
    mean = (shares * experts.mean).sum(-2)
    variance = (shares * (experts.logvar.exp() + (experts.mean - mean[..., None, :]).square())).sum(-2)
    nonempty = mask.any(-1, keepdim=True)
    return Gaussian(mean, torch.where(nonempty, torch.where(nonempty, variance, 1).log(), 0))


def mixture_log_prob(value: Tensor, components: Gaussian, mask: Tensor) -> Tensor:
    """Return the log density of an equal mixture, in nats.

    Args:
        value: (N, D).
        components: (N, M, D), finite.
        mask: (N, M) of bool, the components of the mixture; at least one per row.

    Returns:
        (N,).
    """
    log_densities = torch.where(mask, components.log_prob(value[:, None]), -torch.inf)
    return log_densities.logsumexp(1) - mask.sum(1).log()


class GaussianMixture(Distribution):
    """A mixture of Gaussians with one common scale or one scale per component, such as a kernel density.

    Sampling chooses components first. torch's ``MixtureSameFamily`` draws from all of them: for a kernel density with
    hundreds of points and a million draws, that takes more than 100 GB.

    Args:
        weights: (K,), not negative; normalized here.
        means: (K, D).
        scale: standard deviations, (K, D), or lower Cholesky factors, (K, D, D). With 1 in place of K, all components
            share it.

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
        # Contiguous, as after loading: with the memory layout of cholesky, draws would differ in the last bit.
        self.scale = scale.contiguous()
        self._dense = scale.dim() == 3
        super().__init__(batch_shape=torch.Size(), event_shape=means.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of the mixture, (D,)."""
        return self.weights @ self.means

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Draw vectors, (*sample_shape, D), with torch's default generator."""
        count = math.prod(sample_shape)
        if not count:
            return self.means.new_empty(*sample_shape, self.means.shape[1])
        with torch.no_grad():
            component = torch.multinomial(self.weights, count, replacement=True)
            samples = torch.randn(count, self.means.shape[1], dtype=self.means.dtype, device=self.means.device)
            scale = self.scale.expand(len(self.means), *self.scale.shape[1:])
            rows = max(1, self._chunk // 4 // self.means.shape[1])
            for index, part in zip(torch.split(component, rows), torch.split(samples, rows), strict=True):
                if self._dense:
                    # One component at a time: one factor per draw would not fit into memory.
                    for k in torch.unique(index):
                        part[index == k] = part[index == k] @ scale[k].T
                else:
                    part.mul_(scale[index])
                part.add_(self.means[index])
        return samples.reshape(*sample_shape, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, (*sample_shape,), computed in float64 if the device has it."""
        dtype = torch.float32 if value.device.type == "mps" else torch.float64
        points = value.reshape(-1, value.shape[-1]).to(dtype)
        means, scale, log_weights = self.means.to(dtype), self.scale.to(dtype), self.weights.to(dtype).log()
        parts = torch.split(points, max(1, self._chunk // max(1, means.numel())))
        log_densities = [(self._component_log_prob(part, means, scale) + log_weights).logsumexp(-1) for part in parts]
        return torch.cat(log_densities).to(value.dtype).reshape(value.shape[:-1])

    def _component_log_prob(self, points: Tensor, means: Tensor, scale: Tensor) -> Tensor:
        """Return the log density of each point under each component, (N, K)."""
        offset = points[:, None] - means  # (N, K, D)
        if self._dense:
            white = torch.linalg.solve_triangular(scale, offset.permute(1, 2, 0), upper=False).permute(2, 0, 1)
            log_volume = scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            white = offset / scale
            log_volume = scale.log().sum(-1)
        log_density: Tensor = -0.5 * (white.square().sum(-1) + means.shape[1] * math.log(2 * math.pi)) - log_volume
        return log_density
