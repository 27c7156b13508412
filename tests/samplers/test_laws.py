"""Tests of all density samplers of the core."""

import json

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.files import read_tensors, write_tensors

SAMPLERS = [
    {"name": "kde"},
    {"name": "kde", "bandwidth": 0.5},
    {"name": "kde", "bandwidths": [0.1, 1.0], "folds": 3},
    {"name": "kde", "kernel": "variance_preserving", "selection": "leave_one_out", "shared": True},
    {"name": "gaussian"},
    {"name": "gaussian", "shrinkage": 0.3},
    {"name": "gmm"},
    {"name": "gmm", "components": 2, "covariance": "full"},
    {"name": "gmm", "components": [1, 2], "covariance": ["tied", "spherical"]},
    {"name": "gmm", "method": "variational"},
    {"name": "flow", "transforms": 1, "hidden": [8], "epochs": 5},
    {"name": "interpolation"},
    {"name": "interpolation", "neighbors": 1, "width": 0.5},
    {"name": "auto", "candidates": ["kde", {"name": "gmm", "components": 2}]},
]
each_sampler = pytest.mark.parametrize("spec", SAMPLERS, ids=str)


@pytest.fixture
def latents(generator):
    return torch.randn(40, 3, generator=generator)


@each_sampler
def test_draws_are_likelier_under_their_density_than_strangers(spec, latents):
    torch.manual_seed(0)
    density = mv.DensitySampler.of(spec).fit(latents)()
    assert density.log_prob(density.sample((500,))).mean() > density.log_prob(10 + latents).mean()


@each_sampler
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(0, 3), "at least 2 latents, not 0"),
        (torch.zeros(1, 3), "at least 2 latents, not 1"),
        (torch.ones(5, 3), "all equal"),
        (torch.tensor([[0.0], [float("nan")]]), "not finite"),
        (torch.tensor([[0.0], [float("inf")]]), "not finite"),
        (torch.zeros(4), r"\(N, D\)"),
    ],
    ids=["none", "one", "equal", "nan", "infinite", "flat"],
)
def test_what_no_density_can_be_learned_from_is_refused(spec, bad, words):
    with pytest.raises(mv.SamplerError, match=f"'{spec['name']}'.*{words}"):
        mv.DensitySampler.of(spec).fit(bad)


@each_sampler
def test_an_unfitted_sampler_says_so(spec):
    with pytest.raises(mv.SamplerError, match="has not been fitted"):
        mv.DensitySampler.of(spec)()
    with pytest.raises(mv.SamplerError, match="has not been fitted"):
        mv.DensitySampler.of(spec).state()


@each_sampler
def test_a_foreign_state_is_refused(spec):
    with pytest.raises(mv.SamplerError, match="no state 'nonsense'"):
        mv.DensitySampler.of(spec).restore({"nonsense": torch.zeros(1)})
    with pytest.raises(mv.MultimodalVAEError):
        mv.DensitySampler.of(spec).restore({"a.b": torch.zeros(1)})


@each_sampler
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_few_latents_give_a_density_or_one_sentence_on_what_to_do(spec, count, latents):
    sampler = mv.DensitySampler.of(spec)
    enough = {"gaussian": 2 if "shrinkage" in spec else 4, "flow": 10}.get(spec["name"], 2)
    few = latents[:count]
    if count < enough:
        with pytest.raises(mv.SamplerError, match=f"'{spec['name']}'.*{count}.*(add samples|set a larger)"):
            sampler.fit(few)
        with pytest.raises(mv.SamplerError, match="has not been fitted"):
            sampler.state()
    else:
        density = sampler.fit(few)()
        assert density.log_prob(few).isfinite().all()
        assert density.sample((7,)).isfinite().all()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_prior_takes_any_number_of_latents(count, latents):
    assert mv.Prior().fit(latents[:count])().log_prob(latents).isfinite().all()


@each_sampler
def test_drawing_in_parts_draws_the_same(spec, latents, monkeypatch):
    density = mv.DensitySampler.of(spec).fit(latents)()
    draws = []
    for chunk in (type(density)._chunk, 24):
        monkeypatch.setattr(type(density), "_chunk", chunk)
        torch.manual_seed(0)
        draws.append(density.sample((50,)))
        assert torch.isfinite(density.log_prob(draws[-1])).all()
    if spec["name"] != "flow":  # which draws each chunk separately
        torch.testing.assert_close(draws[0], draws[1])


@each_sampler
def test_the_state_is_plain_tensors_in_a_file_without_pickle(spec, latents, tmp_path):
    sampler = mv.DensitySampler.of(spec).fit(latents)
    write_tensors(tmp_path / "density.safetensors", sampler.state(), {})
    state, _ = read_tensors(tmp_path / "density.safetensors")
    again = mv.DensitySampler.of(spec).restore(state)
    assert torch.equal(again().log_prob(latents), sampler().log_prob(latents))
    # A safetensors file begins with the length of its header, which is JSON.
    content = (tmp_path / "density.safetensors").read_bytes()
    assert set(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])) >= set(state)
