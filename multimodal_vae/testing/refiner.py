"""Laws of refiners."""

import math
from contextlib import suppress
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.nn.dimensions import AVERAGE_POOL
from multimodal_vae.refiners.base import Refiner
from multimodal_vae.scopes import evaluating
from multimodal_vae.testing.exercise import CLASSES, LATENT, SHAPES, build_refiner, refiner_arguments
from multimodal_vae.testing.instruments import (
    difference,
    expect_device_followed,
    expect_gradients,
    perturb,
    same,
    save_and_load,
)
from multimodal_vae.testing.law import expect, law

_COUNT, _CELL = 48, 4
"""Number of made-up samples, and side of the cells over which they are pooled."""
_STEPS, _BATCH, _RATE = 100, 16, 3e-3
"""Of a short training, with Adam."""
_NEAR = 0.5
"""Largest distance from the pooled decoded samples, in units of their deviation."""
_ROUNDING = 1e-4
"""Of networks whose batches have other sizes, relative to the largest value."""


class _Samples(NamedTuple):
    coarse: Tensor
    target: Tensor
    latents: Tensor
    labels: Tensor
    noise: Tensor

    def rows(self, index: Tensor) -> "_Samples":
        return _Samples(*(x[index] for x in self))


def _made_up(shape: tuple[int, ...], count: int = _COUNT) -> _Samples:
    return _Samples(*refiner_arguments(shape, count))


def _first(part: Refiner) -> tuple[Refiner, tuple[int, ...]]:
    """Return a new refiner, and the first shape that it takes."""
    built = part.clone()
    shape = build_refiner(built)
    return built.eval(), shape


def _trained(part: Refiner, steps: int = _STEPS) -> tuple[Refiner, _Samples]:
    """Return a refiner after a short training, and its training samples."""
    built, shape = _first(part)
    samples = _made_up(shape)
    optimizer = torch.optim.Adam(built.parameters(), lr=_RATE)
    built.train()
    for _ in range(steps):
        batch = samples.rows(torch.randperm(_COUNT)[:_BATCH])
        optimizer.zero_grad()
        built.loss(*batch[:4]).mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    with evaluating(built):
        built.calibrate(*samples[:4])
    return built.eval(), samples


def _refine(part: Refiner, samples: _Samples) -> Tensor:
    with evaluating(part):
        refined: Tensor = part(samples.coarse, samples.latents, samples.labels, samples.noise)
    return refined


@law("refiner")
def keeps_the_shape(part: Refiner) -> None:
    """Refined samples have the shape of decoded ones and are finite; a shape that cannot be refined is refused."""
    _first(part)
    for shape in SHAPES:
        built = part.clone()
        with suppress(ConfigurationError):
            built.build(shape, LATENT, CLASSES)
            for count in (1, 3):
                refined = _refine(built.eval(), _made_up(shape, count))
                expected = (count, *shape)
                expect(tuple(refined.shape) == expected, f"shape {tuple(refined.shape)}", f"shape {expected}")
                expect(bool(refined.isfinite().all()), "values that are not finite", "finite values")


@law("refiner")
def same_arguments_give_the_same_samples(part: Refiner) -> None:
    """Refining draws no random numbers: what is random is an argument."""
    built, shape = _first(part)
    samples = _made_up(shape, 3)
    first, second = _refine(built, samples), _refine(built, samples)
    expect(same(first, second), difference(first, second), "the same samples")


@law("refiner")
def other_noise_gives_another_sample(part: Refiner) -> None:
    """Samples of the same latent differ if their noise does."""
    built, shape = _first(part)
    samples = _made_up(shape, 3)
    first, second = _refine(built, samples), _refine(built, samples._replace(noise=-samples.noise))
    moved = (first - second).flatten(1).abs().amax(1)
    expect(bool((moved > 0).all()), "a sample that no noise changes", "other samples")


