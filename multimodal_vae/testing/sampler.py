"""Laws of density samplers."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.errors import SamplerError
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.testing.instruments import difference, same, save_and_load
from multimodal_vae.testing.law import LawBroken, expect, law

_DIMENSIONS = 3


def _latents(count: int = 40, dimensions: int = _DIMENSIONS) -> Tensor:
    """Return latents of two clusters."""
    latents = 0.5 * torch.randn(count, dimensions)
    latents[::2] += 2
    return latents


def _log_prob(density: Distribution, points: Tensor) -> Tensor | None:
    """Return the log density, or None for a distribution without one."""
    try:
        value: Tensor = density.log_prob(points)
    except NotImplementedError:
        return None
    return value


def _expect_density(part: DensitySampler, latents: Tensor) -> None:
    """Require that fitting gives a finite density or raises a SamplerError."""
    try:
        density = part.fit(latents)()
        draws = density.sample((3,))
        log_density = _log_prob(density, latents)
    except SamplerError:
        return
    expect(draws.shape == (3, latents.shape[1]), f"draws of shape {tuple(draws.shape)}", f"(3, {latents.shape[1]})")
    expect(bool(draws.isfinite().all()), "draws that are not finite", "finite draws or a SamplerError")
    if log_density is not None:
        finite = bool(log_density.isfinite().all())
        expect(finite, "a log density that is not finite", "a finite log density or a SamplerError")


@law("sampler")
def gives_a_distribution(part: DensitySampler) -> None:
    """`fit` returns the sampler; a call gives a torch distribution over vectors (D,) of the latents' dtype."""
    latents = _latents()
    expect(part.fit(latents) is part, "fit returned another object", "the sampler itself")
    density = part()
    expect(isinstance(density, Distribution), f"{type(density).__name__}", "a torch.distributions.Distribution")
    draws = density.sample((7,))
    actual, expected = (tuple(draws.shape), draws.dtype), ((7, _DIMENSIONS), latents.dtype)
    expect(actual == expected, f"draws of {actual}", f"{expected}")
    log_density = _log_prob(density, latents)
    if log_density is not None:
        expect(
            log_density.shape == (40,), f"log densities of shape {tuple(log_density.shape)}", "(40,), one per latent"
        )


@law("sampler")
def log_density_integrates_to_one(part: DensitySampler) -> None:
    """In one dimension, the density integrates to 1."""
    grid, log_density = _on_a_grid(part.fit(_latents(dimensions=1).double())())
    if log_density is not None:
        integral = float(torch.trapezoid(log_density.exp(), grid))
        expect(abs(integral - 1) < 1e-3, f"an integral of {integral:.6g}", "1, within 0.001")


@law("sampler")
def draws_follow_the_density(part: DensitySampler) -> None:
    """In one dimension, draws follow the density (Kolmogorov-Smirnov test)."""
    from scipy.stats import kstest

    density = part.fit(_latents(dimensions=1).double())()
    grid, log_density = _on_a_grid(density)
    if log_density is None:
        return
    area = torch.cumulative_trapezoid(log_density.exp(), grid)
    cumulative = torch.cat([area.new_zeros(1), area / area[-1]]).numpy()
    draws = density.sample((2000,))[:, 0].numpy()
    test = kstest(draws, lambda x: np.interp(x, grid.numpy(), cumulative))
    # A correct sampler fails once in a million seeds, and the seed is fixed.
    expect(float(test.pvalue) > 1e-6, f"a statistic of {test.statistic:.3g} (p = {test.pvalue:.2g})", "p above 1e-6")


def _on_a_grid(density: Distribution) -> tuple[Tensor, Tensor | None]:
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    return grid, _log_prob(density, grid[:, None])


@law("sampler")
def draws_repeat_under_a_seed(part: DensitySampler) -> None:
    """Draws use torch's default generator, so that a seed repeats them."""
    density = part.fit(_latents())()
    torch.manual_seed(5)
    first = density.sample((9,))
    torch.manual_seed(5)
    second = density.sample((9,))
    expect(same(first, second), f"{difference(first, second)} between draws with one seed", "the same draws")


@law("sampler")
def state_is_restored_from_a_file(part: DensitySampler) -> None:
    """A new sampler with the saved state gives the same density."""
    latents = _latents()
    again = part.clone().restore(save_and_load(part.fit(latents).state()))
    first, second = (_log_prob(each(), latents) for each in (part, again))
    if first is None or second is None:  # compare draws instead
        torch.manual_seed(5)
        first = part().sample((9,))
        torch.manual_seed(5)
        second = again().sample((9,))
    expect(same(first, second), difference(first, second), "the same density")


