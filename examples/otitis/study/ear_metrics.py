"""Metrics of generated ears that are specific to this example: landmarks, detail of the drum, mean tympanograms."""

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
from multimodal_vae.evaluation.sharpness import energy, reproduced_energy

LANDMARK_CLASSES = (("malleus", "NOE"), ("level", "OME"), ("vessels", "AOM"))
"""Landmarks, and the class that shows each most often."""
BANDS = (0.05, 0.1, 0.2)
"""Limits of the frequency bands, in cycles per pixel."""
DRUM, EDGE = 0.6, 0.3
"""Disc in which detail is measured, as a share of the picture, and of its soft edge; every drum fills it."""


def landmark_shares(judge: LandmarkJudge, generated: LabeledSamples, real: LabeledSamples) -> list[MetricResult]:
    """Return the share of each class's images in which a judge detects the class's landmark."""
    results = []
    detected, detected_in_real = (judge.detect(each.values["otoscopy"]) for each in (generated, real))
    for name, label in LANDMARK_CLASSES:
        index = CLASSES.index(label)
        of_generated = detected[name][generated.labels == index].double()
        of_real = detected_in_real[name][real.labels == index].double()
        bounds = interval(lambda rows, x=of_generated: float(x[rows].mean()), len(of_generated), resamples=200)
        value, reference = float(of_generated.mean()), float(of_real.mean())
        results.append(MetricResult(f"landmark/{name} in {label}", value, "real", bounds, reference))
    return results


def drum_detail(
    generated: Tensor, real: Tensor, clean: Tensor, reconstructions: Tensor | None = None
) -> list[MetricResult]:
    """Return the energy of images within the drum per band, and the share of it that reconstructions reproduce.

    Energy is relative to that of noise-free renderings.

    Args:
        generated: (N, 3, size, size).
        real: (M, 3, size, size), held-out images.
        clean: (M, 3, size, size), noise-free renderings of the same ears.
        reconstructions: (M, 3, size, size), of the held-out images.
    """
    results = []
    reference, of_generated, of_real = (energy(drum(x), BANDS) for x in (clean, generated, real))
    for index, band in enumerate(_band_names()):
        scale = float(reference[:, index].mean())
        relative = of_generated[:, index] / scale
        bounds = interval(lambda rows, x=relative: float(x[rows].mean()), len(relative), resamples=200)
        value, real_value = float(relative.mean()), float(of_real[:, index].mean()) / scale
        results.append(MetricResult(f"drum/sharpness/{band}", value, "real", bounds, real_value))
    if reconstructions is not None:
        mask = disc(clean.shape[-1], DRUM, EDGE)[None, None]
        shares, real_shares = (reproduced_energy(x, clean, BANDS, mask) for x in (reconstructions, real))
        for band, share, real_share in zip(_band_names(), shares, real_shares, strict=True):
            results.append(MetricResult(f"drum/reproduced/{band}", float(share), "higher", None, float(real_share)))
    return results


def drum(pictures: Tensor) -> Tensor:
    """Return pictures less their mean within the drum's disc, faded out beyond it."""
    mask = disc(pictures.shape[-1], DRUM, EDGE).double()
    x = pictures.double()
    return (x - (x * mask).sum((2, 3), keepdim=True) / mask.sum()) * mask


def class_mean_differences(generated: LabeledSamples, real: LabeledSamples, means: Tensor) -> list[MetricResult]:
    """Return the mean absolute difference of each class's mean tympanogram from that of a large cohort, in absorbance.

    The result's ``real`` is the difference of the held-out ears, which sampling alone causes.

    Args:
        generated: generated samples.
        real: held-out samples.
        means: (classes, 1, 64, 64), of the large cohort.
    """
    results = []
    for index, label in enumerate(CLASSES):
        value, reference = (
            float((each.values["wbt"][each.labels == index].mean(0) - means[index]).abs().mean())
            for each in (generated, real)
        )
        results.append(MetricResult(f"class mean/wbt/{label}", value, "lower", None, reference))
    return results


def ear_metrics(
    generated: LabeledSamples,
    real: LabeledSamples,
    clean: Tensor,
    judge: LandmarkJudge,
    means: Tensor,
    reconstructions: Mapping[str, Tensor] | None = None,
) -> list[MetricResult]:
    """Return all metrics of this module."""
    images = (each.values["otoscopy"] for each in (generated, real))
    return [
        *landmark_shares(judge, generated, real),
        *drum_detail(*images, clean, reconstructions["otoscopy"] if reconstructions else None),
        *class_mean_differences(generated, real, means),
    ]


def _band_names() -> list[str]:
    return [f"{low:g}-{high:g}" for low, high in pairwise(BANDS)]
