"""Every part once through what the core does with it."""

from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import SamplerError
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.loggers.base import Logger
from multimodal_vae.metric_losses.base import MetricLoss
from multimodal_vae.modalities.base import Modality
from multimodal_vae.part import Part
from multimodal_vae.samplers.base import DensitySampler

LATENT, CLASSES = 6, 3
SHARED = 6
SIZES: Mapping[str, int] = {"image": 7, "signal": 4, "table": 3}
"""Dimensions to share and numbers of features that fusions are tried with."""

CONFIGURATION = {"training": {"epochs": 2, "per_class": 4}, "model": {"latent_dim": LATENT}}
FIGURES = {
    "epoch": 1,
    "training.loss": 1.5,
    "training.kl": 0.25,
    "training.reconstruction.ecg, lead [II]": 1.25,
    "validation.loss": float("inf"),
    "machine.seconds": 0.125,
    "machine.memory_gib": 0.5,
}
"""What loggers are tried with."""


@singledispatch
def exercise(part: Part) -> None:
    """Use a part."""
    raise TypeError(f"{part!r} is of no kind that is known")


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
    again(part, samples[0])


def again(part: Modality, sample: Tensor) -> Tensor:
    """A sample as it comes back from what the modality writes."""
    if part.cell == "value":
        return torch.as_tensor(part.read(part.format(sample)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{part.suffix}"
        part.write(sample, path)
        return torch.as_tensor(part.read(path))


@exercise.register
def _(part: Fusion) -> None:
    part.build(SIZES, latent_of(part))
    part.divergence(*asked_of(part, *fused_from(5)))


def latent_of(part: Fusion, sizes: Mapping[str, int] = SIZES, shared: int = SHARED) -> int:
    """Length of a latent that leaves so many dimensions to be shared."""
    return shared + part.private * len(sizes)


def asked_of(
    part: Fusion, features: Mapping[str, Tensor], present: Tensor
) -> tuple[Gaussian, Tensor, dict[str, Tensor], Tensor, Tensor]:
    """What the core makes of a batch in training: the arguments of :meth:`Fusion.divergence`, a row a question."""
    subsets = part.subsets(present)
    wanted = subsets.weight > 0
    rows = wanted.nonzero(as_tuple=True)[1]
    folded, asked = {name: x[rows] for name, x in features.items()}, subsets.mask[wanted]
    posterior = part(folded, asked)
    return posterior, posterior.rsample(), folded, asked, present[rows]


def fused_from(count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Features as encoders give them, all present."""
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
    except SamplerError:  # what a sampler refuses, it refuses in its own words; other laws ask for what it accepts
        return


@exercise.register
def _(part: Logger) -> None:
    with TemporaryDirectory() as folder:
        part.open(Path(folder), CONFIGURATION)
        part.log(1, FIGURES)
        part.close()
