"""Columns of several types as one random vector: its distribution, and the networks' first and last layers.

A sample is (C,), one number per column: a real, positive or share column holds values in their own units, a count a
whole number, and a binary, categorical or ordinal column the index of a word. NaN is a missing element.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from multimodal_vae.nn.censored import CensoredNormal, find_limits
from multimodal_vae.nn.count_distribution import LARGEST_COUNT, NegativeBinomial
from multimodal_vae.nn.scale import RATE, LearnedScale
from multimodal_vae.nn.standardize import Calibrated, moments

ColumnType: TypeAlias = Literal["real", "positive", "share", "binary", "categorical", "ordinal", "count"]

_TINY = 1e-30
"""Floor of positive columns without zeros; no value of a column is nearer to zero."""

_LARGEST_LOG, _LEAST_LOG = 80.0, -65.0
"""Bounds of the logarithm of a value, within float32."""

_LARGEST_LOG_COUNT = math.log(LARGEST_COUNT)

_NEVER = -1e9
"""Logit of a word that a column does not have; minus infinity would spread NaN into gradients."""

_SLOPE = 2.0
"""Weight of an ordinal column's first and last word: its words lie between minus and plus this."""


@dataclass(frozen=True)
class TableLayout:
    """The types of a table's columns.

    Args:
        types: (C,), type of each column.
        words: (C,), number of words; 0 for columns of numbers.
        decimals: (C,), decimals to which drawn values are rounded; None for all digits.
    """

    types: Sequence[ColumnType]
    words: Sequence[int]
    decimals: Sequence[int | None]

    @cached_property
    def numbers(self) -> list[int]:
        """Real, positive and share columns."""
        return [i for i, kind in enumerate(self.types) if kind in ("real", "positive", "share")]

    @cached_property
    def counts(self) -> list[int]:
        """Columns of counts."""
        return [i for i, kind in enumerate(self.types) if kind == "count"]

    @cached_property
    def worded(self) -> list[int]:
        """Binary, categorical and ordinal columns."""
        return [i for i, size in enumerate(self.words) if size]

    @cached_property
    def most(self) -> int:
        """Largest number of words."""
        return max(*self.words, 1)

    @cached_property
    def blocks(self) -> list[list[int]]:
        """The columns of numbers, of counts and of words."""
        return [self.numbers, self.counts, self.worded]

    def of_numbers(self, kind: ColumnType, x: Tensor) -> Tensor:
        """Return which columns of numbers have a type, (A,), on the device of ``x``."""
        return torch.tensor([self.types[i] == kind for i in self.numbers], dtype=torch.bool, device=x.device)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Return (N, C) from the columns of each block."""
        order = [i for block in self.blocks for i in block]
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return torch.cat(list(parts), -1)[..., inverse]

    def on_scales(self, x: Tensor) -> Tensor:
        """Return samples (N, C) on the columns' scales, words as their index."""
        numbers = self.to_scale(x[:, self.numbers], self.floors(x))
        return self.join([numbers, x[:, self.counts].log1p(), x[:, self.worded]])

    def to_scale(self, x: Tensor, floor: Tensor) -> Tensor:
        """Return columns of numbers, (N, A), on their scales: logarithms of positive ones, logits of shares.

        Args:
            x: values.
            floor: (A,), the least distance of a value to zero and, for a share, to one.
        """
        inside = torch.where(self.of_numbers("share", x), torch.minimum(x, 1 - floor), x)
        log = torch.maximum(inside, floor).log()
        share = log - torch.log1p(-torch.maximum(inside, floor).clamp_max(1 - 1e-7))
        return torch.where(self.of_numbers("share", x), share, torch.where(self.of_numbers("positive", x), log, x))

    def from_scale(self, y: Tensor, floor: Tensor) -> Tensor:
        """Return the values of columns of numbers, (N, A); what is at the floor is zero, as it was in the data."""
        share, positive = self.of_numbers("share", y), self.of_numbers("positive", y)
        near = floor * (1 + 1e-5)
        exp, part = y.clamp(_LEAST_LOG, _LARGEST_LOG).exp(), torch.sigmoid(y)
        exp = exp.masked_fill((exp <= near) & (floor > _TINY), 0.0)
        part = part.masked_fill(part <= near, 0.0).masked_fill(part >= 1 - near, 1.0)
        x = torch.where(share, part, torch.where(positive, exp, y))
        kept = [self.decimals[i] for i in self.numbers]
        if all(each is None for each in kept):
            return x
        steps = torch.tensor([10.0 ** (each or 0) for each in kept], device=x.device)
        rounded = (x * steps).round() / steps
        rounded = torch.where(positive & (exp > 0), torch.maximum(rounded, 1 / steps), rounded)
        return torch.where(torch.tensor([each is not None for each in kept], device=x.device), rounded, x)

    def jacobian(self, y: Tensor) -> Tensor:
        """Return the logarithm of the derivative of the scale by the value, (N, A)."""
        share = nn.functional.softplus(y) + nn.functional.softplus(-y)
        zero = torch.zeros_like(y)
        return torch.where(self.of_numbers("share", y), share, torch.where(self.of_numbers("positive", y), -y, zero))

    def floors(self, samples: Tensor) -> Tensor:
        """Return the floor of each column of numbers, (A,), from samples (N, C).

        It is half the smallest positive value of a column that also holds zeros, as results below detection; and half
        the smallest distance to 0 or 1 of a share.
        """
        x = samples[:, self.numbers]
        share = self.of_numbers("share", x)
        distance = torch.where(share, torch.minimum(x, 1 - x), x)
        least = torch.where(distance > 0, distance, torch.inf).amin(0) / 2
        zeros = (x == 0).any(0)
        positive = torch.where(zeros & least.isfinite(), least, _TINY).clamp_min(_TINY)
        return torch.where(share, torch.where(least.isfinite(), least, 0.25).clamp(1e-6, 0.25), positive)


