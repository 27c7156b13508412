"""Checks of a model's networks, weights and latents."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import ConfigurationError, DataError, TrainingError, one_line
from multimodal_vae.modalities.base import Modality
from multimodal_vae.scopes import evaluating

FUSION, METRIC_LOSS = "the fusion", "the metric loss"
"""Names of these parts in errors."""


def encoder_of(name: str) -> str:
    """Return the name of a modality's encoder in errors."""
    return f"the encoder of modality {name!r}"


def decoder_of(name: str) -> str:
    """Return the name of a modality's decoder in errors."""
    return f"the decoder of modality {name!r}"


@contextmanager
def explain_failure() -> Iterator[None]:
    """Turn errors of networks that cannot be built into one line."""
    try:
        yield
    except _CANNOT_BUILD as error:
        raise ConfigurationError(
            f"the model's networks cannot be built: {one_line(error)}; change the sizes"
        ) from error


_CANNOT_BUILD = (RuntimeError, MemoryError, ValueError, TypeError, ArithmeticError)


def count_features(
    modalities: Mapping[str, Modality], encoders: Iterable[nn.Module], decoders: Iterable[nn.Module], latent_dim: int
) -> tuple[dict[str, int], set[str]]:
    """Run two blank samples through each modality's networks and loss.

    Returns:
        The number of features of each modality, and the modalities that have a likelihood.

    Raises:
        ConfigurationError: if a shape is wrong.
    """
    sizes, likelihoods = {}, set()
    with torch.no_grad():
        for (name, modality), encoder, decoder in zip(modalities.items(), encoders, decoders, strict=True):
            blank = torch.zeros(2, *modality.shape)
            with evaluating(encoder), evaluating(decoder):
                features = encoder(blank)
                _require_shape(name, modality, "encoder gives", features.shape[:1], (2,))
                decoded = decoder(torch.zeros(2, latent_dim))
                _require_shape(name, modality, "observe gives", modality.observe(decoded).shape, blank.shape)
                loss = modality.reconstruction_loss(decoded, blank)
                _require_shape(name, modality, "reconstruction loss gives", loss.shape, (2,))
            sizes[name] = features[0].numel()
            if modality.likelihood(decoded) is not None:
                likelihoods.add(name)
    return sizes, likelihoods


def _require_shape(name: str, modality: Modality, what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        raise ConfigurationError(
            f"modality {name!r}: for 2 samples of {modality.shape}, {what} the shape {tuple(shape)}, "
            f"not {tuple(expected)}"
        )


def check_weights(parts: Mapping[str, nn.Module]) -> None:
    """Check the weights of a model's parts, given by the names that errors use.

    Raises:
        TrainingError: naming the part whose weights, or statistics, are not finite.
    """
    for part, network in parts.items():
        # A buffer may hold infinities, such as a mask of logits.
        buffers = (x.isnan() for x in network.buffers())
        if any(bool(x.any()) for x in (*buffers, *(~weight.isfinite() for weight in network.parameters()))):
            raise TrainingError(
                f"{part} has weights that are not finite; train again with a lower learning rate, or restore them"
            )


def check_latents(latents: Any, latent_dim: int) -> Tensor:
    """Return latents as a tensor of real numbers.

    Raises:
        ConfigurationError: if memory cannot hold so many.
        DataError: unless they are finite numbers of the shape (N, latent_dim).
    """
    shape = f"latents must be finite numbers of the shape (N, {latent_dim})"
    try:
        found: Tensor = latents if isinstance(latents, Tensor) else torch.from_numpy(real_numbers(latents))
    except DataError as error:
        raise DataError(f"{shape}, not {type(latents).__name__}, which {error}; encode samples first") from error
    if found.is_complex():
        raise DataError(f"{shape}, not complex ones")
    found = found if found.is_floating_point() else found.float()
    if found.shape[1:] != (latent_dim,):
        raise DataError(f"{shape}; their shape is {tuple(found.shape)}")
    require_memory(4 * found.numel(), f"{len(found)} latents are too many at once")  # rows may share memory
    finite = torch.isfinite(found).all(1)
    if not bool(finite.all()):
        raise DataError(f"{shape}; row {int((~finite).nonzero()[0])} has a value that is not finite")
    return found
