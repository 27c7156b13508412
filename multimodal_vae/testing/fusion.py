"""Laws of fusions."""

import math
from collections.abc import Iterator, Mapping
from itertools import product

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError
from multimodal_vae.fusions.base import Fusion
from multimodal_vae.testing.exercise import SHARED, SIZES, asked_of, fused_from, latent_of
from multimodal_vae.testing.instruments import (
    expect_device_followed,
    expect_gradients,
    farthest,
    same,
    stir,
    through_a_file,
)
from multimodal_vae.testing.law import expect, law


def _built(part: Fusion, sizes: Mapping[str, int] = SIZES, shared: int = SHARED) -> Fusion:
    part.build(sizes, latent_of(part, sizes, shared))
    stir(part)
    return part.eval()


def _rows(posterior: Gaussian, rows: Tensor) -> Tensor:
    return torch.cat([posterior.mean[rows], posterior.logvar[rows]], 1)


@law("fusion")
def posterior_has_a_row_a_sample(part: Fusion) -> None:
    """Batches of 1 and of 3 give means and log-variances of (N, latent_dim), finite and float32."""
    _built(part)
    for count in (1, 3):
        posterior = part(*fused_from(count))
        for what, x in (("mean", posterior.mean), ("logvar", posterior.logvar)):
            seen = (tuple(x.shape), x.dtype, bool(x.isfinite().all()))
            wanted = ((count, latent_of(part)), torch.float32, True)
            expect(seen == wanted, f"{what} of shape, type and finiteness {seen}", f"{wanted}")


@law("fusion")
def samples_do_not_mix(part: Fusion) -> None:
    """A sample's posterior is the same alone and in a batch, wherever in the batch it stands."""
    _built(part)
    features, present = fused_from(5)
    together = _rows(part(features, present), torch.arange(5))
    order = torch.randperm(5)
    permuted = _rows(part({name: x[order] for name, x in features.items()}, present[order]), torch.arange(5))
    # Kernels for other batch sizes add up in other orders.
    expect(same(permuted, together[order], 1e-5), farthest(permuted, together[order]), "rows permuted as samples are")
    for i in range(5):
        alone = _rows(part({name: x[i : i + 1] for name, x in features.items()}, present[i : i + 1]), torch.arange(1))
        expect(same(alone, together[i : i + 1], 1e-5), farthest(alone, together[i : i + 1]), "the same alone")


def _absences() -> Iterator[tuple[dict[str, Tensor], Tensor, list[str]]]:
    """Batches of three, in whose middle row a subset of the modalities is absent."""
    for pattern in product([True, False], repeat=len(SIZES)):
        if any(pattern) and not all(pattern):
            features, present = fused_from(3)
            present[1] = torch.tensor(pattern)
            features = {name: x.where(present[:, [i]], 0) for i, (name, x) in enumerate(features.items())}
            yield features, present, [name for name, here in zip(SIZES, pattern, strict=True) if not here]


@law("fusion")
def absence_is_answered_or_refused_by_name(part: Fusion) -> None:
    """For any subset of the modalities there is a finite Gaussian, or a DataError that names what is lacking."""
    _built(part)
    for features, present, absent in _absences():
        try:
            posterior = part(features, present)
        except DataError as error:
            named = any(repr(name) in str(error) for name in absent)
            expect(named, f"the refusal {str(error)!r} where {absent} are absent", "the name of what is lacking")
            continue
        finite = bool((posterior.mean.isfinite() & posterior.logvar.isfinite()).all())
        expect(finite, f"values that are not finite where {absent} are absent", "a finite Gaussian, or a DataError")


@law("fusion")
def what_is_absent_has_no_say(part: Fusion) -> None:
    """What stands in an absent modality's place changes nothing, and its absence nothing for other samples."""
    _built(part)
    for features, present, absent in _absences():
        try:
            posterior = part(features, present)
        except DataError:
            continue
        for stand_in in (3.0, math.nan):
            noisy = {name: x.where(present[:, [i]], stand_in) for i, (name, x) in enumerate(features.items())}
            first, second = _rows(posterior, torch.arange(3)), _rows(part(noisy, present), torch.arange(3))
            seen = f"{farthest(first, second)} by {stand_in} in the place of {absent}"
            expect(same(first, second, 1e-6), seen, "no difference")
            part.zero_grad()
            second.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            finite = all(bool(x.grad.isfinite().all()) for x in part.parameters() if x.grad is not None)
            expect(finite, f"a gradient that is not finite by {stand_in} in the place of {absent}", "a finite one")
        whole = torch.ones_like(present)
        others = torch.tensor([0, 2])
        first, second = _rows(posterior, others), _rows(part(features, whole), others)
        expect(same(first, second, 1e-5), f"{farthest(first, second)} by another sample's absence", "no difference")


