"""What a tuning maximizes: measures of a run on patients that it was not trained on."""

from collections.abc import Callable
from functools import partial
from statistics import fmean

import torch

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.evaluation.features import compared, with_gaps_of
from multimodal_vae.evaluation.result import Number
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.two_sample import two_sample
from multimodal_vae.evaluation.utility import utility
from multimodal_vae.likelihood.importance import likelihood_metrics
from multimodal_vae.progress import track
from multimodal_vae.report.run_evaluation import evaluable_samples, labeled_samples
from multimodal_vae.run import Run

Measures = dict[str, Number]
"""A run's measures by name; ``score`` is what is maximized."""

DRAWS = 3
"""Sets of generated samples that are judged, so that their chance matters less."""


def generation(run: Run, train: MultimodalDataset, held_out: MultimodalDataset, seed: int) -> Measures:
    """Rate generated samples: by what a classifier learns from them, and by how hard they are to tell from real ones.

    The score is the balanced accuracy of a classifier that is trained on generated samples and applied to held-out
    ones (TSTR), minus ``2 * |AUC - 0.5|`` of a classifier that tells the two apart (C2ST). Both are means of
    :data:`DRAWS` sets of generated samples; a perfect generator reaches the accuracy of real training samples.
    """
    train, held_out, _ = evaluable_samples(train, held_out)
    known, unseen, modalities = labeled_samples(train), labeled_samples(held_out), run.model.modalities
    compare = partial(compared, modalities=modalities, reference=known.values)
    synthesizer, classes = run.synthesizer(), run.model.classes

    def generate(real: LabeledSamples, first: int) -> LabeledSamples:
        """Return as many generated samples per class as there are real ones, with their gaps."""
        counts = real.counts()
        parts = [synthesizer.sample(classes[c], n, seed=first + c) for c, n in counts.items()]
        values = {name: torch.cat([part[name] for part in parts]) for name in modalities}
        labels = torch.cat([torch.full((n,), c) for c, n in counts.items()])
        return compare(with_gaps_of(LabeledSamples(values, labels), real, modalities, seed))

    accuracies, aucs = [], []
    for draw in track(range(DRAWS), "rating"):
        first = seed + 2 * draw * len(classes)
        learned = utility(compare(known), generate(known, first), compare(unseen), seed=seed, trained_on=["synthetic"])
        accuracies.append(learned.accuracy("synthetic"))
        aucs.append(two_sample(compare(unseen), generate(unseen, first + len(classes)), seed=seed).auc())
    tstr, c2st = fmean(accuracies), fmean(aucs)
    return {"score": tstr - 2 * abs(c2st - 0.5), "tstr": tstr, "c2st": c2st}


def likelihood(run: Run, train: MultimodalDataset, held_out: MultimodalDataset, seed: int) -> Measures:
    """Rate the model by the mean log-likelihood of held-out samples, all modalities together, in nats per sample."""
    del train
    complete = (held_out.labels >= 0) & held_out.present.all(1)
    samples = labeled_samples(held_out.subset(complete.nonzero()[:, 0].tolist()))
    found = {each.name: each.value for each in likelihood_metrics(run.model, samples, resamples=2, seed=seed)}
    names = list(run.model.modalities)
    name = "likelihood/joint" if len(names) > 1 else f"likelihood/{names[0]}"
    if name not in found:
        raise ConfigurationError('not every modality has a likelihood; choose the objective "generation"')
    return {"score": found[name]}


OBJECTIVES: dict[str, Callable[[Run, MultimodalDataset, MultimodalDataset, int], Measures]] = {
    "generation": generation,
    "likelihood": likelihood,
}
