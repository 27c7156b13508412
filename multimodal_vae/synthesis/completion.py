"""Missing entries of tables, filled from the rest of their samples, with intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multimodal_vae.checks import checked, require_whole
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import evaluating, seeded

_ROWS = 32
"""Number of samples that are decoded at once, each with all its draws."""

DRAWS = 100
"""Number of draws behind an interval."""

LEVEL = 0.9
"""Probability of an interval: from the 5 % to the 95 % quantile."""


class Completion(NamedTuple):
    """Samples of one modality, (N, *shape), with nothing missing.

    Attributes:
        samples: the samples; elements that were missing are the middle of what they may be.
        low: lower bound of the interval of each element; the element itself if it was known.
        high: upper bound.
        drawn: one draw of each sample, with the noise that real samples have.
    """

    samples: Tensor
    low: Tensor
    high: Tensor
    drawn: Tensor


@checked
def complete(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    names: Sequence[str] | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Completion]:
    """Fill missing elements, such as empty cells of a table, from all known ones of their sample.

    The interval holds the true value with the given probability if the model is right: it is that of draws from the
    posterior and of the noise, given the known elements (see :class:`~multimodal_vae.dependence.NoiseDependence`).

    Args:
        vae: trained model.
        data: samples with missing elements; absent samples are generated as a whole.
        names: modalities to fill. Default: those that accept missing elements.
        draws: number of draws behind an interval.
        level: probability of an interval.
        seed: seed of the draws.

    Raises:
        ConfigurationError: if ``draws`` or ``level`` is out of range, or a modality is unknown.
        DataError: if the data does not fit the model.

    Example:
        >>> from multimodal_vae import Table
        >>> table = Table(columns={"age": "count", "hb": "real"}, hidden=8)
        >>> rows = {"blood": [[60, float("nan")], [51, 13.5]]}
        >>> data = MultimodalDataset.from_tensors(rows, ["a", "b"], {"blood": table})
        >>> filled = complete(MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0), data)
        >>> filled["blood"].samples.isnan().any().item(), filled["blood"].low[1].tolist()
        (False, [51.0, 13.5])
    """
    require_whole("draws", draws, 1)
    if not 0 < level < 1:
        raise ConfigurationError(f"level is {level}; give a probability between 0 and 1, such as 0.9")
    wanted = [name for name, part in vae.modalities.items() if part.gaps] if names is None else list(names)
    unknown = [name for name in wanted if name not in vae.modalities]
    if unknown:
        raise ConfigurationError(f"there is no modality {unknown[0]!r} to complete; there are {list(vae.modalities)}")
    posterior = vae.encode(data)
    parts: dict[str, list[Completion]] = {name: [] for name in wanted}
    with seeded(seed), evaluating(vae):
        for rows in torch.split(torch.arange(len(data)), _ROWS):
            means = posterior.mean[rows]
            latents = type(posterior)(means, posterior.logvar[rows]).sample(draws)
            for name in wanted:
                column = list(vae.modalities).index(name)
                samples = data.samples.columns[name][rows]
                samples[~data.present[rows, column]] = torch.nan
                given = data.covariates[rows].to(vae.device)
                parts[name].append(_fill(vae, name, column, samples, means, latents, level, given))
    return {name: Completion(*map(torch.cat, zip(*chunks, strict=True))) for name, chunks in parts.items() if chunks}


def _fill(
    vae: MultimodalVAE,
    name: str,
    column: int,
    samples: Tensor,
    means: Tensor,
    latents: Tensor,
    level: float,
    covariates: Tensor,
) -> Completion:
    """Fill samples (n, *shape) of one modality, given means (n, D) and draws (n, draws, D) of their latents."""
    modality, dependence = vae.modalities[name], vae.dependences[column]
    if not isinstance(dependence, NoiseDependence):
        dependence = NoiseDependence(modality)  # independent noise, or none
    count = latents.shape[1]
    many_known, many_given = (x.repeat_interleave(count, 0) for x in (samples, covariates))
    middle, many = (
        dependence.complete(modality, vae.decode(z.to(vae.device), [name], given)[name].cpu(), known, drawn)
        for z, known, given, drawn in (
            (means, samples, covariates, False),
            (latents.flatten(0, 1), many_known, many_given, True),
        )
    )
    drawn = many.reshape(*latents.shape[:2], *samples.shape[1:])
    ordered = drawn.sort(1).values
    last = latents.shape[1] - 1
    low, high = (ordered[:, round(last * share)] for share in ((1 - level) / 2, (1 + level) / 2))
    return Completion(middle, low, high, drawn[:, 0])
