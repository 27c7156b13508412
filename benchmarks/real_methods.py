"""What the benchmark in docs/benchmark.md compares, but for MultiVae: real samples, a baseline and the package."""

import contextlib
import sys
import time
from collections.abc import Mapping

import torch
from real_measures import Fitted
from real_sets import Real
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.evaluation.baseline import GaussianBaseline
from multimodal_vae.evaluation.pixels import PixelClassifier
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.translation import ridge_translation


def real_samples(real: Real, _: int) -> Fitted:
    """Return the training samples in place of new ones."""
    return Fitted(sample=lambda *_: real.train)


def baseline(real: Real, seed: int) -> Fitted:
    """Fit a Gaussian per class in the space of principal components, ridge regression and discriminant analysis."""
    started = time.process_time()
    gaussians = GaussianBaseline(seed=seed).fit(real.train)
    seconds = time.process_time() - started

    def translate(given: Mapping[str, Tensor], to: str) -> Tensor:
        blank = torch.zeros(len(next(iter(given.values()))), *real.train.values[to].shape[1:])
        samples = LabeledSamples({**given, to: blank}, torch.zeros(len(blank), dtype=torch.int64))
        return ridge_translation(real.train, samples, to)

    def classify(given: Mapping[str, Tensor]) -> Tensor:
        known = {name: real.train.values[name] for name in given}
        return PixelClassifier(seed=seed).fit(known, real.train.labels).predict(given)

    return Fitted(gaussians.sample, translate, classify, seconds)


def ours(real: Real, seed: int) -> Fitted:
    """Train the package's model without any setting."""
    labels = real.train.labels.tolist()
    data = mv.MultimodalDataset.from_tensors(real.train.values, labels, real.modalities, patients=real.train.groups)
    torch.manual_seed(seed)
    started = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        vae = mv.MultimodalVAE(real.modalities, data.classes)
        mv.fit(vae, data)
        synthesizer = mv.Synthesizer(vae).fit(data)
    seconds = time.process_time() - started

    def sample(counts: Mapping[int, int], seed: int) -> LabeledSamples:
        drawn = [synthesizer.sample(label, count, seed=seed + label) for label, count in counts.items()]
        values = {name: torch.cat([each[name] for each in drawn]) for name in real.modalities}
        return LabeledSamples(
            values, torch.repeat_interleave(*map(torch.tensor, (list(counts), list(counts.values()))))
        )

    def classify(given: Mapping[str, Tensor]) -> Tensor:
        return synthesizer.classify(given, prior="uniform").argmax(1)

    notes = {"fusion": vae.fusion.name, "sampler": synthesizer.sampler.configuration}
    try:
        vae.translate(dict(list(real.test.values.items())[1:]), next(iter(real.modalities)))
    except mv.MultimodalVAEError as error:
        return Fitted(sample, seconds=seconds, notes={**notes, "refused": str(error)})
    return Fitted(sample, vae.translate, classify, seconds, notes)
