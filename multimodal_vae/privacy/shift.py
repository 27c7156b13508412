"""Whether members and holdout differ before any generator comes in: then every attack is flattered."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers
from multimodal_vae.privacy.membership import Attack

_FOLDS = 5


def blind(members: Tensor, others: Tensor, groups: Sequence[str], seed: int = 0) -> Attack:
    """An attack by somebody who has seen neither model nor generated samples.

    It should have one half; if it has more, the holdout is of another kind. Logistic regression on features, with each
    patient scored by a model that has not met them.

    Args:
        members: (N, D), features of records that were learned from.
        others: (M, D), of the holdout.
        groups: (N + M,), whose each is, members first.
        seed: of the folds.

    Raises:
        DataError: if there are fewer patients of a kind than folds.

    Source: Das, Zhang and Tramèr, *Blind baselines beat membership inference attacks for foundation models* (2024).
    """
    fewest = min(len(set(groups[: len(members)])), len(set(groups[len(members) :])))
    if fewest < _FOLDS:
        raise DataError(f"{fewest} patients are too few to learn how members and holdout differ; {_FOLDS} are needed")
    x = torch.cat([members, others]).detach().double().numpy()
    member = np.arange(len(x)) < len(members)
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
        x,
        member,
        groups=group_numbers(groups, len(x)),
        cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed),
        method="decision_function",
    )
    found = torch.from_numpy(scores)
    return Attack(found[: len(members)], found[len(members) :], groups)
