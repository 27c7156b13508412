"""How much of what tells samples of one class apart survives a reconstruction."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WithinClass:
    """Sums of squares, sample by sample, from which R² is made.

    Attributes:
        residual: (N,), squared distance of each sample to its reconstruction.
        within: (N,), squared distance of each sample to the mean of its class.
    """

    residual: Tensor
    within: Tensor

    def r2(self, rows: Tensor | None = None) -> float:
        """R² of all samples, or of some rows of them; NaN where they do not differ from their class's mean."""
        residual, within = (x if rows is None else x[rows] for x in (self.residual, self.within))
        return float(1 - residual.sum() / within.sum()) if float(within.sum()) > 0 else float("nan")


def within_class(real: Tensor, reconstructed: Tensor, labels: Tensor) -> WithinClass:
    """R² within classes: one for perfect reconstructions, zero for class means, negative for worse than those.

    ``R² = 1 - Σ|x - x̂|² / Σ|x - mean of x's class|²``, over all samples and elements, after the coefficient of
    determination. The elements that vary most weigh most, so that it says little of fine detail: see
    :mod:`multimodal_vae.evaluation.sharpness`.

    Args:
        real: (N, *shape) of one modality.
        reconstructed: the same samples, as they come back.
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
