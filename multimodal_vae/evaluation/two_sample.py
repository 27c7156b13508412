"""Classifier two-sample test: whether a classifier can tell generated samples from real ones."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.samples import LabeledSamples, group_numbers

FOLDS = 5
"""Folds of the cross-validation, of whole patients."""


@dataclass(frozen=True)
class TwoSample:
    """Held-out scores of a classifier of generated against real samples.

    Attributes:
        real: (N,), probability that each real sample is generated.
        generated: (M,), the same of each generated sample.
    """

    real: Tensor
    generated: Tensor

    def auc(self, rows: Tensor | None = None) -> float:
        """Return the area under the ROC curve, for all real samples or some rows: .5 or less is chance."""
        real = self.real if rows is None else self.real[rows]
        truth = np.repeat([0, 1], [len(real), len(self.generated)])
        return float(roc_auc_score(truth, torch.cat([real, self.generated]).numpy()))


def two_sample(real: LabeledSamples, generated: LabeledSamples, components: int = 30, seed: int = 0) -> TwoSample:
    """Train gradient-boosted trees to tell generated samples from real ones, and score samples of other folds.

    Features are principal components of all modalities together, so differences in fine detail are left to
    :mod:`multimodal_vae.evaluation.sharpness`. The classifier does not see the labels.

    Args:
        real: real samples, with their groups, that the generator was not trained on.
        generated: generated samples, preferably as many per class.
        components: number of principal components.
        seed: seed of folds and trees.

    Raises:
        DataError: if one of the sets has fewer than 10 groups of samples.

    Source: Lopez-Paz and Oquab, *Revisiting classifier two-sample tests* (2017).

    Example:
        >>> draw = lambda shift: LabeledSamples({"x": torch.randn(200, 2) + shift}, torch.zeros(200, dtype=torch.int64))
        >>> two_sample(draw(0), draw(5)).auc() > 0.9
        True
    """
    groups = np.concatenate([group_numbers(each.groups, len(each)) for each in (real, generated)])
    groups[len(real) :] += len(real)
    for what, part in (("real", groups[: len(real)]), ("generated", groups[len(real) :])):
        if len(np.unique(part)) < 2 * FOLDS:
            raise DataError(f"a two-sample test needs {2 * FOLDS} patients; the {what} samples are of {len(set(part))}")
    values = {name: torch.cat([x, generated.values[name].to(x)]) for name, x in real.values.items()}
    features = JointPCA(components, seed).fit(values).transform(values).numpy()
    truth = np.repeat([0, 1], [len(real), len(generated)])
    scores = np.zeros(len(truth))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, held_out in folds.split(features, truth, groups):
        model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=seed)
        scores[held_out] = model.fit(features[rest], truth[rest]).predict_proba(features[held_out])[:, 1]
    both = torch.from_numpy(scores)
    return TwoSample(both[: len(real)], both[len(real) :])
