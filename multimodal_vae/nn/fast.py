"""The same mathematics in less time: equal to the plain forms but for rounding.

What pays was measured; ``benchmarks/PERFORMANCE.md`` says how much.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# By the number of spatial dimensions.
_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

_LEAST_MAP, _LEAST_MAP_IN_HALF = 64, 256
"""Size of a map, such as 8 x 8, from which on fewer multiplications are also less time; and in bfloat16."""

LEAST_PLACES = 1024
"""Places, over batch and space, from which on preparing a kernel costs less than it saves."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve maps (N, inputs, *size) with 3x3 kernels (outputs, inputs, 3, ...), keeping their size."""
    return _CONVOLVE[x.dim() - 2](x, weight, bias, padding=1)


def upsample_and_convolve(x: Tensor, weight: Tensor, bias: Tensor, factors: Sequence[int]) -> Tensor:
    """Repeat each value ``factors`` times along each axis, then :func:`convolve`.

    On a CPU large maps are computed as the transposed convolution that this is: two thirds of the multiplications along
    each doubled axis. Matrix units for bfloat16 make multiplications so cheap that it pays without gradients only.
    """
    if _transposing_pays(x):
        kernel = transposed_kernel(weight, factors)
        return _TRANSPOSE[len(factors)](x, kernel, bias, stride=tuple(factors), padding=1)
    return convolve(F.interpolate(x, scale_factor=tuple(map(float, factors))), weight, bias)


def _transposing_pays(x: Tensor) -> bool:
    places = math.prod(x.shape[2:])
    if x.device.type != "cpu" or len(x) * places < LEAST_PLACES:
        return False
    if x.dtype.itemsize < 4:
        return places >= _LEAST_MAP_IN_HALF and not torch.is_grad_enabled()
    return places >= _LEAST_MAP


def transposed_kernel(weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Kernel of the transposed convolution that is upsampling and then a 3x3 convolution.

    With a stride of *f*, a repeated value meets *f* neighboring taps at once, so along each axis the kernel is the
    flipped one summed over boxes of *f*: *f* + 2 taps.

    Args:
        weight: (outputs, inputs, 3, ...).
        factors: of the upsampling, the strides of the transposed convolution; its padding is 1.

    Returns:
        (inputs, outputs, factor + 2, ...).

    Example:
        >>> transposed_kernel(torch.tensor([[[1.0, 10.0, 100.0]]]), [2])
        tensor([[[100., 110.,  11.,   1.]]])
    """
    axes = tuple(range(2, weight.dim()))
    kernel = weight.flip(axes).transpose(0, 1)
    for axis, factor in zip(axes, factors, strict=True):
        after = 2 * (weight.dim() - 1 - axis)  # F.pad counts from the last axis
        boxes = [F.pad(kernel, [0] * after + [shift, factor - 1 - shift]) for shift in range(factor)]
        kernel = torch.stack(boxes).sum(0)
    return kernel


def folded(convolution: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution together with the batch norm that follows it, as that is in evaluation mode."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale.reshape(-1, *(1 for _ in convolution.weight.shape[1:]))
    return weight, (convolution.bias - norm.running_mean) * scale + norm.bias


def through(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layer after layer, maps laid out by :func:`channels_last`; what comes out has torch's usual layout."""
    for layer in layers:
        x = layer(channels_last(x))
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Lay maps (N, C, H, W) out with channels innermost, as convolutions on a CPU and on tensor cores like them.

    The strides say so even where C or H x W is 1, which torch would otherwise take for the usual layout: one such map,
    and all that follow are slow. Weights stay as they are. Other tensors are handed back.
    """
    if x.dim() != 4 or x.device.type == "mps" or (x.stride(1) == 1 and x.stride(3) == x.shape[1]):
        return x
    return x.clone(memory_format=torch.channels_last)
