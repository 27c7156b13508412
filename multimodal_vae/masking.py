"""Functions of the rows of a batch that have a modality."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from multimodal_vae.modalities.base import Modality
from multimodal_vae.transfer import copy_to, select


def masked_apply(function: Callable[..., Tensor], mask: Tensor, shape: tuple[int, ...], *tensors: Tensor) -> Tensor:
    """Apply a function to the rows where the mask is true; the other rows of the result, (N, *shape), are zero.

    Absent rows must not pass through networks: batch norm would count them, and NaN would spread from them. With a
    mask on the CPU, nothing is read from a GPU. While torch traces a program, which cannot depend on the mask, all rows
    pass.
    """
    if torch.compiler.is_compiling():
        return torch.where(mask.reshape(-1, *(1 for _ in shape)), function(*tensors), 0)
    if bool(mask.all()):
        return function(*tensors)
    result = tensors[0].new_zeros(len(mask), *shape)
    if bool(mask.any()):
        result[copy_to(mask.nonzero()[:, 0], result.device)] = function(*(select(x, mask) for x in tensors))
    return result


def transform_present(
    samples: Mapping[str, Tensor],
    present: Tensor | None,
    modalities: Mapping[str, Modality],
    method: Callable[[Modality], Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """Return samples after a method of their modality; absent rows, if ``present`` (N, M) is given, become zero."""
    if present is None:
        return {name: method(modality)(samples[name]) for name, modality in modalities.items()}
    return {
        name: masked_apply(method(modality), present[:, column], modality.shape, samples[name])
        for column, (name, modality) in enumerate(modalities.items())
    }
