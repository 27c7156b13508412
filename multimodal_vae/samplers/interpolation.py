"""Interpolation between neighbors, for classes of very few samples."""

import math
from typing import Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from multimodal_vae.distances import nearest
from multimodal_vae.samplers.base import NEAR_COPIES, DensitySampler, require_spread


class Interpolation(DensitySampler):
    r"""Draw points on the line from a latent to one of its nearest neighbors in the class, plus noise.

    .. math:: z = z_i + u (z_j - z_i) + w \varepsilon, \quad u \sim U(0, 1),\ \varepsilon \sim \mathcal N(0, I)

    with *j* among the nearest neighbors of *i*. This is SMOTE (Chawla et al. 2002, *SMOTE: synthetic minority
    over-sampling technique*) with noise, since points on lines have no density. It needs 2 latents or more.

    **It gives the patients away**, as :class:`~multimodal_vae.samplers.kde.KDE` does: the density consists of their
    embeddings, and samples are near copies of them.

    Args:
        neighbors: number of neighbors; at most the number of other latents.
        width: *w*, as a share of the latents' standard deviation (the root of their mean variance).

    Example:
        >>> density = Interpolation().fit(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))()
        >>> density.mean
        tensor([2., 0.])
    """

    points: Tensor
    nearest: Tensor
    chosen: Tensor
    discloses = NEAR_COPIES

    def __init__(self, neighbors: PositiveInt = 5, width: PositiveFloat = 0.1) -> None:
        super().__init__()
        self.neighbors = neighbors
        self.width = width
        for buffer in ("points", "nearest", "chosen"):
            self.register_buffer(buffer, None)

    def fit(self, latents: Tensor) -> Self:
        """Store the latents (N, D) and the indices of their neighbors."""
        require_spread(latents, self.name)
        points = latents.detach().to("cpu", torch.float64)
        count = min(self.neighbors, len(points) - 1)
        self.points = latents.detach().clone()
        self.nearest = nearest(points, points, count, itself=True)[1].to(latents.device)
        self.chosen = latents.new_tensor(self.width * float(points.var(0, correction=0).mean().sqrt()))
        return self

    def forward(self) -> Distribution:
        """Return a mixture with one component per pair of neighbors."""
        self.state()
        starts = self.points.repeat_interleave(self.nearest.shape[1], 0)
        return WideSegments(starts, self.points[self.nearest.flatten()], self.chosen)


class WideSegments(Distribution):
    r"""An equally weighted mixture of line segments, each convolved with an isotropic Gaussian.

    A segment's component is a uniform distribution along the line convolved with a Gaussian: along the line, at the
    distance *t* from the start of a segment of length *L*,
    :math:`\frac1L \left[\Phi(\frac tw) - \Phi(\frac{t - L}w)\right]`; across it, the Gaussian.

    Args:
        starts: (M, D).
        ends: (M, D); a component whose end is its start is the Gaussian.
        width: standard deviation *w* of the Gaussian, a scalar.

    Example:
        >>> density = WideSegments(torch.zeros(1, 1), torch.full((1, 1), 8.0), torch.tensor(0.1))
        >>> density.log_prob(torch.tensor([4.0])).exp()
        tensor(0.1250)
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  (the name and form are torch's)
    support = constraints.real_vector
    has_rsample = False
    _chunk = 2**20  # elements of each of about twenty intermediates of log_prob: 8 MiB in float64

    def __init__(self, starts: Tensor, ends: Tensor, width: Tensor) -> None:
        self.starts = starts
        self.ends = ends
        self.width = width
        super().__init__(event_shape=starts.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of the midpoints of all segments, (D,)."""
        return (self.starts.mean(0) + self.ends.mean(0)) / 2

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Draw vectors, (*sample_shape, D), from torch's default generator."""
        count, like = math.prod(sample_shape), self.starts
        with torch.no_grad():
            segment = torch.randint(len(like), (count,), device=like.device)
            along = torch.rand(count, 1, dtype=like.dtype, device=like.device)
            draws = torch.randn(count, like.shape[1], dtype=like.dtype, device=like.device).mul_(self.width)
            rows = max(1, self._chunk // like.shape[1])
            for part, which, where in zip(*(torch.split(x, rows) for x in (draws, segment, along)), strict=True):
                part.add_(torch.lerp(self.starts[which], self.ends[which], where))
        return draws.reshape(*sample_shape, like.shape[1])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, (*sample_shape,), computed in float64, if need be on the CPU."""
        where = "cpu" if value.device.type == "mps" else value.device
        points, starts, ends, width = (x.to(where, torch.float64) for x in (value, self.starts, self.ends, self.width))
        rows = torch.split(points.reshape(-1, starts.shape[1]), max(1, self._chunk // len(starts)))
        spans = ends - starts
        lengths = spans.square().sum(1).sqrt()
        directions = spans / torch.where(lengths > 0, lengths, 1)[:, None]
        joint = [_log_density(part, starts, directions, lengths, width).logsumexp(1) for part in rows]
        log_density = torch.cat(joint) - math.log(len(starts))
        return log_density.to(value).reshape(value.shape[:-1])


def _log_density(points: Tensor, starts: Tensor, directions: Tensor, lengths: Tensor, width: Tensor) -> Tensor:
    """Return the log density of each point under each segment, (N, M)."""
    squared = torch.cdist(points, starts, compute_mode="donot_use_mm_for_euclid_dist").square()
    along = points @ directions.T - (starts * directions).sum(1)
    across = (squared - along.square()).clamp_min(0) / width.square()
    log_along = _log_widened_uniform(along / width, lengths / width) - width.log()
    return log_along - 0.5 * across - (points.shape[1] - 1) * (width * math.sqrt(2 * math.pi)).log()


def _log_widened_uniform(place: Tensor, length: Tensor) -> Tensor:
    """Return the log density of a uniform variable on [0, length] plus a standard normal variable."""
    short = length < 1e-4  # here the difference is rounding error, and the uniform adds only 1e-9 to the variance
    # Phi(a) - Phi(b) = Phi(-b) - Phi(-a): use the side where both are small, so that neither rounds to 1.
    middle = place - length / 2
    upper = length / 2 - middle.abs()
    log_upper, log_lower = torch.special.log_ndtr(upper), torch.special.log_ndtr(upper - length)
    difference = log_upper + (-torch.expm1(log_lower - log_upper)).log() - length.log()
    gaussian = -0.5 * middle.square() - 0.5 * math.log(2 * math.pi)
    return torch.where(short, gaussian, difference)