class _Block(Protocol):
    """The distribution of the columns of one block; arguments and results are (N, columns)."""

    mode: Tensor

    def log_prob(self, value: Tensor) -> Tensor: ...

    def cdf(self, value: Tensor) -> Tensor: ...

    def cdf_below(self, value: Tensor) -> Tensor: ...

    def icdf(self, value: Tensor) -> Tensor: ...


class _Numbers:
    """Normal values on each column's scale, censored where the training data pile up; see :class:`CensoredNormal`."""

    def __init__(self, decoded: Tensor, layout: TableLayout) -> None:
        loc, scale, self.low, self.high, self.floor = decoded.reshape(decoded.shape[0], 5, len(layout.numbers)).unbind(
            1
        )
        self.layout, self.normal = layout, CensoredNormal(loc, scale, self.low, self.high)
        self.mode = layout.from_scale(loc.clamp(self.low, self.high), self.floor)

    def log_prob(self, value: Tensor) -> Tensor:
        y = self._scaled(value)
        density = (y > self.low) & (y < self.high)
        return self.normal.log_prob(y) + torch.where(density, self.layout.jacobian(y), 0.0)

    def cdf(self, value: Tensor) -> Tensor:
        return self.normal.cdf(self._scaled(value))

    def cdf_below(self, value: Tensor) -> Tensor:
        y = self._scaled(value)
        below = torch.special.ndtr((y.clamp(self.low, self.high) - self.normal.loc) / self.normal.scale)
        return torch.where(y <= self.low, 0.0, below)

    def icdf(self, value: Tensor) -> Tensor:
        return self.layout.from_scale(self.normal.icdf(value), self.floor)

    def _scaled(self, value: Tensor) -> Tensor:
        """Return values on their scale; those within rounding of a limit are at it."""
        y = self.layout.to_scale(value, self.floor)
        for limit in (self.low, self.high):
            y = torch.where((y - limit).abs() <= 1e-6 * (1 + limit.abs()).clamp_max(1e6), limit, y)
        return y