@law("fusion")
def posterior_normalizes(part: Fusion) -> None:
    """Also for features far from the usual, the posterior is a density: its integral is 1."""
    _built(part, shared=1)
    for scale in (1.0, 1e2, 1e4, 1e6):
        features, present = fused_from(4)
        posterior = part({name: scale * x for name, x in features.items()}, present)
        mean, deviation = (x.double().flatten()[:, None] for x in (posterior.mean, (0.5 * posterior.logvar).exp()))
        z = mean + deviation * torch.linspace(-12, 12, 4001, dtype=torch.float64)
        density = torch.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        integral = torch.trapezoid(density, z)
        proper = bool((integral - 1).abs().le(1e-6).all()) and bool(posterior.logvar.exp().isfinite().all())
        seen = f"integrals {integral.tolist()}, log-variances {posterior.logvar.flatten().tolist()}"
        expect(proper, f"{seen} for features of size {scale:g}", "1, with variances that float32 can hold")


@law("fusion")
def every_parameter_has_a_gradient(part: Fusion) -> None:
    """Every parameter takes part in the posterior while it trains."""
    part.build(SIZES, latent_of(part))
    posterior = part.train()(*fused_from(6))
    (posterior.mean.sum() + posterior.logvar.sum()).backward()
    expect_gradients(part, "the fusion")


@law("fusion")
def subsets_are_of_what_is_present(part: Fusion) -> None:
    """What training asks of a sample is a part of what it has, counts for something, and rebuilds all of that."""
    _built(part)
    for _, present, absent in _absences():
        subsets = part.subsets(present)
        count = len(subsets.mask)
        shapes = [tuple(x.shape) for x in (subsets.mask, subsets.weight, subsets.reconstruction_weight)]
        wanted = [(count, *present.shape), (count, len(present)), (count, *present.shape)]
        expect(shapes == wanted, f"subsets, weights and counts of {shapes}", f"{wanted}")
        there = f"where {absent} are absent"
        taken = subsets.weight > 0
        proper = bool(subsets.weight.isfinite().all() and (subsets.weight >= 0).all() and taken.any(0).all())
        expect(proper, f"weights {subsets.weight.tolist()} {there}", "none negative, and some positive of each sample")
        expect(not bool((subsets.mask & ~present).any()), f"a subset with what is not there, {there}", "present only")
        expect(bool(subsets.mask.any(2)[taken].all()), f"an empty subset that counts, {there}", "something in each")
        rebuilt = (taken[..., None] & (subsets.reconstruction_weight > 0)).any(0)
        expect(bool(rebuilt[present].all()), f"a present modality that nothing rebuilds, {there}", "all are rebuilt")


@law("fusion")
def divergence_has_a_row_a_question(part: Fusion) -> None:
    """What an answer costs is a finite number a row, and does not depend on the other rows."""
    _built(part)
    features, present = fused_from(4)
    answers = asked_of(part, features, present)
    together = part.divergence(*answers)
    seen = (tuple(together.shape), bool(together.isfinite().all()))
    wanted = ((len(answers[1]),), True)
    expect(seen == wanted, f"a divergence of shape and finiteness {seen}", f"{wanted}")
    posterior, latents, folded, asked, here = answers
    half = slice(0, len(asked) // 2)
    apart = part.divergence(
        Gaussian(posterior.mean[half], posterior.logvar[half]),
        latents[half],
        {name: x[half] for name, x in folded.items()},
        asked[half],
        here[half],
    )
    expect(same(apart, together[half], 1e-5), farthest(apart, together[half]), "the same without the other rows")


@law("fusion")
def gradient_reaches_every_encoder(part: Fusion) -> None:
    """Training moves what gives the features of each modality, and its gradient is finite."""
    _built(part)
    features, present = fused_from(16)
    features = {name: x.requires_grad_() for name, x in features.items()}
    answers = asked_of(part, features, present)
    total = answers[1].square().sum() + part.divergence(*answers).sum()
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    for name, x in features.items():
        moved = x.grad is not None and bool(x.grad.isfinite().all() and (x.grad != 0).any())
        expect(moved, f"no finite gradient other than zero for the features of {name!r}", "one for each modality's")


@law("fusion")
def modalities_may_have_any_name(part: Fusion) -> None:
    """Names are free text, and one modality alone is enough."""
    for names in (["type"], ["half", "1.0", "a.b", "", "ECG, lead II"]):
        fresh = part.clone()
        sizes = dict.fromkeys(names, 3)
        fresh.build(sizes, latent_of(fresh, sizes))
        rows = len(fresh.eval()({name: torch.randn(2, 3) for name in names}, torch.ones(2, len(names)).bool()).mean)
        expect(rows == 2, f"{rows} rows for 2 samples of {names}", "2")


@law("fusion")
def state_comes_back_from_a_file(part: Fusion) -> None:
    """A new fusion with the saved state gives the same posterior."""
    again = part.clone()
    _built(part)
    again.build(SIZES, latent_of(again))
    again.eval().load_state_dict(through_a_file(part.state_dict()))
    features, present = fused_from(4)
    first, second = (_rows(each(features, present), torch.arange(4)) for each in (part, again))
    expect(same(first, second), farthest(first, second), "the same posterior")


@law("fusion")
def follows_the_device(part: Fusion) -> None:
    """Tensors that are made on the way are made where the features are."""
    on_meta: nn.Module = _built(part).to("meta")
    features, present = fused_from(3)
    expect_device_followed(lambda: on_meta({n: x.to("meta") for n, x in features.items()}, present.to("meta")))
