"""Lower bound on epsilon: how weak any guarantee of differential privacy must be, given that an attack succeeds."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers
from multimodal_vae.privacy.membership import Attack

DELTA = 1e-5
FALSE_POSITIVE_RATES = (0.0, 0.01, 0.03, 0.1, 0.3)
"""Rates at which thresholds are tried, in both directions; few, since each widens the limits of all."""


def epsilon_lower_bound(attack: Attack, delta: float = DELTA, level: float = 0.95) -> float:
    r"""Return a lower bound on :math:`\varepsilon`, given an attack; 0 if it proves nothing.

    Where the mechanism is :math:`(\varepsilon, \delta)` differentially private for a patient, an attack on it satisfies
    :math:`\text{TPR} \le e^\varepsilon\,\text{FPR} + \delta` and, as it recognizes others,
    :math:`1 - \text{FPR} \le e^\varepsilon (1 - \text{TPR}) + \delta`. So

    .. math:: \varepsilon \ge \max\left(\ln\frac{\text{TPR}_\text{low} - \delta}{\text{FPR}_\text{high}},
        \ln\frac{1 - \text{FPR}_\text{high} - \delta}{1 - \text{TPR}_\text{low}}\right)

    with the limits of Clopper and Pearson. The units are patients; a patient's score is the highest of its samples.
    Thresholds are order statistics of the others' scores (second formula: of the members'). The limit on a false
    positive rate holds for them exactly: the rate above the (x + 1)-th highest of n scores has the distribution
    Beta(x + 1, n - x), whose quantile is the limit of Clopper and Pearson for x of n. Limits are corrected for their
    number (Bonferroni), so that no half of the patients is needed to choose a threshold.

    The scores of different patients count as independent. A model that was trained once makes members' scores weakly
    dependent; see Steinke et al., *Privacy auditing with one (1) training run* (2023).

    Args:
        attack: scores and patients; a score may depend on the record, the generated samples and the model, and on no
            other patient of the attack.
        delta: probability with which the guarantee may fail.
        level: confidence level of the bound. For several attacks, correct it for their number.

    Raises:
        DataError: if delta or the level is not between 0 and 1.

    Source: Jagielski, Ullman and Oprea, *Auditing differentially private machine learning* (2020), section 3; Nasr et
        al., *Tight auditing of differentially private machine learning* (2023); exact limits: Clopper and Pearson, *The
        use of confidence or fiducial limits* (1934).

    Example:
        >>> import torch
        >>> perfect, useless = torch.ones(100), torch.zeros(100)
        >>> round(epsilon_lower_bound(Attack(perfect, useless)), 2), epsilon_lower_bound(Attack(useless, useless))
        (2.78, 0.0)
    """
    if not (0 <= delta < 1 and 0 < level < 1):
        raise DataError(f"delta is {delta} and the level {level}; both must be between 0 and 1")
    count, total = len(attack.members), len(attack.members) + len(attack.others)
    groups = attack.groups or [str(row) for row in range(total)]
    members, others = _of_patients(attack.members, groups[:count]), _of_patients(attack.others, groups[count:])
    risk = (1 - level) / (4 * len(FALSE_POSITIVE_RATES))  # two limits in two directions
    return max(0.0, _log_ratio(members, others, delta, risk), _log_ratio(-others, -members, delta, risk))


def _of_patients(scores: Tensor, groups: Sequence[str]) -> NDArray[np.float64]:
    """Return the highest score of each patient."""
    number = group_numbers(groups, len(scores))
    highest = np.full(number.max() + 1, -np.inf)
    np.maximum.at(highest, number, scores.detach().double().numpy())
    return highest


def _log_ratio(positives: NDArray[np.float64], negatives: NDArray[np.float64], delta: float, risk: float) -> float:
    from scipy.stats import beta

    n, ordered, best = len(negatives), np.sort(negatives)[::-1], -math.inf
    for allowed in {int(rate * n + 1e-9) for rate in FALSE_POSITIVE_RATES}:
        true = int((positives > ordered[allowed]).sum())
        low = float(beta.ppf(risk, true, len(positives) - true + 1)) if true else 0.0
        if low > delta:
            best = max(best, math.log((low - delta) / float(beta.ppf(1 - risk, allowed + 1, n - allowed))))
    return best