class _Counts:
    """Negative binomial counts."""

    def __init__(self, decoded: Tensor, layout: TableLayout) -> None:
        log_mean, log_concentration = decoded.reshape(decoded.shape[0], 2, len(layout.counts)).unbind(1)
        self.counts = NegativeBinomial(
            log_mean.clamp(-10, _LARGEST_LOG_COUNT).exp(), log_concentration.clamp(-7, 7).exp()
        )
        self.mode = self.counts.mean.round().clamp_max(LARGEST_COUNT)
        self.log_prob, self.cdf, self.icdf = self.counts.log_prob, self.counts.cdf, self.counts.icdf

    def cdf_below(self, value: Tensor) -> Tensor:
        return self.counts.cdf(value - 1)


class _Words:
    """One of several words."""

    def __init__(self, decoded: Tensor, layout: TableLayout) -> None:
        logits = decoded.reshape(decoded.shape[0], len(layout.worded), layout.most)
        self.log_probs = logits.log_softmax(-1)
        self.mode = logits.argmax(-1).to(logits)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_probs.gather(-1, value.long().unsqueeze(-1)).squeeze(-1)

    def cdf(self, value: Tensor) -> Tensor:
        return self._up_to(value, 1)

    def cdf_below(self, value: Tensor) -> Tensor:
        return self._up_to(value, 0)

    def icdf(self, value: Tensor) -> Tensor:
        up_to = self.log_probs.exp().cumsum(-1)
        codes = (up_to[..., :-1] < value.unsqueeze(-1)).sum(-1)
        possible = (self.log_probs > _NEVER / 2).sum(-1) - 1  # rounding may leave a rest of probability
        return torch.minimum(codes, possible).to(value)

    def _up_to(self, value: Tensor, more: int) -> Tensor:
        """Return the probability of the words before that of an index, and of ``more`` of the next."""
        total = nn.functional.pad(self.log_probs.exp().cumsum(-1), (1, 0))
        index = (value.nan_to_num(0.0).floor().long() + more).clamp(0, total.shape[-1] - 1)
        return torch.where(value.isnan(), value, total.gather(-1, index.unsqueeze(-1)).squeeze(-1))


class TableDistribution(Distribution):
    """Columns that are independent given the latent, each of its own type.

    Args:
        decoded: (N, P), the output of :class:`TableOutput`.
        layout: the types of the columns.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real

    def __init__(self, decoded: Tensor, layout: TableLayout) -> None:
        self.layout = layout
        numbers, counts, words = (len(block) for block in layout.blocks)
        parts = torch.split(decoded, [5 * numbers, 2 * counts, words * layout.most], 1)
        self._blocks: tuple[_Block, ...] = (
            _Numbers(parts[0], layout),
            _Counts(parts[1], layout),
            _Words(parts[2], layout),
        )
        super().__init__(torch.Size((decoded.shape[0], len(layout.types))), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density or log-probability of each element, (N, C), in the columns' units."""
        return self._of_each("log_prob", value)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of at most a value, (N, C); words are ordered by their index."""
        return self._of_each("cdf", value)

    def cdf_below(self, value: Tensor) -> Tensor:
        """Return the probability of less than a value, (N, C)."""
        return self._of_each("cdf_below", value)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the values that are not exceeded with a probability, (N, C), each of its column's type."""
        return self._of_each("icdf", value)

    def center(self, value: Tensor) -> Tensor:
        """Return :meth:`icdf`, but of a categorical column the most probable word."""
        unordered = torch.tensor([kind == "categorical" for kind in self.layout.types], device=value.device)
        return torch.where(unordered, self.mode, self.icdf(value))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw samples with torch's default generator."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            count = math.prod(shape[: len(shape) - 2])
            draws = [self.icdf(torch.rand(self.batch_shape, device=self.mode.device)) for _ in range(count)]
            return torch.stack(draws).reshape(shape) if draws else self.mode.new_zeros(shape)

    @property
    def mode(self) -> Tensor:
        """The most probable values, (N, C), on each column's scale; of a count the mean, rounded."""
        return self.layout.join([block.mode for block in self._blocks])

    @property
    def mean(self) -> Tensor:
        """Means, (N, C), by quadrature; of words the mean index."""
        return self._quantiles().mean(0)

    @property
    def variance(self) -> Tensor:
        """Variances, (N, C), by quadrature."""
        return self._quantiles().var(0)

    def _quantiles(self, count: int = 500) -> Tensor:
        probabilities = (torch.arange(count) + 0.5) / count
        return torch.stack([self.icdf(torch.full(self.batch_shape, float(each))) for each in probabilities])

    def _of_each(self, name: str, value: Tensor) -> Tensor:
        parts = zip(self._blocks, self.layout.blocks, strict=True)
        return self.layout.join([getattr(block, name)(value[..., columns]) for block, columns in parts])


