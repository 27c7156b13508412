"""R² of reconstructions within classes: whether they keep the differences between individuals."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WithinClass:
    """Sums of squares per sample, from which R² is computed.

    Attributes:
        residual: (N,), squared distance of each sample to its reconstruction.
        within: (N,), squared distance of each sample to the mean of its class.
    """

    residual: Tensor
    within: Tensor

    def r2(self, rows: Tensor | None = None) -> float:
        """Return R² of all samples or of some rows; NaN if they do not differ from their class mean."""
        residual, within = (x if rows is None else x[rows] for x in (self.residual, self.within))
        return float(1 - residual.sum() / within.sum()) if float(within.sum()) > 0 else float("nan")


def within_class(real: Tensor, reconstructed: Tensor, labels: Tensor) -> WithinClass:
    """Compute R² within classes: one for perfect reconstructions, zero for class means, negative for worse.

    ``R² = 1 - Σ|x - x̂|² / Σ|x - mean of x's class|²``, over all samples and elements, after the coefficient of
    determination. Elements of large variance dominate, so it is insensitive to fine detail; see
    :mod:`multimodal_vae.evaluation.sharpness`.

    Args:
        real: (N, *shape) of one modality.
        reconstructed: (N, *shape), reconstructions of the same samples.
        labels: (N,).

    Example:
        >>> x, labels = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 1])
        >>> within_class(x, x, labels).r2()
        1.0
    """
    x, y = real.detach().flatten(1).double(), reconstructed.detach().flatten(1).double()
    means = torch.zeros_like(x)
    for label in torch.unique(labels):
        means[labels == label] = x[labels == label].mean(0)
    return WithinClass(((x - y) ** 2).sum(1), ((x - means) ** 2).sum(1))
