"""Drawing latents from any density, with a temperature and without the least likely draws."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import checked, require_whole
from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.scopes import seeded


@checked
def draw(density: Distribution, count: int, temperature: float = 1.0, min_quantile: float = 0.0) -> Tensor:
    r"""Draw latents, (count, D), with torch's default generator.

    Draws whose log density is below the threshold *t* of :func:`log_density_quantile` are rejected; the others are
    scaled about the density's mean *m*:

    .. math:: z = m + T (z' - m), \quad z' \sim p(z') \text{ given } \log p(z') \ge t

    Rejection comes first, so that a share of about :math:`1 - q` is kept at any temperature. The covariance is
    :math:`T^2` times that at temperature 1.

    Args:
        density: distribution of vectors (D,).
        count: number of latents.
        temperature: *T*; 0 returns the mean, 1 leaves the draws unscaled.
        min_quantile: *q*, the share of least likely draws to reject.

    Raises:
        ConfigurationError: if a setting is out of range.
        SamplerError: if the quantile of the log density is not finite or rejects nearly all draws.

    Example:
        >>> from multimodal_vae import KDE
        >>> density = KDE(bandwidth=1.0).fit(torch.tensor([[0.0], [4.0]]))()
        >>> draw(density, 2, temperature=0.0)
        tensor([[2.],
                [2.]])
    """
    require_whole("count", count, 0)
    require_in_range(temperature, min_quantile)
    require_memory(4 * density.event_shape.numel() * count, f"{count} latents are too many at once")
    latents = _draw_likely(density, count, min_quantile) if min_quantile > 0 else density.sample((count,))
    if temperature == 1:  # scaling would change the last bits
        return latents
    mean = _mean(density)
    return mean + temperature * (latents - mean)


@checked
def require_in_range(temperature: float, min_quantile: float) -> None:
    """Check the settings of :func:`draw`.

    Raises:
        ConfigurationError: naming the setting and its range.
    """
    if not 0 <= temperature < math.inf:
        raise ConfigurationError(f"temperature is {temperature:g}; give a finite number of at least 0")
    if not 0 <= min_quantile < 1:
        raise ConfigurationError(f"min_quantile is {min_quantile:g}; give at least 0 and less than 1")


def log_density_quantile(density: Distribution, quantile: float) -> float:
    """Return a quantile of the log density of a density's draws, in nats.

    It is estimated from 10,000 draws with a fixed seed, so that all processes agree; the share of draws below it has a
    standard error of sqrt(q (1 - q)) / 100, at most 0.005.

    Raises:
        SamplerError: if it is not finite.
    """
    with seeded(0):
        draws = density.sample((_DRAWS,))
    threshold = float(density.log_prob(draws).double().quantile(quantile))
    if not math.isfinite(threshold):
        raise SamplerError(f"the quantile {quantile:g} of the log density is {threshold}; set min_quantile to 0")
    return threshold


_DRAWS = 10_000
_MAX_BATCH = 2**16  # draws whose log density is computed at once


def _draw_likely(density: Distribution, count: int, quantile: float) -> Tensor:
    """Return draws whose log density is at least a quantile, (count, D)."""
    threshold = log_density_quantile(density, quantile)
    accepted, missing, tried = [density.sample((0,))], count, 0
    while missing:
        draws = density.sample((min(_MAX_BATCH, math.ceil(missing / (1 - quantile)) + 16),))
        likely = draws[density.log_prob(draws) >= threshold][:missing]
        missing, tried = missing - len(likely), tried + len(draws)
        accepted.append(likely)
        # A share of 1 - q is expected; a hundredth of that is no accident.
        if tried > _DRAWS and count - missing < tried * (1 - quantile) / 100 - 1:
            raise SamplerError(
                f"only {count - missing} of {tried} draws are above the quantile {quantile:g} of the log density; "
                "lower min_quantile"
            )
    return torch.cat(accepted)


def _mean(density: Distribution) -> Tensor:
    """Return the mean, (D,); estimated from 10,000 draws with a fixed seed if the density does not define it."""
    try:
        return density.mean
    except NotImplementedError:
        with seeded(0):
            return density.sample((_DRAWS,)).mean(0)