@law("sampler")
def unfitted_raises(part: DensitySampler) -> None:
    """Density and state of a sampler that is not fitted raise a SamplerError."""
    for what, call in (("a density", part), ("a state", part.state)):
        try:
            call()
        except SamplerError:
            continue
        raise LawBroken(f"{what} of a sampler that is not fitted", "a SamplerError")


@law("sampler")
def fitting_changes_neither_latents_nor_generator(part: DensitySampler) -> None:
    """Fitting changes neither the latents nor torch's random state, and keeps no gradient."""
    latents = _latents()
    original, state = latents.clone(), torch.random.get_rng_state()
    part.fit(latents)
    expect(same(latents, original), "changed latents", "unchanged latents")
    expect(torch.equal(state, torch.random.get_rng_state()), "another random state of torch", "no change")
    part.fit((latents.clone().requires_grad_() * 1).clone())
    linked = [name for name, tensor in part.state().items() if tensor.requires_grad and tensor.grad_fn is not None]
    expect(not linked, f"{linked} with gradients of the latents", "a state without gradients")


@law("sampler")
def fitting_again_forgets(part: DensitySampler) -> None:
    """Fitting again gives the state of a new sampler, also if number and dimension of the latents change.

    A sampler with a guarantee draws secret noise, so that only names and shapes are the same.
    """
    latents = _latents()
    fresh = part.clone().fit(latents)
    again = part.fit(100 + _latents(25, 2)).fit(latents)
    first, second = fresh.state(), again.state()
    expect(list(first) == list(second), f"{list(second)} in its state", f"{list(first)}")
    for name, tensor in first.items():
        if part.guarantee is not None:
            expect(tensor.shape == second[name].shape, f"{name!r} of another shape", "the shape of a new one")
            continue
        expect(same(tensor, second[name]), f"{difference(tensor, second[name])} in {name!r}", "the state of a new one")


@law("sampler")
def fits_each_class_or_says_why(part: DensitySampler) -> None:
    """`fit_classes` gives a fitted density per class; of a class that is not finite, that or a reason."""
    bad = torch.full((4, _DIMENSIONS), float("nan"))
    _, densities, failures = part.fit_classes([_latents(), bad, 5 + _latents()], None, [_latents()] * 3)
    missing = [index for index, density in enumerate(densities) if density is None]
    expect(len(densities) == 3, f"{len(densities)} densities of 3 classes", "one per class, or None")
    expect(missing == sorted(failures), f"reasons for {sorted(failures)}, no density of {missing}", "a reason each")
    for index in (0, 2):
        density = densities[index]
        expect(density is not None and bool(density.state()), f"no density of class {index}", "a fitted density")


@law("sampler")
def takes_few_latents(part: DensitySampler) -> None:
    """Fewer latents than dimensions give a density or a SamplerError."""
    for count in (2, 3, 5):
        _expect_density(part.clone(), _latents(count, 8))


@law("sampler")
def takes_one_latent(part: DensitySampler) -> None:
    """One latent gives a density or a SamplerError."""
    _expect_density(part, _latents(1))


@law("sampler")
def takes_equal_latents(part: DensitySampler) -> None:
    """Latents that are equal, in all dimensions or in one, give a density or a SamplerError."""
    _expect_density(part.clone(), torch.ones(6, _DIMENSIONS))
    flat = _latents(12)
    flat[:, 0] = 1
    _expect_density(part.clone(), flat)


@law("sampler")
def takes_no_latents(part: DensitySampler) -> None:
    """No latents give a density or a SamplerError."""
    _expect_density(part, _latents(0))


@law("sampler")
def refuses_latents_that_are_not_finite(part: DensitySampler) -> None:
    """Latents that are not finite give a SamplerError or finite draws."""
    for bad in (float("nan"), float("inf")):
        latents = _latents(10)
        latents[3, 1] = bad
        try:
            density = part.clone().fit(latents)()
            draws = density.sample((100,))
        except SamplerError:
            continue
        expect(bool(draws.isfinite().all()), f"draws that are not finite, from latents with {bad}", "a SamplerError")


@law("sampler")
def says_that_it_keeps_latents(part: DensitySampler) -> None:
    """A sampler whose state contains the fitted latents says in `discloses` what its density gives away."""
    latents = _latents()
    state = part.fit(latents).state()
    kept = [name for name, x in state.items() if x.shape[-1:] == latents.shape[1:] and bool(_rows_in(latents, x).any())]
    expect(not kept or bool(part.discloses.strip()), f"no word of the latents in {kept}", "a sentence in 'discloses'")


def _rows_in(latents: Tensor, tensor: Tensor) -> Tensor:
    """Return which latents are rows of a tensor."""
    return (latents[:, None] == tensor.to(latents).reshape(1, -1, latents.shape[1])).all(2).any(1)