@law("refiner")
def refining_is_independent_per_sample(part: Refiner) -> None:
    """A refined sample does not depend on the other samples of its batch."""
    built, shape = _first(part)
    samples = _made_up(shape, 6)
    whole = _refine(built, samples)
    for rows in (torch.tensor([4]), torch.tensor([5, 0, 3])):
        alone = _refine(built, samples.rows(rows))
        expect(same(alone, whole[rows], _ROUNDING), difference(alone, whole[rows]), "the same sample in any batch")


@law("refiner")
def loss_is_one_finite_number_per_sample(part: Refiner) -> None:
    """The loss is finite and differentiable, one number per sample, of labeled and unlabeled ones alike."""
    built, shape = _first(part)
    for training in (True, False):  # a training validates as well
        loss = built.train(training).loss(*_made_up(shape, 5)[:4])
        expect(loss.shape == (5,), f"shape {tuple(loss.shape)}", "shape (5,)")
        expect(bool(loss.isfinite().all()), f"a loss of {loss.tolist()}", "a finite loss")
        expect(loss.requires_grad, "a loss without a gradient", "a differentiable loss")


@law("refiner")
def every_weight_has_a_gradient(part: Refiner) -> None:
    """The loss has a finite gradient for every parameter."""
    built, shape = _first(part)
    built.train().loss(*_made_up(shape, 8)[:4]).mean().backward()  # type: ignore[no-untyped-call]
    expect_gradients(built, "the refiner")


@law("refiner")
def state_is_restored_from_a_file(part: Refiner) -> None:
    """A new refiner with the saved state gives the same samples, also of what it measured in training."""
    built, samples = _trained(part, steps=2)
    perturb(built)
    again, _ = _first(part)
    again.load_state_dict(save_and_load(built.state_dict()))
    first, second = _refine(built, samples), _refine(again, samples)
    expect(same(first, second), difference(first, second), "the same samples")


@law("refiner")
def samples_stay_in_the_range_of_training(part: Refiner) -> None:
    """No value lies beyond those of the samples that it was trained on, however large the noise."""
    built, samples = _trained(part, steps=12)
    refined = _refine(built, samples._replace(noise=10 * samples.noise))
    (low, high), (least, most) = ((float(x.min()), float(x.max())) for x in (samples.target, refined))
    expect(low <= least and most <= high, f"values from {least:g} to {most:g}", f"values from {low:g} to {high:g}")


@law("refiner")
def training_brings_the_texture_of_samples_nearer_to_real_ones(part: Refiner) -> None:
    """After a short training, differences between neighbors are nearer to those of real samples than before."""
    built, samples = _trained(part)
    real, coarse, refined = map(_texture, (samples.target, samples.coarse, _refine(built, samples)))
    expect(
        abs(math.log(refined / real)) < 0.5 * abs(math.log(coarse / real)),
        f"{refined:.3g}, decoded {coarse:.3g}, real {real:.3g}",
        "less than half of the distance, on a logarithmic scale",
    )


@law("refiner")
def refined_samples_stay_near_decoded_ones(part: Refiner) -> None:
    """After a short training, pooled samples stay within half a standard deviation of the pooled decoded ones."""
    built, samples = _trained(part)
    pool = AVERAGE_POOL[samples.coarse.dim() - 2]
    coarse, refined = (pool(x, _CELL) for x in (samples.coarse, _refine(built, samples)))
    distance = float((refined - coarse).square().mean().sqrt() / coarse.std())
    expect(distance < _NEAR, f"a distance of {distance:.2f} standard deviations", f"less than {_NEAR:g}")


def _texture(x: Tensor) -> float:
    """Return the mean squared difference between neighbors."""
    return fmean(float(x.diff(dim=dim).square().mean()) for dim in range(2, x.dim()))


@law("refiner")
def follows_the_device(part: Refiner) -> None:
    """New tensors are created on the device of the samples."""
    built, shape = _first(part)
    samples = _Samples(*(x.to("meta") for x in _made_up(shape, 4)))
    on_meta = built.to("meta")
    expect_device_followed(lambda: on_meta(samples.coarse, samples.latents, samples.labels, samples.noise))
    expect_device_followed(lambda: on_meta.train().loss(*samples[:4]))
