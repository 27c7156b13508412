"""What every density sampler of the core keeps to."""

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import registry
from multimodal_vae.files import read_tensors, write_tensors

SAMPLERS = [
    {"name": "kde"},
    {"name": "kde", "bandwidth": 0.5},
    {"name": "kde", "bandwidths": [0.1, 1.0], "folds": 3},
    {"name": "gmm"},
    {"name": "gmm", "components": 2, "covariance": "full"},
]
each_sampler = pytest.mark.parametrize("spec", SAMPLERS, ids=str)


@pytest.fixture
def latents(generator):
    return torch.randn(40, 3, generator=generator)


def test_every_core_sampler_is_under_these_laws():
    assert {spec["name"] for spec in SAMPLERS} == {
        entry.name for entry in registry.entries("sampler") if entry.distribution == "multimodal-vae"
    }


@each_sampler
def test_fit_returns_itself_and_calls_give_a_distribution(spec, latents):
    sampler = mv.DensitySampler.of(spec)
    assert sampler.fit(latents) is sampler
    density = sampler()
    assert isinstance(density, torch.distributions.Distribution)
    drawn = density.sample((7,))
    assert drawn.shape == (7, 3)
    assert drawn.dtype == latents.dtype
    assert density.log_prob(drawn).shape == (7,)
    assert density.log_prob(drawn).isfinite().all()


@each_sampler
def test_draws_are_likelier_under_their_density_than_strangers(spec, latents):
    torch.manual_seed(0)
    density = mv.DensitySampler.of(spec).fit(latents)()
    assert density.log_prob(density.sample((500,))).mean() > density.log_prob(10 + latents).mean()


@each_sampler
def test_the_density_integrates_to_one(spec, generator):
    density = mv.DensitySampler.of(spec).fit(torch.randn(30, 1, generator=generator, dtype=torch.float64))()
    grid = torch.linspace(-30, 30, 200001, dtype=torch.float64)
    # The trapezoid rule is exact to many digits for a smooth density that ends within the grid.
    assert torch.trapezoid(density.log_prob(grid[:, None]).exp(), grid).item() == pytest.approx(1, abs=1e-6)


@each_sampler
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(0, 3), "at least 2.*there are 0"),
        (torch.zeros(1, 3), "at least 2.*there are 1"),
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
def test_state_through_a_file_gives_the_same_density(spec, latents, tmp_path):
    fitted = mv.DensitySampler.of(spec).fit(latents)
    write_tensors(tmp_path / "state.safetensors", fitted.state(), {})
    again = mv.DensitySampler.of(spec).restore(read_tensors(tmp_path / "state.safetensors")[0])
    assert torch.equal(fitted().log_prob(latents), again().log_prob(latents))
    torch.manual_seed(0)
    drawn = fitted().sample((9,))
    torch.manual_seed(0)
    assert torch.equal(drawn, again().sample((9,)))


@each_sampler
def test_a_foreign_state_is_refused(spec):
    with pytest.raises(mv.SamplerError, match="no state 'nonsense'"):
        mv.DensitySampler.of(spec).restore({"nonsense": torch.zeros(1)})
    with pytest.raises(mv.MultimodalVAEError):
        mv.DensitySampler.of(spec).restore({"a.b": torch.zeros(1)})


@each_sampler
def test_fitting_leaves_torchs_random_state_alone(spec, latents):
    before = torch.random.get_rng_state()
    mv.DensitySampler.of(spec).fit(latents)
    assert torch.equal(before, torch.random.get_rng_state())


@each_sampler
def test_fitting_takes_no_gradient_along(spec, latents):
    latents = (latents.requires_grad_() * 2).clone()
    sampler = mv.DensitySampler.of(spec).fit(latents)
    assert not any(tensor.requires_grad for tensor in sampler.state().values())


@each_sampler
def test_fitting_again_forgets_the_first_fit(spec, latents):
    sampler = mv.DensitySampler.of(spec).fit(100 + torch.randn(25, 2)).fit(latents)
    fresh = mv.DensitySampler.of(spec).fit(latents)
    assert torch.equal(sampler().log_prob(latents), fresh().log_prob(latents))
