"""Use a part as the core does."""

from collections.abc import Mapping
from contextlib import suppress
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import ConfigurationError, SamplerError
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.loggers.base import Logger
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality
from multimodal_vae.nn.dimensions import INTERPOLATION
from multimodal_vae.part import Part
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.samplers.base import DensitySampler

LATENT, CLASSES = 6, 3
SHARED = 6
SIZES: Mapping[str, int] = {"image": 7, "signal": 4, "table": 3}
"""Numbers of shared dimensions and of features per modality, to test fusions with."""

SHAPES = ((2, 16, 16), (1, 32), (1, 8, 8, 8))
"""Shapes of a picture, a signal and a volume, to test refiners with, which may refuse some of them."""

CONFIGURATION = {"training": {"epochs": 2, "per_class": 4}, "model": {"latent_dim": LATENT}}
METRICS = {
    "epoch": 1,
    "training.loss": 1.5,
    "training.kl": 0.25,
    "training.reconstruction.lead [II], mV": 1.25,
    "validation.loss": float("inf"),
    "machine.seconds": 0.125,
    "machine.memory_gib": 0.5,
}
"""Metrics to test loggers with."""


@singledispatch
def exercise(part: Part) -> None:
    """Use a part once."""
    raise TypeError(f"{part!r} is of no known kind")


@exercise.register
def _(part: Modality) -> None:
    from matplotlib.figure import Figure

    samples = part.examples(4)
    encoder, decoder = part.encoder(), part.decoder(LATENT)
    part.calibrate(encoder, decoder, samples)
    target = part.augment(samples)
    encoder(part.corrupt(target))
    decoded = decoder(torch.randn(4, LATENT))
    part.reconstruction_loss(decoded, target).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    with torch.no_grad():
        part.check(part.observe(decoded))
    part.plot(samples[0], Figure().subplots())
    round_trip(part, samples[0])


def round_trip(part: Modality, sample: Tensor) -> Tensor:
    """Return a sample after writing and reading it."""
    if part.cell == "value":
        return torch.as_tensor(part.read(part.format(sample)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{part.suffix}"
        part.write(sample, path)
        return torch.as_tensor(part.read(path))


@exercise.register
def _(part: Fusion) -> None:
    part.build(SIZES, latent_dim_of(part))
    part.divergence(*divergence_arguments(part, *fusion_inputs(5)))


def latent_dim_of(part: Fusion, sizes: Mapping[str, int] = SIZES, shared: int = SHARED) -> int:
    """Return the latent dimension that leaves ``shared`` dimensions besides the private ones."""
    return shared + part.private * len(sizes)


def divergence_arguments(
    part: Fusion, features: Mapping[str, Tensor], present: Tensor
) -> tuple[Gaussian, Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Return the arguments of :meth:`Fusion.divergence` in training, with one row per sample and subset."""
    subsets = part.subsets(present)
    used = subsets.weight > 0
    rows = used.nonzero(as_tuple=True)[1]
    folded, mask = {name: x[rows] for name, x in features.items()}, subsets.mask[used]
    posterior = part(folded, mask)
    return posterior, posterior.rsample(), folded, mask, present[rows]


def fusion_inputs(count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return random features of all modalities, and their mask."""
    features = {name: torch.randn(count, size) for name, size in SIZES.items()}
    return features, torch.ones(count, len(SIZES), dtype=torch.bool)


@exercise.register
def _(part: MetricLoss) -> None:
    part.build(LATENT, CLASSES)
    part(torch.randn(9, LATENT, requires_grad=True), torch.arange(9) % CLASSES)


@exercise.register
def _(part: DensitySampler) -> None:
    try:
        part.fit(torch.randn(30, 2))().sample((3,))
    except SamplerError:  # other laws require what a sampler must accept
        return


@exercise.register
def _(part: Refiner) -> None:
    samples = refiner_arguments(build_refiner(part), 4)
    part.train().loss(*samples[:4]).sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        part.eval()(*(samples[index] for index in (0, 2, 3, 4)))


def build_refiner(part: Refiner) -> tuple[int, ...]:
    """Build a refiner for the first of :data:`SHAPES` that it takes, and return the shape.

    Raises:
        ConfigurationError: if it takes none of them.
    """
    for shape in SHAPES[:-1]:
        with suppress(ConfigurationError):
            part.build(shape, LATENT, CLASSES)
            return shape
    part.build(SHAPES[-1], LATENT, CLASSES)
    return SHAPES[-1]


def refiner_arguments(shape: tuple[int, ...], count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return decoded samples, real ones, latents, labels and noise, to test refiners with.

    Decoded samples are smooth, from 0 to 2; real ones have a texture as well, from -1 to 3.
    """
    channels, *space = shape
    corners = torch.rand(count, channels, *(2 for _ in space))
    smooth = 2 * F.interpolate(corners, tuple(space), mode=INTERPOLATION[len(space)], align_corners=True)
    real = smooth + torch.rand_like(smooth) * 2 - 1
    labels = torch.arange(count) % (CLASSES + 1) - 1  # unlabeled ones, too
    return smooth, real, torch.randn(count, LATENT), labels, torch.randn_like(smooth)


@exercise.register
def _(part: Logger) -> None:
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        part.log(1, METRICS)
        part.close()
