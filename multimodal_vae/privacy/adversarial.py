"""Nearest-neighbor adversarial accuracy: whether real and generated samples can be told apart by their neighbors."""

from dataclasses import dataclass

from torch import Tensor

from multimodal_vae.distances import nearest
from multimodal_vae.errors import DataError


@dataclass(frozen=True)
class Adversarial:
    """What holds for each sample.

    Attributes:
        real: (N,), whether a real sample's nearest is real, and not generated.
        synthetic: (N,), whether a generated sample's nearest is generated, and not real.
    """

    real: Tensor
    synthetic: Tensor

    def accuracy(self) -> float:
        """One half where they cannot be told apart; zero for copies; one for samples that are far from all others."""
        return 0.5 * float(self.real.double().mean() + self.synthetic.double().mean())


def adversarial(real: Tensor, synthetic: Tensor) -> Adversarial:
    r"""Compare two sets of equal size by whose nearest neighbor is whose.

    :math:`AA_{TS} = \frac12\bigl(\frac1n\sum_i [d_{TS}(i) > d_{TT}(i)] + \frac1n\sum_i [d_{ST}(i) > d_{SS}(i)]\bigr)`,
    with the nearest other than itself within a set. The accuracy against held-out samples less that against the
    records learned from is the *privacy loss*: about zero where nothing was learned by heart.

    Args:
        real: (N, D), N at least 2.
        synthetic: (N, D).

    Raises:
        DataError: if the sets are of different size, or too small.

    Source: Yale et al., *Generation and evaluation of privacy preserving synthetic health data* (2020), section 3.2.

    Example:
        >>> import torch
        >>> x = torch.randn(50, 3)
        >>> adversarial(x, x).accuracy(), adversarial(x, x + 100).accuracy()
        (0.0, 1.0)
    """
    if len(real) != len(synthetic):
        raise DataError(f"{len(real)} real and {len(synthetic)} generated samples are compared; give as many of each")
    terms = [
        nearest(x, other)[0][:, 0] > nearest(x, x, itself=True)[0][:, 0]
        for x, other in ((real, synthetic), (synthetic, real))
    ]
    return Adversarial(*terms)
