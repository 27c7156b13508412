"""Nearest-neighbor adversarial accuracy: whether neighbors distinguish real from generated samples."""

from dataclasses import dataclass

from torch import Tensor

from multimodal_vae.distances import nearest
from multimodal_vae.errors import DataError


@dataclass(frozen=True)
class Adversarial:
    """Nearest neighbors of each sample.

    Attributes:
        real: (N,), whether a real sample's nearest neighbor is real.
        synthetic: (N,), whether a generated sample's nearest neighbor is generated.
    """

    real: Tensor
    synthetic: Tensor

    def accuracy(self) -> float:
        """Return the accuracy: one half if the sets are indistinguishable, zero for copies, one for distant sets."""
        return 0.5 * float(self.real.double().mean() + self.synthetic.double().mean())


def adversarial(real: Tensor, synthetic: Tensor) -> Adversarial:
    r"""Compare two sets of equal size by their nearest neighbors.

    :math:`AA_{TS} = \frac12\bigl(\frac1n\sum_i [d_{TS}(i) > d_{TT}(i)] + \frac1n\sum_i [d_{ST}(i) > d_{SS}(i)]\bigr)`,
    where a sample is not its own neighbor. The accuracy against held-out samples minus that against training records
    is the *privacy loss*, about zero without memorization.

    Args:
        real: (N, D), N at least 2.
        synthetic: (N, D).

    Raises:
        DataError: if the sizes differ or are too small.

    Source: Yale et al., *Generation and evaluation of privacy preserving synthetic health data* (2020), section 3.2.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 3)
        >>> adversarial(x, x).accuracy(), adversarial(x, x + 100).accuracy()
        (0.0, 1.0)
    """
    if len(real) != len(synthetic):
        raise DataError(f"there are {len(real)} real and {len(synthetic)} generated samples; give as many of each")
    terms = [
        nearest(x, other)[0][:, 0] > nearest(x, x, itself=True)[0][:, 0]
        for x, other in ((real, synthetic), (synthetic, real))
    ]
    return Adversarial(*terms)