class MeanAndIndicator(nn.Module):
    """Replace missing elements of standardized samples by zero, their mean, and append which are missing.

    Args:
        hidden: share of elements that a training hides at random, so that the network learns to do without.

    Example:
        >>> MeanAndIndicator()(torch.tensor([[1.5, torch.nan]]))
        tensor([[1.5000, 0.0000, 0.0000, 1.0000]])
    """

    def __init__(self, hidden: float = 0.0) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F), where NaN is missing, to (N, 2 F)."""
        missing = x.isnan()
        if self.training and self.hidden:
            missing = missing | (torch.rand_like(x) < self.hidden)
        return torch.cat([x.masked_fill(missing, 0.0), missing.to(x)], 1)


class TableInput(Calibrated):
    """Map a table's columns to standardized numbers: logarithms, logits, and one per word of a categorical column.

    Missing elements stay NaN.

    Args:
        layout: the types of the columns.
    """

    floor: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, layout: TableLayout) -> None:
        super().__init__()
        self.layout = layout
        self.size = sum(
            size if kind == "categorical" else 1 for kind, size in zip(layout.types, layout.words, strict=True)
        )
        self.register_buffer("floor", torch.full((len(layout.numbers),), _TINY))
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))

    def measure(self, samples: Tensor) -> None:
        """Compute floors, means and deviations from training samples (N, C)."""
        self.floor.copy_(self.layout.floors(samples))
        mean, deviation = moments(self._spread(samples), [0])
        self.mean.copy_(mean[0])
        self.deviation.copy_(deviation[0])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C) to (N, :attr:`size`)."""
        return (self._spread(x) - self.mean) / self.deviation

    def _spread(self, x: Tensor) -> Tensor:
        layout = self.layout
        parts = [layout.to_scale(x[:, layout.numbers], self.floor), x[:, layout.counts].log1p()]
        parts.append(x[:, [i for i in layout.worded if layout.types[i] != "categorical"]])
        for i in layout.worded:
            if layout.types[i] == "categorical":
                codes = torch.arange(layout.words[i], device=x.device)
                hot = (x[:, i : i + 1] == codes).to(x)
                parts.append(torch.where(x[:, i : i + 1].isnan(), x[:, i : i + 1], hot))
        return torch.cat(parts, 1)


