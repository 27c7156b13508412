"""The kernel distance of two clouds of features, without bias."""

from torch import Tensor

from multimodal_vae.errors import DataError

_BLOCK = 1024


def kernel_distance(x: Tensor, y: Tensor, degree: int = 3) -> float:
    """The unbiased squared maximum mean discrepancy with a polynomial kernel.

    With the kernel ``(a·b / D + 1) ** degree``, it is the mean kernel between two samples of x, and of y, less twice
    that between one of each. Its mean is zero for two sets from one distribution, whatever their sizes, so it may be
    negative, where a Fréchet distance of small samples is mostly bias. A kernel of degree 3 sees the first three
    moments of the features and nothing else; values compare within one set of features only.

    Args:
        x: (N, D), N at least 2.
        y: (M, D), M at least 2.
        degree: of the polynomial; 3 is the kernel inception distance's.

    Raises:
        DataError: if there are fewer than two samples of either.

    Source: Bińkowski et al., *Demystifying MMD GANs* (2018), section 4; Gretton et al., *A kernel two-sample test*
        (2012), equation 3.

    Example:
        >>> import torch
        >>> x, y = torch.randn(200, 4), torch.randn(200, 4)
        >>> kernel_distance(x, y) < kernel_distance(x, y + 1)
        True
    """
    if min(len(x), len(y)) < 2:
        raise DataError(f"there are {len(x)} and {len(y)} samples, and a kernel distance needs two of each")
    x, y = x.detach().double(), y.detach().double()
    first, second = (
        (_sum(z, z, degree) - float(_kernel((z * z).sum(1), z.shape[1], degree).sum())) / (len(z) * (len(z) - 1))
        for z in (x, y)
    )
    return first + second - 2 * _sum(x, y, degree) / (len(x) * len(y))


def _kernel(product: Tensor, dimensions: int, degree: int) -> Tensor:
    return (product / dimensions + 1) ** degree


def _sum(x: Tensor, y: Tensor, degree: int) -> float:
    starts = range(0, len(x), _BLOCK)
    return sum(float(_kernel(x[start : start + _BLOCK] @ y.T, x.shape[1], degree).sum()) for start in starts)
