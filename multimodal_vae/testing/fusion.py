"""Laws of fusions."""

import math
from collections.abc import Iterator, Mapping
from itertools import product

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.testing.exercise import SHARED, SIZES, divergence_arguments, fusion_inputs, latent_dim_of
from multimodal_vae.testing.instruments import (
    difference,
    expect_device_followed,
    expect_gradients,
    perturb,
    same,
    save_and_load,
)
from multimodal_vae.testing.law import expect, law


def _built(part: Fusion, sizes: Mapping[str, int] = SIZES, shared: int = SHARED) -> Fusion:
    part.build(sizes, latent_dim_of(part, sizes, shared))
    perturb(part)
    return part.eval()


def _rows(posterior: Gaussian, rows: Tensor) -> Tensor:
    return torch.cat([posterior.mean[rows], posterior.logvar[rows]], 1)


@law("fusion")
def posterior_has_one_row_per_sample(part: Fusion) -> None:
    """Batches of 1 and of 3 give finite float32 means and log-variances of shape (N, latent_dim)."""
    _built(part)
    for count in (1, 3):
        posterior = part(*fusion_inputs(count))
        for what, x in (("mean", posterior.mean), ("logvar", posterior.logvar)):
            actual = (tuple(x.shape), x.dtype, bool(x.isfinite().all()))
            expected = ((count, latent_dim_of(part)), torch.float32, True)
            expect(actual == expected, f"{what} of shape, dtype and finiteness {actual}", f"{expected}")


@law("fusion")
def samples_do_not_mix(part: Fusion) -> None:
    """A sample's posterior depends neither on the other samples of its batch nor on its place among them."""
    _built(part)
    features, present = fusion_inputs(5)
    batch = _rows(part(features, present), torch.arange(5))
    order = torch.randperm(5)
    permuted = _rows(part({name: x[order] for name, x in features.items()}, present[order]), torch.arange(5))
    # Kernels for other batch sizes sum in another order.
    expect(same(permuted, batch[order], 1e-5), difference(permuted, batch[order]), "rows permuted as the samples")
    for i in range(5):
        single = _rows(part({name: x[i : i + 1] for name, x in features.items()}, present[i : i + 1]), torch.arange(1))
        expect(same(single, batch[i : i + 1], 1e-5), difference(single, batch[i : i + 1]), "no difference alone")


def _absences() -> Iterator[tuple[dict[str, Tensor], Tensor, list[str]]]:
    """Yield batches of three whose middle row lacks some modalities, and the names of these."""
    for pattern in product([True, False], repeat=len(SIZES)):
        if any(pattern) and not all(pattern):
            features, present = fusion_inputs(3)
            present[1] = torch.tensor(pattern)
            features = {name: x.where(present[:, [i]], 0) for i, (name, x) in enumerate(features.items())}
            yield features, present, [name for name, here in zip(SIZES, pattern, strict=True) if not here]


@law("fusion")
def absent_modalities_are_handled_or_named(part: Fusion) -> None:
    """Any subset of the modalities gives a finite Gaussian, or a DataError that names an absent one."""
    _built(part)
    for features, present, absent in _absences():
        try:
            posterior = part(features, present)
        except DataError as error:
            named = any(repr(name) in str(error) for name in absent)
            expect(named, f"the error {str(error)!r} without {absent}", "the name of an absent modality")
            continue
        finite = bool((posterior.mean.isfinite() & posterior.logvar.isfinite()).all())
        expect(finite, f"values that are not finite without {absent}", "a finite Gaussian or a DataError")


@law("fusion")
def absent_modalities_have_no_influence(part: Fusion) -> None:
    """Values in place of an absent modality change nothing, and its absence changes no other sample."""
    _built(part)
    for features, present, absent in _absences():
        try:
            posterior = part(features, present)
        except DataError:
            continue
        for value in (3.0, math.nan):
            filled = {name: x.where(present[:, [i]], value) for i, (name, x) in enumerate(features.items())}
            first, second = _rows(posterior, torch.arange(3)), _rows(part(filled, present), torch.arange(3))
            expect(same(first, second, 1e-6), f"{difference(first, second)} by {value} for {absent}", "no difference")
            part.zero_grad()
            second.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            finite = all(bool(x.grad.isfinite().all()) for x in part.parameters() if x.grad is not None)
            expect(finite, f"a gradient that is not finite by {value} for {absent}", "a finite gradient")
        whole = torch.ones_like(present)
        others = torch.tensor([0, 2])
        first, second = _rows(posterior, others), _rows(part(features, whole), others)
        expect(same(first, second, 1e-5), f"{difference(first, second)} by another sample's absence", "no difference")


@law("fusion")
def posterior_integrates_to_one(part: Fusion) -> None:
    """The posterior's density integrates to 1, also for very large features."""
    _built(part, shared=1)
    for scale in (1.0, 1e2, 1e4, 1e6):
        features, present = fusion_inputs(4)
        posterior = part({name: scale * x for name, x in features.items()}, present)
        mean, deviation = (x.double().flatten()[:, None] for x in (posterior.mean, (0.5 * posterior.logvar).exp()))
        z = mean + deviation * torch.linspace(-12, 12, 4001, dtype=torch.float64)
        density = torch.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        integral = torch.trapezoid(density, z)
        valid = bool((integral - 1).abs().le(1e-6).all()) and bool(posterior.logvar.exp().isfinite().all())
        actual = f"integrals {integral.tolist()}, log-variances {posterior.logvar.flatten().tolist()}"
        expect(valid, f"{actual} for features of size {scale:g}", "integrals of 1, and variances finite in float32")