class TableOutput(Calibrated):
    """Map a network's output to the parameters that :class:`TableDistribution` takes.

    Numbers are normal on their scale with a learned deviation, counts have a learned concentration, and words logits
    that start at their frequencies; ordinal ones have adjacent-category logits (Agresti, *Analysis of Ordinal
    Categorical Data*, 2010, section 4.1).

    Args:
        layout: the types of the columns.
    """

    floor: Tensor
    mean: Tensor
    deviation: Tensor
    limits: Tensor
    logits: Tensor
    _sources: Tensor
    _weights: Tensor

    def __init__(self, layout: TableLayout) -> None:
        super().__init__()
        self.layout = layout
        numbers, counts = len(layout.numbers), len(layout.counts)
        self.size = numbers + counts + sum(self._inputs(i) for i in layout.worded)
        self.register_buffer("floor", torch.full((numbers,), _TINY))
        self.register_buffer("mean", torch.zeros(numbers + counts))
        self.register_buffer("deviation", torch.ones(numbers + counts))
        self.register_buffer("limits", torch.tensor([-torch.inf, torch.inf])[:, None].repeat(1, numbers))
        self.register_buffer("logits", self._frequencies(torch.zeros(0, len(layout.types))))
        self.scale = LearnedScale((numbers,)) if numbers else None
        self.concentration = nn.Parameter(torch.zeros(counts)) if counts else None
        sources, weights = self._words()
        self.register_buffer("_sources", sources, persistent=False)
        self.register_buffer("_weights", weights, persistent=False)

    def measure(self, samples: Tensor) -> None:
        """Compute floors, means, deviations, limits and frequencies from training samples (N, C)."""
        layout = self.layout
        self.floor.copy_(layout.floors(samples))
        numbers = layout.to_scale(samples[:, layout.numbers], self.floor)
        mean, deviation = moments(torch.cat([numbers, samples[:, layout.counts].log1p()], 1), [0])
        self.mean.copy_(mean[0])
        self.deviation.copy_(deviation[0])
        self.limits.copy_(torch.stack(find_limits(numbers, [0])))
        self.logits.copy_(self._frequencies(samples))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, :attr:`size`) to (N, P)."""
        numbers, counts, words = (len(block) for block in self.layout.blocks)
        deviation = self.deviation.expand(x.shape[0], -1)
        values = x[:, : numbers + counts] * self.deviation + self.mean
        parts = []
        if self.scale is not None:
            scaled = self.scale(torch.stack([values[:, :numbers], deviation[:, :numbers]], 1))
            constants = torch.cat([self.limits, self.floor[None]]).expand(x.shape[0], -1, -1)
            parts.append(torch.cat([scaled, constants], 1).flatten(1))
        if self.concentration is not None:
            concentration = (RATE * self.concentration).expand(x.shape[0], -1)
            parts += [values[:, numbers:], concentration]
        if words:
            raw = x[:, numbers + counts :]
            parts.append(self.logits.flatten() + raw[:, self._sources] * self._weights)
        return torch.cat(parts, 1)

    def _inputs(self, column: int) -> int:
        return self.layout.words[column] if self.layout.types[column] == "categorical" else 1

    def _words(self) -> tuple[Tensor, Tensor]:
        """Return, per logit, which of the network's outputs it takes and with which weight, (W * most,) each."""
        most, start = self.layout.most, 0
        sources = torch.zeros(len(self.layout.worded), most, dtype=torch.int64)
        weights = torch.zeros(len(self.layout.worded), most)
        for row, column in enumerate(self.layout.worded):
            size = self.layout.words[column]
            separate = self.layout.types[column] == "categorical"
            sources[row, :size] = torch.arange(start, start + size) if separate else start
            weights[row, :size] = 1.0 if separate else torch.linspace(-_SLOPE, _SLOPE, size)
            start += self._inputs(column)
        return sources.flatten(), weights.flatten()

    def _frequencies(self, samples: Tensor) -> Tensor:
        """Return the logarithm of each word's frequency, (W, most), as if each had been seen half a time more."""
        logits = torch.full((len(self.layout.worded), self.layout.most), _NEVER)
        for row, column in enumerate(self.layout.worded):
            size = self.layout.words[column]
            counts = (samples[:, column : column + 1] == torch.arange(size, device=samples.device)).sum(0) + 0.5
            logits[row, :size] = (counts / counts.sum()).log().cpu()
        return logits
