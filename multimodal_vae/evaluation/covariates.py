"""Whether latents tell a covariate, such as the site, that the model is given beside them."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from multimodal_vae.data.covariates import Covariate
from multimodal_vae.evaluation.bootstrap import Statistic, interval
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers

FOLDS = 5
"""Folds of the cross-validation, of whole patients; a word needs twice as many patients."""

COMPONENTS = 30
"""Principal components of samples from which a covariate is told, to compare with latents."""


def covariate_metrics(
    latents: Tensor, held_out: LabeledSamples, covariates: Sequence[Covariate], resamples: int = 200, seed: int = 0
) -> list[MetricResult]:
    """Return, per covariate, how well the latents of held-out samples tell it, within classes.

    For words it is the area under the ROC curve of each word against the others, averaged, whose chance level is .5;
    for numbers the share of their variance that is predicted, R², whose chance level is 0. ``real`` is the same from
    principal components of the samples themselves: with the covariate beside it, a latent need not carry what samples
    show of it. Covariates of too few patients are left out.

    Args:
        latents: posterior means of the held-out samples, (N, D).
        held_out: samples with their covariates.
        covariates: the typed covariates.
        resamples: number of bootstrap resamples over patients.
        seed: seed of all random choices.
    """
    results = []
    for column, covariate in enumerate(covariates if held_out.covariates is not None else ()):
        known = cast(Tensor, held_out.covariates)[:, column]
        rows = (~known.isnan()).nonzero()[:, 0]
        chosen, points, values = held_out.take(rows), latents[rows].double().numpy(), known[rows].numpy()
        told = tell(points, values, chosen, covariate.kind == "number", seed)
        if told is None:
            continue
        components = JointPCA(COMPONENTS, seed).fit(chosen.values).transform(chosen.values).double().numpy()
        real = tell(components, values, chosen, covariate.kind == "number", seed)
        results.append(
            MetricResult(
                f"latent/covariate {covariate.name}",
                told(torch.arange(len(chosen))),
                "lower",
                interval(told, len(chosen), chosen.groups, resamples, seed=seed),
                None if real is None else real(torch.arange(len(chosen))),
                context={"chance": 0.0 if covariate.kind == "number" else 0.5},
            )
        )
    return results


def tell(
    features: NDArray[Any], values: NDArray[Any], samples: LabeledSamples, numeric: bool, seed: int = 0
) -> Statistic | None:
    """Predict a covariate of each sample by a model trained on other patients, and return how well, within classes.

    The model averages gradient-boosted trees with discriminant analysis, or with ridge regression. Comparing within
    classes leaves out what the class tells of the covariate.

    Args:
        features: (N, F).
        values: (N,), numbers, or indices of words.
        samples: N samples with labels and groups.
        numeric: whether the values are numbers.
        seed: seed of folds and trees.

    Returns:
        A function of row numbers; None if there are too few patients.
    """
    groups, labels = group_numbers(samples.groups, len(samples)), samples.labels.numpy()
    if not numeric:
        common = [word for word in np.unique(values) if len(np.unique(groups[values == word])) >= 2 * FOLDS]
        return _told_words(features, values, groups, labels, common, seed) if len(common) > 1 else None
    if len(np.unique(groups)) < 4 * FOLDS or len(np.unique(values)) < 2:
        return None
    predicted = np.zeros(len(values))
    for rest, part in GroupKFold(FOLDS).split(features, values, groups):
        trees = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=8, random_state=seed)
        model = VotingRegressor([("trees", trees), ("ridge", make_pipeline(StandardScaler(), RidgeCV()))])
        predicted[part] = model.fit(features[rest], values[rest]).predict(features[part])

    def explained(rows: Tensor) -> float:
        y, p, of_class = values[rows].astype(float), predicted[rows].copy(), labels[rows]
        for label in np.unique(of_class):
            y[of_class == label] -= y[of_class == label].mean()
            p[of_class == label] -= p[of_class == label].mean()
        total = float(np.square(y).sum())
        return 1 - float(np.square(y - p).sum()) / total if total > 0 else float("nan")

    return explained


def _told_words(
    features: NDArray[Any],
    values: NDArray[Any],
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    words: Sequence[float],
    seed: int,
) -> Statistic:
    scores = np.zeros((len(values), len(words)))
    usable = np.isin(values, words)
    strata = [f"{value} {label}" for value, label in zip(values, labels, strict=True)]
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, part in folds.split(features, strata, groups):
        known = rest[usable[rest]]
        trees = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=seed)
        gaussians = make_pipeline(StandardScaler(), QuadraticDiscriminantAnalysis(reg_param=0.1))
        model = VotingClassifier([("trees", trees), ("gaussians", gaussians)], voting="soft")
        model.fit(features[known], values[known])
        found = [list(model.classes_).index(word) for word in words]
        scores[part] = model.predict_proba(features[part])[:, found]

    def area(rows: Tensor) -> float:
        """Return the mean area under the ROC curves, over words and classes, weighted by pairs of samples."""
        total = weight = 0.0
        for column, word in enumerate(words):
            for label in np.unique(labels[rows]):
                chosen = rows.numpy()[(labels[rows] == label) & usable[rows]]
                truth = values[chosen] == word
                pairs = float(truth.sum() * (~truth).sum())
                if pairs:
                    total += pairs * float(roc_auc_score(truth, scores[chosen, column]))
                    weight += pairs
        return total / weight if weight else float("nan")

    return area
