"""Distances of generated samples to single records, compared with those of other patients' samples."""

import torch
from torch import Tensor

from multimodal_vae.errors import DataError


def distance_ratio(distances: Tensor) -> Tensor:
    """Return the distance to the nearest record over that to the second nearest, (N,); 0 to 1.

    Near zero, a sample resembles a single record; near one, several records. If both distances are zero, the ratio is
    one: two equal records are several.

    Args:
        distances: (N, 2), ascending.

    Source: Lowe, *Distinctive image features from scale-invariant keypoints* (2004), section 7.1; for synthetic
        samples: Zhao et al., *CTAB-GAN* (2021), section 4.3.

    Example:
        >>> distance_ratio(torch.tensor([[1.0, 4.0], [0.0, 0.0]])).tolist()
        [0.25, 1.0]
    """
    first, second = distances.double().unbind(1)
    return torch.where(second > 0, first / second.where(second > 0, 1.0), 1.0)


def nearer(to_records: Tensor, to_holdout: Tensor) -> Tensor:
    """Return which samples are nearer to the records than to the holdout: 1, 0, or 1/2 for a tie; (N,).

    The mean is one half without memorization, since neither set is then nearer.

    Args:
        to_records: (N,), distance of each sample to the nearest record.
        to_holdout: (N,), distance to the nearest of equally many held-out samples.

    Source: Platzer and Reutterer, *Holdout-based empirical assessment of mixed-type synthetic data* (2021).

    Example:
        >>> nearer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    return (to_records < to_holdout).double() + 0.5 * (to_records == to_holdout).double()


def copies(distance: Tensor, reference: Tensor, fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    """Return which samples are exact copies and which are near copies of a record; (N,) of bool each.

    A near copy is closer to a record than a tenth of the usual distance between patients. In few dimensions this
    occurs by chance as well; compare with the share of held-out samples.

    Args:
        distance: (N,), distance of each sample to the nearest record.
        reference: (M,), distance of held-out samples to the nearest record.
        fraction: fraction of the median reference distance below which a sample is a near copy.

    Raises:
        DataError: if there are no reference distances.

    Example:
        >>> exact, near = copies(torch.tensor([0.0, 0.05, 1.0]), torch.ones(3))
        >>> exact.tolist(), near.tolist()
        ([True, False, False], [True, True, False])
    """
    if not len(reference):
        raise DataError("near copies need held-out samples as a reference; none were given")
    exact = distance == 0
    return exact, exact | (distance < fraction * reference.median())


def quantile(x: Tensor, share: float) -> float:
    """Return a quantile of finite values."""
    return float(torch.quantile(x.double(), share))
