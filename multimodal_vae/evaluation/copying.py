"""Distance of generated samples to the training records: whether a generator copies."""

from torch import Tensor

from multimodal_vae.distances import nearest
from multimodal_vae.errors import DataError


def closest_record(x: Tensor, records: Tensor) -> Tensor:
    """Return the distance of each sample to its nearest training record, zero for a copy.

    Compare with real samples of other patients: a much lower median means that the generator memorizes records or
    generates samples more typical than real ones. The lowest distances show single copies; the median does not.

    Args:
        x: (N, D), features of generated or held-out samples.
        records: (M, D), features of the training samples.

    Returns:
        (N,).

    Raises:
        DataError: if there are no records.

    Example:
        >>> import torch
        >>> records = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
        >>> closest_record(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), records)
        tensor([0., 1.], dtype=torch.float64)
    """
    if not len(records):
        raise DataError("there are no training records to compare with")
    return nearest(x, records)[0][:, 0]
