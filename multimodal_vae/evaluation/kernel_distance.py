"""Unbiased kernel distance between two sets of features."""

from torch import Tensor

from multimodal_vae.distances import BLOCK
from multimodal_vae.errors import DataError


def kernel_distance(x: Tensor, y: Tensor, degree: int = 3) -> float:
    """Return the unbiased squared maximum mean discrepancy with a polynomial kernel.

    The kernel is ``(a·b / D + 1) ** degree``. The distance is its mean over pairs within x plus that within y, minus
    twice that between them. Its expectation is zero for two sets from one distribution, whatever their sizes, so it
    may be negative; a Fréchet distance of small samples is mostly bias. Degree 3 compares the first three moments of
    the features. Values are comparable only for the same features.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.
        degree: degree of the polynomial; 3 as in the kernel inception distance.

    Raises:
        DataError: if either set has fewer than two samples.

    Source: Bińkowski et al., *Demystifying MMD GANs* (2018), section 4; Gretton et al., *A kernel two-sample test*
        (2012), equation 3.

    Example:
        >>> import torch
        >>> x, y = torch.randn(200, 4), torch.randn(200, 4)
        >>> kernel_distance(x, y) < kernel_distance(x, y + 1)
        True
    """
    if min(len(x), len(y)) < 2:
        raise DataError(f"there are {len(x)} and {len(y)} samples; a kernel distance needs two of each")
    x, y = x.detach().double(), y.detach().double()
    first, second = (
        (_sum(z, z, degree) - float(_kernel((z * z).sum(1), z.shape[1], degree).sum())) / (len(z) * (len(z) - 1))
        for z in (x, y)
    )
    return first + second - 2 * _sum(x, y, degree) / (len(x) * len(y))


def _kernel(product: Tensor, dimensions: int, degree: int) -> Tensor:
    return (product / dimensions + 1) ** degree


def _sum(x: Tensor, y: Tensor, degree: int) -> float:
    starts = range(0, len(x), BLOCK)
    return sum(float(_kernel(x[start : start + BLOCK] @ y.T, x.shape[1], degree).sum()) for start in starts)
