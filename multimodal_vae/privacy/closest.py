"""How near generated samples come to single records, against how near other patients' samples come."""

import torch
from torch import Tensor

from multimodal_vae.errors import DataError


def distance_ratio(two: Tensor) -> Tensor:
    """The distance to the nearest record over that to the second nearest, between 0 and 1; (N,).

    Near zero, a sample belongs to one record and no other; near one, to a neighborhood of records. Where both
    distances are zero, the ratio is one: two equal records are a neighborhood.

    Args:
        two: (N, 2), ascending distances.

    Source: Lowe, *Distinctive image features from scale-invariant keypoints* (2004), section 7.1; of synthetic
        samples: Zhao et al., *CTAB-GAN* (2021), section 4.3.

    Example:
        >>> distance_ratio(torch.tensor([[1.0, 4.0], [0.0, 0.0]])).tolist()
        [0.25, 1.0]
    """
    first, second = two.double().unbind(1)
    return torch.where(second > 0, first / second.where(second > 0, 1.0), 1.0)


def nearer(to_records: Tensor, to_holdout: Tensor) -> Tensor:
    """Which samples are nearer to the records than to as many held-out ones: 1, 0, or 1/2 for a tie; (N,).

    The mean is one half where nothing was learned by heart, since neither set is then any nearer.

    Args:
        to_records: (N,), distance of each sample to the nearest record.
        to_holdout: (N,), to the nearest of as many held-out samples.

    Source: Platzer and Reutterer, *Holdout-based empirical assessment of mixed-type synthetic data* (2021).

    Example:
        >>> nearer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    return (to_records < to_holdout).double() + 0.5 * (to_records == to_holdout).double()


def copies(distance: Tensor, reference: Tensor, fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    """Which samples are exact copies of a record, and which are near ones; (N,) of bool each.

    A near copy is nearer to a record than a tenth of what is usual between patients. In few dimensions that happens
    by chance as well: put the share of held-out samples beside it.

    Args:
        distance: (N,), of each sample to the nearest record.
        reference: (M,), of held-out samples to the nearest record.
        fraction: of their median, below which a sample counts as a near copy.

    Raises:
        DataError: if there is no reference.

    Example:
        >>> exact, near = copies(torch.tensor([0.0, 0.05, 1.0]), torch.ones(3))
        >>> exact.tolist(), near.tolist()
        ([True, False, False], [True, True, False])
    """
    if not len(reference):
        raise DataError("without held-out samples there is no telling which distance is a small one")
    exact = distance == 0
    return exact, exact | (distance < fraction * reference.median())


def quantile(x: Tensor, share: float) -> float:
    """A quantile of finite values, as a number."""
    return float(torch.quantile(x.double(), share))
