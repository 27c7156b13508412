"""How near samples come to the records that a generator learned from: whether it hands them out again."""

import torch
from torch import Tensor

from multimodal_vae.errors import DataError

_BLOCK = 1024


def closest_record(x: Tensor, records: Tensor) -> Tensor:
    """The distance of each sample to the training record nearest to it: zero for a copy.

    Compare with what real samples of other patients have: a generator whose median is well below has learned records by
    heart, or draws what is more typical than any real sample. A median says nothing of single copies, which show in the
    lowest distances.

    Args:
        x: (N, D), features of generated samples, or of held-out ones.
        records: (M, D), of the training samples.

    Returns:
        (N,).

    Raises:
        DataError: if there are no records.

    Example:
        >>> records = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
        >>> closest_record(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), records)
        tensor([0., 1.], dtype=torch.float64)
    """
    if not len(records):
        raise DataError("there are no training records to be near to")
    x, records = x.detach().double(), records.detach().double()
    # By differences: products would give a copy a distance.
    parts = [
        torch.cdist(part, records, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
        for part in torch.split(x, _BLOCK)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0)
