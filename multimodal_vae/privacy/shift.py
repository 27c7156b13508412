"""The blind attack: whether members and holdout differ regardless of the generator."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from multimodal_vae.bounds import require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers
from multimodal_vae.privacy.membership import Attack

_FOLDS = 5


def blind_attack(members: Tensor, others: Tensor, groups: Sequence[str], seed: int = 0) -> Attack:
    """Score records by a classifier of members against holdout that sees neither model nor generated samples.

    An area under the curve above one half means that the holdout is from another population and all attacks are
    overestimated. The classifier is a logistic regression on features, cross-validated by patient.

    Args:
        members: (N, D), features of the members.
        others: (M, D), features of the holdout.
        groups: (N + M,), patient of each record, members first.
        seed: seed of the folds.

    Raises:
        DataError: if either set has fewer patients than there are folds.

    Source: Das, Zhang and Tramèr, *Blind baselines beat membership inference attacks for foundation models* (2024).
    """
    fewest = min(len(set(groups[: len(members)])), len(set(groups[len(members) :])))
    if fewest < _FOLDS:
        raise DataError(f"a blind attack needs {_FOLDS} patients among members and among others; one has {fewest}")
    x = torch.cat([members, others]).detach().double().numpy()
    member = np.arange(len(x)) < len(members)
    scores = torch.from_numpy(
        cross_val_predict(
            make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
            x,
            member,
            groups=group_numbers(groups, len(x)),
            cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=require_seed(seed)),
            method="decision_function",
        )
    )
    return Attack(scores[: len(members)], scores[len(members) :], groups)
