"""What the metrics compare: samples as finite numbers on common scales."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.modalities.base import Modality


def comparable(
    modalities: Mapping[str, Modality], values: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return values (N, *shape) by modality as :meth:`~multimodal_vae.Modality.features`, where a modality has its own.

    Others stay as they are, so that judges see pictures as pictures.

    Args:
        modalities: the modalities.
        values: samples by modality.
        reference: samples that give means and scales, the same for all sets that are compared.
    """
    return {
        name: x
        if type(modalities[name]).features is Modality.features
        else modalities[name].features(x, reference[name])
        for name, x in values.items()
    }


def with_gaps_of(
    samples: LabeledSamples, real: LabeledSamples, modalities: Mapping[str, Modality], seed: int
) -> LabeledSamples:
    """Return generated samples that miss what real ones of the same class miss, each those of one chosen at random.

    Otherwise complete samples would differ from real ones whose gaps are filled by means. Classes without real samples,
    and modalities without gaps, stay as they are.

    Args:
        samples: generated samples.
        real: real samples.
        modalities: the modalities.
        seed: seed of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    values = dict(samples.values)
    for name, modality in modalities.items():
        missing = real.values[name].isnan() if modality.gaps else torch.zeros(0)
        if not missing.any():
            continue
        values[name] = values[name].clone()
        for label in samples.counts():
            rows, members = (samples.labels == label).nonzero()[:, 0], (real.labels == label).nonzero()[:, 0]
            if len(members):
                chosen = members[torch.randint(len(members), (len(rows),), generator=generator)]
                values[name][rows] = values[name][rows].masked_fill(missing[chosen], torch.nan)
    return replace(samples, values=values, gaps=True)


def compared(
    samples: LabeledSamples, modalities: Mapping[str, Modality], reference: Mapping[str, Tensor]
) -> LabeledSamples:
    """Return samples whose values are :func:`comparable`."""
    return replace(samples, values=comparable(modalities, samples.values, reference), gaps=False)
