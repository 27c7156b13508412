"""Samples from what decoders give: expected samples, or draws with their observation noise."""

import hashlib
from functools import partial

import torch
from torch import Tensor, nn

from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.modalities.base import Modality, Noise


def noise_of(modality: Modality, decoded: Tensor, noise: Noise | None = None) -> Noise:
    """Return whether samples are drawn or expected ones: without a likelihood, always ``"mean"``.

    Args:
        modality: the modality.
        decoded: its decoder's output.
        noise: ``"draw"`` or ``"mean"``. Default: as the modality says.
    """
    drawn = (noise or modality.noise) == "draw" and modality.likelihood(decoded) is not None
    return "draw" if drawn else "mean"


def observe(
    name: str,
    modality: Modality,
    decoded: Tensor,
    dependence: nn.Module,
    noise: Noise | None,
    seed: int | None,
    first: int = 0,
) -> Tensor:
    """Return samples (N, *shape) on the CPU, expected or drawn.

    The noise of a sample depends on the seed, the modality's name and the sample's number only: neither on the device
    nor on how many are drawn at once.

    Args:
        name: name of the modality.
        modality: the modality.
        decoded: its decoder's output for N latents.
        dependence: the :class:`~multimodal_vae.dependence.NoiseDependence` of its draws; another module for none.
        noise: as for :func:`noise_of`.
        seed: seed of the noise; None for expected samples.
        first: number of the first sample.
    """
    if not len(decoded):  # for which not every distribution can be built
        return torch.zeros(0, *modality.shape)
    if seed is None or noise_of(modality, decoded, noise) == "mean":
        return modality.observe(decoded).cpu()
    rows, seeds = decoded.cpu(), _seeds_of_rows(seed, name, first, len(decoded))
    draw = partial(dependence.draw, modality) if isinstance(dependence, NoiseDependence) else modality.draw
    samples = rows.new_empty(len(rows), *modality.shape)
    with torch.random.fork_rng(devices=[]):
        for row, own in enumerate(seeds):
            torch.default_generator.manual_seed(own)
            samples[row] = draw(rows[row : row + 1])[0]
    return samples


def noise_of_refiner(name: str, shape: tuple[int, ...], seed: int, first: int, count: int) -> Tensor:
    """Return the standard normal noise from which samples are refined, (count, *shape), on the CPU.

    Like that of :func:`observe`, it depends on the seed, the modality's name and the sample's number only.

    Args:
        name: name of the modality.
        shape: shape of one sample.
        seed: seed of the noise.
        first: number of the first sample.
        count: number of samples.
    """
    generator, noise = torch.Generator(), torch.empty(count, *shape)
    for row, own in enumerate(_seeds_of_rows(seed, name, first, count, b"refiner")):
        torch.randn(shape, generator=generator.manual_seed(own), out=noise[row])
    return noise


def _seeds_of_rows(seed: int, name: str, first: int, count: int, purpose: bytes = b"") -> list[int]:
    """Return a seed for each of ``count`` samples of a modality, which depends on the sample's number."""
    # The generator takes 32 bits. Hashed, the numbers of other seeds and modalities lie elsewhere among them.
    text = f"{seed} {name}".encode("utf-8", "surrogatepass")
    start = int.from_bytes(hashlib.blake2b(text, digest_size=4, person=purpose).digest())
    return [(start + first + row) % 2**32 for row in range(count)]
