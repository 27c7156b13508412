"""How latents are drawn from a density, whatever sampler it is of: how far from its mean, and how unlikely."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.scopes import seeded


def draw(density: Distribution, count: int, temperature: float = 1.0, min_quantile: float = 0.0) -> Tensor:
    r"""Draw latents, (count, D), with torch's default generator.

    Of the draws, those whose log density lies below the threshold *t* of :func:`log_density_quantile` are rejected;
    what is kept is scaled about the density's mean *m*:

    .. math:: z = m + T (z' - m), \quad z' \sim p(z') \text{ given } \log p(z') \ge t

    Rejection comes first, so that about :math:`1 - q` of the draws are kept at any temperature. The covariance is
    :math:`T^2` times that at temperature 1.

    Args:
        density: over vectors (D,).
        count: how many.
        temperature: *T*; 0 gives the mean, 1 leaves the draws as they are.
        min_quantile: *q*, the share of the density's least likely draws that is left out.

    Raises:
        ConfigurationError: if a setting is out of range.
        SamplerError: if there is no telling which draws are likely.

    Example:
        >>> from multimodal_vae import KDE
        >>> density = KDE(bandwidth=1.0).fit(torch.tensor([[0.0], [4.0]]))()
        >>> draw(density, 2, temperature=0.0)
        tensor([[2.],
                [2.]])
    """
    require_in_range(temperature, min_quantile)
    latents = _likely(density, count, min_quantile) if min_quantile > 0 else density.sample((count,))
    if temperature == 1:  # not a bit is to change
        return latents
    mean = _mean(density)
    return mean + temperature * (latents - mean)


def require_in_range(temperature: float, min_quantile: float) -> None:
    """Refuse settings of :func:`draw` that mean nothing.

    Raises:
        ConfigurationError: naming the setting and its range.
    """
    if not 0 <= temperature < math.inf:
        raise ConfigurationError(f"the temperature is {temperature:g}; it must be a finite number from 0 on")
    if not 0 <= min_quantile < 1:
        raise ConfigurationError(
            f"min_quantile is {min_quantile:g}; it must be from 0, which keeps every draw, to less than 1"
        )


def log_density_quantile(density: Distribution, quantile: float) -> float:
    """The log density, in nats, below which a share of a density's draws lies.

    Estimated from 10,000 draws of a seed of its own, so that it is the same in every process: the share that is really
    below has the standard error sqrt(q (1 - q)) / 100, at most half a hundredth.

    Raises:
        SamplerError: if it is no number.
    """
    with seeded(0):
        drawn = density.sample((_DRAWS,))
    threshold = float(density.log_prob(drawn).double().quantile(quantile))
    if not math.isfinite(threshold):
        raise SamplerError(f"the log density of draws has the quantile {threshold}; set min_quantile to 0")
    return threshold


_DRAWS = 10_000
_AT_ONCE = 2**16  # draws that are judged at once


def _likely(density: Distribution, count: int, quantile: float) -> Tensor:
    """Draws that are no less likely than a quantile, (count, D)."""
    threshold = log_density_quantile(density, quantile)
    kept, found, tried = [density.sample((0,))], 0, 0
    while found < count:
        drawn = density.sample((min(_AT_ONCE, math.ceil((count - found) / (1 - quantile)) + 16),))
        likely = drawn[density.log_prob(drawn) >= threshold][: count - found]
        found, tried = found + len(likely), tried + len(drawn)
        kept.append(likely)
        # A share of 1 - q is expected; what is a hundred times rarer is no chance.
        if tried > _DRAWS and found < tried * (1 - quantile) / 100 - 1:
            raise SamplerError(
                f"of {tried} draws only {found} are above the quantile {quantile:g} of the log density; set a smaller "
                "min_quantile"
            )
    return torch.cat(kept)


def _mean(density: Distribution) -> Tensor:
    """The mean, (D,); where a density does not know it, that of 10,000 draws of a seed of its own."""
    try:
        return density.mean
    except NotImplementedError:
        with seeded(0):
            return density.sample((_DRAWS,)).mean(0)
