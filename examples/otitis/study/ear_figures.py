"""What is measured of generated ears alone: landmarks, detail of the drum, means of tympanograms."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor

from ears import CLASSES
from landmark_judge import LandmarkJudge
from landmarks import disc
from multimodal_vae.evaluation.bootstrap import interval
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.sharpness import energy, reproduced

WHERE = (("malleus", "NOE"), ("level", "OME"), ("vessels", "AOM"))
"""Landmarks, and the class that shows each most."""
BANDS = (0.05, 0.1, 0.2)
DRUM, EDGE = 0.6, 0.3
"""Disc in which detail is measured, as a share of the picture, and its soft edge: drums of all looks fill it."""


def landmark_shares(judge: LandmarkJudge, generated: LabeledSamples, real: LabeledSamples) -> list[MetricResult]:
    """Share of a class's images in which a judge sees a landmark, beside its share in real ones."""
    figures = []
    said, said_of_real = (judge.sees(each.values["otoscopy"]) for each in (generated, real))
    for name, label in WHERE:
        ours, theirs = (
            sees[name][each.labels == CLASSES.index(label)].double()
            for sees, each in ((said, generated), (said_of_real, real))
        )
        bounds = interval(lambda rows, ours=ours: float(ours[rows].mean()), len(ours), resamples=200)
        figures.append(
            MetricResult(f"landmark/{name} in {label}", float(ours.mean()), "real", bounds, float(theirs.mean()))
        )
    return figures


def drum_detail(
    generated: Tensor, real: Tensor, clean: Tensor, reconstructions: Tensor | None = None
) -> list[MetricResult]:
    """Energy of images within the drum over that of noise-free renderings, by band; and what reconstructions keep.

    Args:
        generated: (N, 3, size, size).
        real: (M, 3, size, size), held-out.
        clean: the same, free of noise.
        reconstructions: of them.
    """
    figures = []
    reference, ours, theirs = (energy(drum(x), BANDS) for x in (clean, generated, real))
    for index, band in enumerate(_named()):
        scale = float(reference[:, index].mean())
        own = ours[:, index] / scale
        bounds = interval(lambda rows, own=own: float(own[rows].mean()), len(own), resamples=200)
        value, of_real = float(own.mean()), float(theirs[:, index].mean()) / scale
        figures.append(MetricResult(f"drum/sharpness/{band}", value, "real", bounds, of_real))
    if reconstructions is not None:
        mask = disc(clean.shape[-1], DRUM, EDGE)[None, None]
        kept, of_real = (reproduced(x, clean, BANDS, mask) for x in (reconstructions, real))
        for index, band in enumerate(_named()):
            value = float(kept[index])
            figures.append(MetricResult(f"drum/reproduced/{band}", value, "higher", None, float(of_real[index])))
    return figures


def drum(pictures: Tensor) -> Tensor:
    """Pictures with their mean within the drum's disc taken away, faded out beyond it."""
    mask = disc(pictures.shape[-1], DRUM, EDGE).double()
    x = pictures.double()
    return (x - (x * mask).sum((2, 3), keepdim=True) / mask.sum()) * mask


def class_mean_differences(generated: LabeledSamples, real: LabeledSamples, means: Tensor) -> list[MetricResult]:
    """Mean absolute difference of each class's mean tympanogram from that of a large cohort, in absorbance.

    `real` is what as many other ears as were held out differ by, by sampling alone.

    Args:
        generated: new samples.
        real: held-out ones.
        means: (classes, 1, 64, 64), of the large cohort.
    """
    figures = []
    for index, label in enumerate(CLASSES):
        ours, theirs = (
            float((each.values["wbt"][each.labels == index].mean(0) - means[index]).abs().mean())
            for each in (generated, real)
        )
        figures.append(MetricResult(f"class mean/wbt/{label}", ours, "lower", None, theirs))
    return figures


def own_figures(
    generated: LabeledSamples,
    real: LabeledSamples,
    clean: Tensor,
    judge: LandmarkJudge,
    means: Tensor,
    reconstructions: Mapping[str, Tensor] | None = None,
) -> list[MetricResult]:
    """All figures of this file."""
    images = (each.values["otoscopy"] for each in (generated, real))
    return [
        *landmark_shares(judge, generated, real),
        *drum_detail(*images, clean, reconstructions["otoscopy"] if reconstructions else None),
        *class_mean_differences(generated, real, means),
    ]


def _named() -> list[str]:
    return [f"{low:g}-{high:g}" for low, high in pairwise(BANDS)]
