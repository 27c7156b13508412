"""Faster equivalents of common layers, equal up to rounding.

What pays was measured; ``benchmarks/PERFORMANCE.md`` says how much.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# By the number of spatial dimensions.
_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

_LEAST_MAP, _LEAST_MAP_IN_HALF = 64, 256
"""Pixels of a map from which the transposed convolution is faster, in float32 and in bfloat16."""

LEAST_PIXELS = 1024
"""Pixels, over batch and space, from which preparing a kernel costs less than it saves.

Programs that torch traces serve batches of any size, so they never prepare one.
"""


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve maps (N, inputs, *size) with 3x3 kernels (outputs, inputs, 3, ...), keeping their size."""
    return _CONVOLVE[x.dim() - 2](x, weight, bias, padding=1)


def upsample_and_convolve(x: Tensor, weight: Tensor, bias: Tensor, factors: Sequence[int]) -> Tensor:
    """Repeat each value ``factors`` times along each axis, then :func:`convolve`.

    On a CPU, large maps use an equivalent transposed convolution with two thirds of the multiplications along each
    doubled axis. In bfloat16, multiplications are so cheap that this is faster only without gradients.
    """
    if _transposing_pays(x):
        kernel = transposed_kernel(weight, factors)
        return _TRANSPOSE[len(factors)](x, kernel, bias, stride=tuple(factors), padding=1)
    return convolve(F.interpolate(x, scale_factor=tuple(map(float, factors))), weight, bias)


def _transposing_pays(x: Tensor) -> bool:
    pixels = math.prod(x.shape[2:])
    if torch.compiler.is_compiling() or x.device.type != "cpu" or len(x) * pixels < LEAST_PIXELS:
        return False
    if x.dtype.itemsize < 4:
        return pixels >= _LEAST_MAP_IN_HALF and not torch.is_grad_enabled()
    return pixels >= _LEAST_MAP


def transposed_kernel(weight: Tensor, factors: Sequence[int]) -> Tensor:
    """Return the kernel of the transposed convolution equal to upsampling followed by a 3x3 convolution.

    With stride *f*, a repeated value meets *f* neighboring taps at once; so along each axis the kernel is the flipped
    one summed over boxes of *f*, which has *f* + 2 taps.

    Args:
        weight: (outputs, inputs, 3, ...).
        factors: upsampling factors, the strides of the transposed convolution; its padding is 1.

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


def upsample_linearly(x: Tensor, factor: int) -> Tensor:
    """Upsample maps (N, C, *size) along each axis by linear interpolation, as ``F.interpolate`` does.

    On a CPU, one matrix product per axis takes a third of the time.
    """
    # What torch traces has no values to cache.
    matrix = _interpolation if torch.compiler.is_compiling() else _cached_interpolation
    for _ in x.shape[2:]:  # each product puts its axis last
        x = torch.tensordot(x, matrix(x.shape[2], factor, x.dtype, x.device), ([2], [0]))
    return x


def _interpolation(length: int, factor: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix (length, length * factor) of linear interpolation."""
    impulses = torch.eye(length, dtype=dtype, device=device)[None]
    return F.interpolate(impulses, scale_factor=float(factor), mode="linear")[0]


_cached_interpolation = lru_cache(maxsize=64)(_interpolation)


def fold_batch_norm(convolution: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution merged with the batch norm after it, in evaluation mode."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale.reshape(-1, *(1 for _ in convolution.weight.shape[1:]))
    return weight, (convolution.bias - norm.running_mean) * scale + norm.bias


def apply_layers(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layers to maps in channels-last layout; return the result in torch's default layout."""
    for layer in layers:
        x = layer(channels_last(x))
    return x.contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Return maps (N, C, H, W) in channels-last layout, which convolutions on CPUs and tensor cores prefer.

    Set the strides even if C or H x W is 1, where torch would assume the default layout and continue with it, slowly.
    Return other tensors unchanged.
    """
    if x.dim() != 4 or x.device.type == "mps" or (x.stride(1) == 1 and x.stride(3) == x.shape[1]):
        return x
    return x.clone(memory_format=torch.channels_last)
