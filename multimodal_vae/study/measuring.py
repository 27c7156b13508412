"""Accuracy, area under the curve and agreement of the readers of a study, with intervals over readers and items."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.bounds import require_seed
from multimodal_vae.study.answers import Answers
from multimodal_vae.study.key import SOURCES, SYNTHETIC, Study
from multimodal_vae.study.result import ALL, Score
from multimodal_vae.study.statistics import (
    Array,
    area,
    bounds,
    fleiss_kappa,
    item_weights,
    mean_over_readers,
    reader_weights,
    weighted_mean,
)

Bools = NDArray[np.bool_]


def measure_answers(study: Study, answers: Answers, seed: int = 0, resamples: int = 2000) -> list[Score]:
    """Return the scores of all readers and of each, over all items, by class, and by source if there are both.

    Accuracy is the share of right answers. The area under the curve (AUC) ranks items by the signed confidence, 5 to 1
    if the answer is the option in question and -1 to -5 if it is another one: how well it tells synthetic items from
    real ones or, in a diagnosis, each class from the others, as the mean over the classes. Kappa is Fleiss'.

    Intervals are percentiles of the two-way bootstrap, which resamples readers and, within source and class, items; one
    reader's interval resamples items only, as that of kappa does, since a reader drawn twice agrees with itself.

    Args:
        study: the study and its key.
        answers: the answers of its readers.
        seed: seed of the resamples.
        resamples: number of resamples.

    Source: Beiden, Wagner and Campbell, *Components-of-variance models and multiple-bootstrap experiments: an
        alternative method for random-effects, receiver operating characteristic analysis* (2000); Owen, *The pigeonhole
        bootstrap* (2007).
    """
    rng = np.random.default_rng(require_seed(seed))
    strata = [f"{source} {label}" for source, label in zip(study.sources, study.labels, strict=True)]
    items = item_weights(strata, 1 + resamples, rng)
    readers = reader_weights(len(answers.readers), 1 + resamples, rng)
    truth, options = np.array(study.truth), study.options
    right = answers.choices == np.array([options.index(each) for each in study.truth])
    positives = [SYNTHETIC] if study.record["kind"] == "turing" else options

    def accuracy(reader: int, weights: Array) -> Array:
        return weighted_mean(right[reader], weights)

    def auc_of(chosen: Sequence[str]) -> Callable[[int, Array], Array]:
        def auc(reader: int, weights: Array) -> Array:
            areas = [area(answers.scores(options.index(each))[reader], truth == each, weights) for each in chosen]
            return np.asarray(np.mean(areas, axis=0))

        return auc

    scores = list[Score]()

    def add(
        metric: str, function: Callable[[int, Array], Array], chance: float, by: str, group: str, of: Bools
    ) -> None:
        used = answers.answered & of
        values = np.stack([function(row, items * mask) for row, mask in enumerate(used)], 1)
        means = mean_over_readers(values, readers)
        rows = [(ALL, means, int(used.sum()))]
        rows += [(name, values[:, row], int(used[row].sum())) for row, name in enumerate(answers.readers)]
        for name, resampled, count in rows:
            scores.append(Score(metric, name, by, group, float(resampled[0]), bounds(resampled), count, chance))

    for by, group, of in _groups(study):
        add("accuracy", accuracy, 1 / len(options), by, group, of)
        if by == "class" and positives == options:
            add("auc", auc_of([group]), 0.5, by, group, np.ones_like(of))
        elif by != "source" or positives == options:
            add("auc", auc_of(positives), 0.5, by, group, of)
    if len(answers.readers) > 1:
        kappas = fleiss_kappa(answers.choices, len(options), items)
        count = int(answers.answered.sum())
        scores.append(Score("kappa", ALL, "", "", float(kappas[0]), bounds(kappas), count, 0.0))
    return scores


def _groups(study: Study) -> Iterator[tuple[str, str, Bools]]:
    """Yield what the items are grouped by, the group and its items, (N,); first all items."""
    sources, labels = np.array(study.sources), np.array(study.labels)
    yield "", "", np.ones(len(labels), bool)
    for name in SOURCES if len({*study.sources}) > 1 else ():
        yield "source", name, sources == name
    for name in study.record["classes"]:
        yield "class", name, labels == name
