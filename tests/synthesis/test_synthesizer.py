import json
import warnings
from collections import Counter
from functools import partial

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Uniform

import multimodal_vae as mv
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.synthesis import synthesizer as module


@pytest.fixture
def data(make_data):
    return make_data()


@pytest.fixture
def vae(data, make_model):
    return make_model(data).eval()


@pytest.fixture(params=["kde", "gmm"])
def synthesizer(request, vae, data):
    return mv.Synthesizer(vae, request.param).fit(data)


def test_samples_of_every_modality_belong_together_row_by_row(synthesizer, vae):
    pairs = synthesizer.sample("ill", 5, seed=3, noise="mean")
    assert {name: x.shape for name, x in pairs.items()} == {"blood": (5, 3), "gait": (5, 2)}
    latents = synthesizer.latents("ill", 5, seed=3)
    assert all(torch.equal(x, pairs[name]) for name, x in vae.generate(latents).items())


def test_a_seed_gives_the_same_pairs_and_another_gives_others(synthesizer):
    first, again, other = (synthesizer.sample("ill", 5, seed=seed)["blood"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_seed_draws_differ(synthesizer):
    assert not torch.equal(synthesizer.latents("ill", 5), synthesizer.latents("ill", 5))


def test_each_class_has_a_density_of_its_own_latents(synthesizer, vae, data):
    assert synthesizer.fitted_on == {"ill": 12, "well": 12}
    alone = DensitySampler.of(synthesizer.sampler).fit(vae.embed(data)[data.labels == 1])
    points = torch.randn(4, 3)
    assert torch.equal(alone().log_prob(points), synthesizer.densities["well"]().log_prob(points))


def test_unlabeled_samples_teach_no_density(vae, make_data):
    data = make_data()
    data.labels[:4] = -1
    assert mv.Synthesizer(vae).fit(data).fitted_on == {"ill": 10, "well": 10}


class Told(mv.Prior):
    """A sampler that keeps what it was given, and tells a count and a guarantee of its own."""

    guarantee = Guarantee(1.0, 1e-5, "density")
    fitted_on = 7

    def fit_classes(self, classes, groups=None, reference=None):
        type(self).given = classes, groups, reference
        return super().fit_classes(classes, groups, reference)


def test_a_sampler_gets_all_classes_patients_and_reference_and_may_tell_count_and_guarantee(vae, data):
    synthesizer = mv.Synthesizer(vae, Told())
    assert synthesizer.guarantee is None
    synthesizer.fit(data, reference=data.subset(range(6)))
    classes, groups, reference = Told.given
    assert [len(each) for each in classes] == [len(each) for each in groups] == [12, 12]
    latents = vae.embed(data)
    for index in range(2):
        assert torch.equal(classes[index], latents[data.labels == index])
        torch.testing.assert_close(reference[index], latents[:6][data.labels[:6] == index])
    assert synthesizer.fitted_on == {"ill": 7, "well": 7}
    assert synthesizer.guarantee == Guarantee(1.0, 1e-5, "density")
    synthesizer.end_to_end = True
    assert synthesizer.guarantee == Guarantee(1.0, 1e-5, "samples")


def test_the_sampler_passed_is_not_the_one_fitted(vae, data):
    mine = mv.KDE()
    mv.Synthesizer(vae, mine).fit(data)
    assert mine.points is None


def test_no_samples_at_all_may_be_asked_for(synthesizer):
    assert synthesizer.sample("ill", 0, seed=0)["blood"].shape == (0, 3)


def test_an_unknown_class_and_an_unfitted_density_are_errors(synthesizer, vae):
    with pytest.raises(mv.SamplerError, match="no class 'il'; did you mean 'ill'"):
        synthesizer.latents("il", 5)
    with pytest.raises(mv.SamplerError, match="call fit first"):
        mv.Synthesizer(vae).sample("ill", 5)


def test_a_class_with_too_few_samples_goes_without_and_the_others_do_not(vae, data, tmp_path):
    with pytest.warns(mv.MultimodalVAEWarning, match=r"class 'well' has no density.*not 1"):
        fitted = mv.Synthesizer(vae).fit(data.subset([0, 1, 2, 4]))
    fitted.save(tmp_path / "densities.safetensors")
    for each in (fitted, mv.Synthesizer.load(tmp_path / "densities.safetensors", vae)):
        assert each.sample("ill", 2, seed=0)["blood"].shape == (2, 3)
        for asked in (lambda each=each: each.sample("well", 2), lambda each=each: each.classify(torch.zeros(1, 3))):
            with pytest.raises(mv.SamplerError, match=r"class 'well'.*not 1"):
                asked()


def test_where_no_class_has_enough_each_is_named(vae, data):
    with pytest.raises(mv.SamplerError, match=r"class 'ill'.*not 1.*class 'well'.*not 1"):
        mv.Synthesizer(vae).fit(data.subset([0, 1]))


def test_a_fit_anew_forgets_what_was_refused(vae, data):
    synthesizer = mv.Synthesizer(vae)
    with pytest.warns(mv.MultimodalVAEWarning, match="'well'"):
        synthesizer.fit(data.subset([0, 1, 2, 4]))
    assert synthesizer.fit(data).sample("well", 2, seed=0)["blood"].shape == (2, 3)


def test_densities_come_back_from_a_file(synthesizer, vae, tmp_path):
    synthesizer.save(tmp_path / "densities.safetensors")
    again = mv.Synthesizer.load(tmp_path / "densities.safetensors", vae)
    assert again.fitted_on == synthesizer.fitted_on
    assert again.sampler.configuration == synthesizer.sampler.configuration
    for label in vae.classes:
        first, second = (each.sample(label, 6, seed=1) for each in (synthesizer, again))
        assert all(torch.equal(x, second[name]) for name, x in first.items())


def test_densities_of_classes_with_odd_names_come_back(tmp_path):
    names = ["a/b", "..", "type", "1.0", "é\n", "0"]
    data = mv.MultimodalDataset.from_tensors(
        {"x": torch.randn(24, 2)}, names * 4, {"x": mv.Vector(size=2, hidden=4)}, classes=names
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0).eval()
    synthesizer = mv.Synthesizer(vae).fit(data)
    synthesizer.save(tmp_path / "x")
    again = mv.Synthesizer.load(tmp_path / "x", vae)
    assert all(torch.equal(again.latents(name, 3, 0), synthesizer.latents(name, 3, 0)) for name in names)


def test_densities_of_other_classes_are_refused(synthesizer, tmp_path, make_data, make_model):
    synthesizer.save(tmp_path / "x")
    other = make_model(make_data(classes=["well", "ill"]))
    with pytest.raises(mv.RunError, match=r"\['ill', 'well'\].*\['well', 'ill'\]"):
        mv.Synthesizer.load(tmp_path / "x", other)


@pytest.mark.parametrize("facts", [{}, {"synthesizer": "no json"}, {"synthesizer": "[]"}, {"synthesizer": "{}"}])
def test_a_file_of_something_else_is_refused(vae, tmp_path, facts):
    write_tensors(tmp_path / "x", {"a": torch.zeros(1)}, facts)
    with pytest.raises(mv.RunError, match="does not contain densities"):
        mv.Synthesizer.load(tmp_path / "x", vae)


def test_a_file_that_lacks_a_density_is_refused(synthesizer, vae, tmp_path):
    synthesizer.save(tmp_path / "x")
    tensors, facts = read_tensors(tmp_path / "x")
    write_tensors(tmp_path / "x", {name: x for name, x in tensors.items() if name.startswith("0.")}, facts)
    with pytest.raises(mv.MultimodalVAEError):
        mv.Synthesizer.load(tmp_path / "x", vae).sample("well", 2)


class Whitened(DensitySampler):
    """A stranger's sampler: one Gaussian, with torch's own distribution."""

    def __init__(self, floor: float = 1e-3) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("mean", None)
        self.register_buffer("factor", None)

    def fit(self, latents):
        self.mean = latents.mean(0)
        self.factor = torch.linalg.cholesky(latents.T.cov() + self.floor * torch.eye(latents.shape[1]))
        return self

    def forward(self):
        return MultivariateNormal(self.mean, scale_tril=self.factor)


def test_a_strangers_sampler_is_fitted_saved_and_restored(vae, data, tmp_path):
    mv.register(Whitened)
    synthesizer = mv.Synthesizer(vae, {"name": "whitened", "floor": 0.1}).fit(data)
    synthesizer.save(tmp_path / "x")
    again = mv.Synthesizer.load(tmp_path / "x", vae)
    assert again.sampler.floor == 0.1
    assert torch.equal(again.latents("ill", 4, 0), synthesizer.latents("ill", 4, 0))
    assert Counter(json.loads(read_tensors(tmp_path / "x")[1]["synthesizer"])["fitted_on"]) == {"ill": 12, "well": 12}


def test_classes_can_share_a_bandwidth(vae, data, tmp_path):
    sampler = mv.KDE(shared=True)
    shared = mv.Synthesizer(vae, sampler).fit(data)
    assert shared.sampler.configuration == sampler.configuration
    assert shared.densities["ill"].chosen == shared.densities["well"].chosen
    apart = mv.Synthesizer(vae, "kde").fit(data)
    assert apart.densities["ill"].chosen != apart.densities["well"].chosen
    shared.save(tmp_path / "x")
    again = mv.Synthesizer.load(tmp_path / "x", vae)
    assert torch.equal(again.latents("ill", 3, 0), shared.latents("ill", 3, 0))


def identity(density):
    return density


def known(vae, densities, counts):
    synthesizer = mv.Synthesizer(vae)
    for name, density, count in zip(vae.classes, densities, counts, strict=True):
        synthesizer.densities[name], synthesizer.fitted_on[name] = partial(identity, density), count
    return synthesizer


@pytest.mark.parametrize(("prior", "odds"), [("frequency", 3.0), ("uniform", 1.0)])
def test_two_gaussians_of_one_covariance_give_a_logistic_function(vae, generator, prior, odds):
    factor = torch.tensor([[1.0, 0, 0], [0.5, 2, 0], [-0.3, 0.1, 0.7]], dtype=torch.float64)
    means = torch.tensor([[0.0, 1, -1], [1, 0.5, 0]], dtype=torch.float64)
    synthesizer = known(vae, [MultivariateNormal(mean, scale_tril=factor) for mean in means], [10, 30])
    points = 5 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    # Linear discriminant analysis: Hastie, Tibshirani and Friedman (2009), equation 4.9.
    slope = torch.linalg.solve(factor @ factor.T, means[1] - means[0])
    logit = (points - means.mean(0)) @ slope + torch.tensor(odds, dtype=torch.float64).log()
    found = synthesizer.classify(points, prior)
    torch.testing.assert_close(found, torch.stack([-logit, logit], 1).sigmoid(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.sum(1), torch.ones(50, dtype=torch.float64))


def test_far_out_a_class_is_told_still(vae):
    densities = [MultivariateNormal(torch.full((3,), mean), torch.eye(3)) for mean in (0.0, 1.0)]
    synthesizer = known(vae, densities, [1, 1])
    assert synthesizer.classify(torch.tensor([[300.0] * 3, [-300.0] * 3])).tolist() == [[0, 1], [1, 0]]


def test_fitted_classes_that_lie_apart_are_told_apart(synthesizer, vae, data):
    latents = vae.embed(data)
    means = torch.stack([synthesizer.latents(name, 200, seed=0).mean(0) for name in vae.classes])
    nearest = torch.cdist(latents, means).argmin(1)
    assert (synthesizer.classify(latents, "uniform").argmax(1) == nearest).float().mean() > 0.8


def test_what_cannot_be_classified_is_refused(synthesizer, vae):
    with pytest.raises(mv.ConfigurationError, match="no prior 'uniforn'; did you mean 'uniform'"):
        synthesizer.classify(torch.zeros(1, 3), "uniforn")
    for wrong in (torch.zeros(2, 4), torch.zeros(3), torch.full((1, 3), torch.nan)):
        with pytest.raises(mv.DataError, match=r"finite numbers of the shape \(N, 3\)"):
            synthesizer.classify(wrong)
    with pytest.raises(mv.SamplerError, match="call fit first"):
        mv.Synthesizer(vae).classify(torch.zeros(1, 3))
    box = Independent(Uniform(torch.zeros(3), torch.ones(3), validate_args=False), 1, validate_args=False)
    with pytest.raises(mv.SamplerError, match="latent 1 has density zero in every class"):
        known(vae, [box, box], [1, 1]).classify(torch.tensor([[0.5] * 3, [2.0] * 3]))


def test_what_a_density_gives_away_is_said_once_for_each_sampler(vae, data, monkeypatch):
    monkeypatch.setattr(module, "_disclosed", set())

    def said(sampler):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mv.Synthesizer(vae, sampler).fit(data)
        return [str(each.message) for each in caught if issubclass(each.category, mv.MultimodalVAEWarning)]

    assert not said({"name": "auto", "candidates": ["gaussian", {"name": "kde", "bandwidth": 1e-3}]})
    first, *others = said("kde")
    assert not others
    assert first.startswith("'kde' gives patients away: the density consists of the patients' embeddings")
    assert not said({"name": "kde", "bandwidth": 0.5})
    assert len(said("interpolation")) == 1
    assert mv.Auto(candidates=["kde"]).fit(vae.embed(data)).discloses == mv.KDE.discloses


def test_densities_can_be_fitted_to_augmented_versions_of_the_samples(tmp_path):
    class Shaken(mv.Vector):
        def augment(self, x):
            return x + torch.randn_like(x)

    samples = {"blood": torch.arange(24.0).reshape(8, 3)}
    data = mv.MultimodalDataset.from_tensors(samples, ["a", "b"] * 4, {"blood": Shaken(size=3)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0).eval()
    plain, twice, again = (mv.Synthesizer(vae, "kde", augmented).fit(data) for augmented in (0, 2, 2))
    assert twice.fitted_on == plain.fitted_on == {"a": 4, "b": 4}
    assert [len(each.densities["a"].points) for each in (plain, twice)] == [4, 8]
    assert torch.equal(twice.densities["a"].points, again.densities["a"].points)
    assert not torch.equal(twice.densities["a"].points[:4], plain.densities["a"].points)
    assert not torch.equal(twice.densities["a"].points[:4], twice.densities["a"].points[4:])
    twice.save(tmp_path / "density.safetensors")
    assert mv.Synthesizer.load(tmp_path / "density.safetensors", vae).augmented == 2


def test_the_versions_of_a_sample_are_of_one_patient(vae, data):
    seen = []

    class Watch(mv.Prior):
        def prepare(self, classes, groups=None):
            seen.extend(zip(map(len, classes), groups, strict=True))
            return self

    mv.Synthesizer(vae, Watch(), augmented=3).fit(data)
    assert [count for count, _ in seen] == [3 * 12, 3 * 12]
    assert all(len(patients) == count and max(Counter(patients).values()) % 3 == 0 for count, patients in seen)
