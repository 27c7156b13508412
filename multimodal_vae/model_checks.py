"""Checks of a model's networks, weights and latents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import real_numbers, real_samples
from multimodal_vae.data.covariates import Covariate, check_same
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, DataError, TrainingError, did_you_mean, one_line
from multimodal_vae.modalities.base import Modality, check_samples, require_size
from multimodal_vae.names import name_of
from multimodal_vae.scopes import evaluating

FUSION, METRIC_LOSS = "the fusion", "the metric loss"
"""Names of these parts in errors."""


def encoder_of(name: str) -> str:
    """Return the name of a modality's encoder in errors."""
    return f"the encoder of modality {name!r}"


def decoder_of(name: str) -> str:
    """Return the name of a modality's decoder in errors."""
    return f"the decoder of modality {name!r}"


def refiner_of(name: str) -> str:
    """Return the name of a modality's refiner in errors."""
    return f"the refiner of modality {name!r}"


@contextmanager
def explain_failure(what: str = "the model's networks") -> Iterator[None]:
    """Turn errors of networks that cannot be built into one line."""
    try:
        yield
    except _CANNOT_BUILD as error:
        raise ConfigurationError(f"{what} cannot be built: {one_line(error)}; change the sizes") from error


_CANNOT_BUILD = (RuntimeError, MemoryError, ValueError, TypeError, ArithmeticError)


def modalities_of(given: Mapping[str, Any]) -> dict[str, Modality]:
    """Return modalities by name, from instances, names or tables.

    Raises:
        ConfigurationError: if there are none, or one has a name that is no text or a size that is none.
    """
    if not given:
        raise ConfigurationError("modalities is empty; a model needs at least one")
    names: list[Any] = list(given)
    if not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"the modalities are called {names}; name them by text")
    modalities = {name: Modality.of(spec) for name, spec in given.items()}
    for name, modality in modalities.items():
        require_size(name, modality)
    return modalities


def classes_of(given: Iterable[Any]) -> list[str]:
    """Return the names of classes as text.

    Raises:
        ConfigurationError: if two are the same.
    """
    classes = [name if isinstance(name, str) else name_of(name) for name in given]
    if len({*classes}) < len(classes):
        raise ConfigurationError(f"the classes {classes} are not distinct; name each class once")
    return classes


def require_modality(name: str, modalities: Mapping[str, Modality]) -> None:
    """Raise DataError if there is no such modality."""
    if name not in modalities:
        raise DataError(f"there is no modality {name!r}; {did_you_mean(name, modalities)}")


def samples_of(given: Mapping[str, Any], modalities: Mapping[str, Modality]) -> dict[str, Tensor]:
    """Return samples of some modalities as float32 tensors, (N, *shape) each.

    Raises:
        DataError: if there are none, or they do not fit.
    """
    for name in given:
        require_modality(name, modalities)
    if not given:
        raise DataError(f"there are no samples to encode; give samples of one or more of {list(modalities)}")
    samples = {name: real_samples(name, x) for name, x in given.items()}
    for name, x in samples.items():
        check_samples(name, modalities[name], x)
    return samples


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


def check_data(
    data: MultimodalDataset, modalities: Iterable[str], classes: Sequence[str], covariates: Sequence[Covariate]
) -> None:
    """Raise DataError if the data has other modalities, classes or covariates than a model."""
    if list(data.modalities) != list(modalities):
        raise DataError(f"the data has the modalities {list(data.modalities)}, the model {list(modalities)}")
    if data.classes != classes:
        raise DataError(f"the data has the classes {data.classes}, the model {classes}")
    check_same(data.covariate_types, covariates)
