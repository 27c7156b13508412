"""What a page that teaches shows after an answer: typical samples of classes, and similar samples; all synthetic."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.distances import nearest
from multimodal_vae.evaluation.features import comparable
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.modalities.base import Modality
from multimodal_vae.study.items import Items, generate
from multimodal_vae.synthesis.synthesizer import Synthesizer

PER_CLASS = 60
"""Generated samples per class, of which the means and the similar samples are taken."""
SIMILAR = 3
_APART = 1 << 31
"""Added to the seed, so that the samples are not those of the items."""


@dataclass(frozen=True)
class Lesson:
    """What is taught.

    Attributes:
        pool: generated samples that are not among the items.
        labels: the classes, as class indices.
        means: of each class, the mean of each modality in the pool; the median where entries may be missing.
        like: of each class, the place among the classes of the one whose mean is nearest.
        similar: of each item, the rows in the pool of the samples nearest to it, nearest first.
    """

    pool: LabeledSamples
    labels: list[int]
    means: list[dict[str, Tensor]]
    like: list[int]
    similar: list[list[int]]


def prepare_lesson(synthesizer: Synthesizer, items: Items, seed: int) -> Lesson:
    """Generate samples, average them by class, and find those nearest to each item.

    Distances are Euclidean between joint principal components, in which each modality has the same total variance.

    Args:
        synthesizer: model and densities.
        items: the items.
        seed: seed of the study.
    """
    modalities = synthesizer.vae.modalities
    labels = [*items.samples.counts()]
    pool = generate(synthesizer, dict.fromkeys(labels, PER_CLASS), _APART + seed)
    components = JointPCA(seed=0).fit(comparable(modalities, pool.values, pool.values))

    def scores(values: Mapping[str, Tensor]) -> Tensor:
        return components.transform(comparable(modalities, values, pool.values))

    places = scores(pool.values)
    centers = torch.stack([places[pool.labels == label].mean(0) for label in labels])
    like = nearest(centers, centers, itself=True)[1][:, 0].tolist() if len(labels) > 1 else [0]
    _, similar = nearest(scores(items.samples.values), places, SIMILAR)
    means = [
        {name: _typical(modalities[name], x[pool.labels == label]) for name, x in pool.values.items()}
        for label in labels
    ]
    return Lesson(pool, labels, means, like, similar.tolist())


def _typical(modality: Modality, samples: Tensor) -> Tensor:
    return samples.nanmedian(0).values if modality.gaps else samples.mean(0)