@law("fusion")
def every_parameter_has_a_gradient(part: Fusion) -> None:
    """Every parameter contributes to the posterior in training."""
    part.build(SIZES, latent_dim_of(part))
    posterior = part.train()(*fusion_inputs(6))
    (posterior.mean.sum() + posterior.logvar.sum()).backward()
    expect_gradients(part, "the fusion")


@law("fusion")
def subsets_contain_present_modalities_only(part: Fusion) -> None:
    """Training subsets contain present modalities only, and reconstruct all of them in every sample."""
    _built(part)
    for _, present, absent in _absences():
        subsets = part.subsets(present)
        count = len(subsets.mask)
        actual = [tuple(x.shape) for x in (subsets.mask, subsets.weight, subsets.reconstruction_weight)]
        expected = [(count, *present.shape), (count, len(present)), (count, *present.shape)]
        expect(actual == expected, f"mask, weight and reconstruction_weight of shapes {actual}", f"{expected}")
        used = subsets.weight > 0
        valid = bool(subsets.weight.isfinite().all() and (subsets.weight >= 0).all() and used.any(0).all())
        expect(valid, f"weights {subsets.weight.tolist()} without {absent}", "none negative, one positive per sample")
        within = not bool((subsets.mask & ~present).any())
        expect(within, f"a subset with an absent modality of {absent}", "subsets of the present modalities")
        nonempty = bool(subsets.mask.any(2)[used].all())
        expect(nonempty, f"an empty subset with weight, without {absent}", "a modality in each subset")
        reconstructed = (used[..., None] & (subsets.reconstruction_weight > 0)).any(0)
        complete = bool(reconstructed[present].all())
        expect(complete, f"a present modality that no subset reconstructs, without {absent}", "each reconstructed")


@law("fusion")
def divergence_has_one_value_per_row(part: Fusion) -> None:
    """The divergence is one finite number per row, independent of the other rows."""
    _built(part)
    features, present = fusion_inputs(4)
    arguments = divergence_arguments(part, features, present)
    whole = part.divergence(*arguments)
    actual, expected = (tuple(whole.shape), bool(whole.isfinite().all())), ((len(arguments[1]),), True)
    expect(actual == expected, f"a divergence of shape and finiteness {actual}", f"{expected}")
    posterior, latents, folded, mask, here = arguments
    half = slice(0, len(mask) // 2)
    half_value = part.divergence(
        Gaussian(posterior.mean[half], posterior.logvar[half]),
        latents[half],
        {name: x[half] for name, x in folded.items()},
        mask[half],
        here[half],
    )
    expect(same(half_value, whole[half], 1e-5), difference(half_value, whole[half]), "no difference without other rows")


@law("fusion")
def gradient_reaches_every_encoder(part: Fusion) -> None:
    """Training gives the features of every modality a finite gradient other than zero."""
    _built(part)
    features, present = fusion_inputs(16)
    features = {name: x.requires_grad_() for name, x in features.items()}
    arguments = divergence_arguments(part, features, present)
    total = arguments[1].square().sum() + part.divergence(*arguments).sum()
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    for name, x in features.items():
        trained = x.grad is not None and bool(x.grad.isfinite().all() and (x.grad != 0).any())
        expect(trained, f"no gradient for the features of {name!r}, or zero, or not finite", "a finite one, not zero")


@law("fusion")
def modalities_may_have_any_name(part: Fusion) -> None:
    """Names are free text, and a single modality is enough."""
    for names in (["type"], ["half", "1.0", "a.b", "", "ECG, lead II"]):
        fresh = part.clone()
        sizes = dict.fromkeys(names, 3)
        fresh.build(sizes, latent_dim_of(fresh, sizes))
        rows = len(fresh.eval()({name: torch.randn(2, 3) for name in names}, torch.ones(2, len(names)).bool()).mean)
        expect(rows == 2, f"{rows} rows for 2 samples of {names}", "2")


@law("fusion")
def state_is_restored_from_a_file(part: Fusion) -> None:
    """A new fusion with the saved state gives the same posterior."""
    again = part.clone()
    _built(part)
    again.build(SIZES, latent_dim_of(again))
    again.eval().load_state_dict(save_and_load(part.state_dict()))
    features, present = fusion_inputs(4)
    first, second = (_rows(each(features, present), torch.arange(4)) for each in (part, again))
    expect(same(first, second), difference(first, second), "the same posterior")


@law("fusion")
def follows_the_device(part: Fusion) -> None:
    """New tensors are created on the device of the features."""
    on_meta: nn.Module = _built(part).to("meta")
    features, present = fusion_inputs(3)
    expect_device_followed(lambda: on_meta({n: x.to("meta") for n, x in features.items()}, present.to("meta")))
