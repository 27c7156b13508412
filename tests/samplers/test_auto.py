import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

import multimodal_vae as mv
from multimodal_vae.samplers.auto import MOST_RECOGNIZED, best_of
from multimodal_vae.samplers.trial import Cohort, auc, two_sample

MIXTURE = {"name": "gmm", "components": 4, "covariance": "full", "regularization": 0.05}
COPIES = {"name": "kde", "bandwidth": 1e-3}


@pytest.fixture
def normal(generator):
    return torch.randn(300, 4, generator=generator)


@pytest.fixture
def corners(normal, generator):
    """Latents (300, 4) whose first two dimensions depend on each other without correlation."""
    signs = torch.randint(2, (300, 2), generator=generator) * 2.0 - 1
    return torch.cat([0.2 * normal[:, :2] + signs * torch.tensor([1.0, 2.0]), normal[:, 2:]], 1)


def choose(candidates, *classes, groups=None, **settings):
    return mv.Auto(candidates=candidates, **settings).prepare(list(classes), groups)


def result(two_sample, membership, log_density):
    return {
        "two_sample": two_sample,
        "standard_error": 0.01,
        "membership": membership,
        "memorizes": membership > MOST_RECOGNIZED,
        "log_density": log_density,
    }


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ([result(0.6, 0.5, 0), result(0.57, 0.5, -9)], 1),  # the lower AUC
        ([result(0.56, 0.5, -9), result(0.57, 0.5, 0)], 1),  # of equal ones, the likeliest
        ([result(0.45, 0.5, -9), result(0.51, 0.5, 0)], 1),  # an AUC below chance is chance
        ([result(0.5, 0.9, 0), result(0.8, 0.6, -9)], 1),  # not the one that memorizes
        ([result(0.5, 0.9, 0), result(0.8, 0.7, -9)], 1),  # both do, and one less
        ([result(0.8, 0.7, -9), result(0.5, 0.74, -9)], 1),  # both do alike
        ([{"failure": "singular"}, result(0.9, 0.5, 0)], 1),
        ([{"failure": "singular"}, {"failure": "singular"}], 0),
        ([{"failure": "singular"}, {}, {}], 1),
    ],
)
def test_the_rule(results, best):
    assert best_of(results) == best


def test_a_sampler_that_loses_dependence_is_not_chosen(corners):
    chosen = choose(["gaussian", MIXTURE], corners)
    assert chosen.configuration == mv.DensitySampler.of(MIXTURE).configuration
    gaussian = chosen.ranking[1]
    assert gaussian["two_sample"] - 5 * gaussian["standard_error"] > chosen.ranking[0]["two_sample"]


def test_a_sampler_that_memorizes_is_not_chosen(normal):
    chosen = choose([COPIES, "prior"], 3 * normal)
    assert chosen.name == "prior"
    assert chosen.ranking[1]["memorizes"]
    # Of n latents, a share of 1 - 1/e is among n copies; of the others, the attack knows nothing.
    assert chosen.ranking[1]["membership"] == pytest.approx(1 - 0.5 / math.e, abs=0.05)
    # Its draws cannot be distinguished from latents: two sets of copies from one distribution.
    assert abs(chosen.ranking[1]["two_sample"] - 0.5) < 4 * chosen.ranking[1]["standard_error"]
    assert choose([COPIES, {"name": "kde", "bandwidth": 0.3}], 3 * normal).bandwidth == 0.3  # both do


def test_patients_are_held_out_as_a_whole(normal):
    twins = [torch.cat([normal, normal])]
    patients = [str(row) for row in range(300)] * 2
    seen = choose([COPIES, "prior"], *twins).ranking[1]["membership"]
    whole = choose([COPIES, "prior"], *twins, groups=[patients]).ranking[1]["membership"]
    assert whole == pytest.approx(1 - 0.5 / math.e**2, abs=0.05)  # each latent is there twice
    assert seen < 0.75


def test_the_choice_repeats_by_its_seed_and_changes_no_random_state(corners):
    state = torch.random.get_rng_state()
    first, second, other = (choose(["gaussian", MIXTURE], corners, seed=seed).ranking for seed in (1, 1, 2))
    assert first == second != other
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("counts", [(0, 5), (1, 20), (2, 2), (3, 40), (5,), (4, 4, 4)])
def test_few_latents_or_patients_are_no_error_where_gaussian_works(counts, normal):
    classes = [normal[:count] + 5 * index for index, count in enumerate(counts)]
    for groups in (None, [["a"] * count for count in counts], [["a", "b", "c"] * 14][:1] * len(counts)):
        owners = groups and [names[:count] for names, count in zip(groups, counts, strict=True)]
        chosen = mv.Auto().prepare(classes, owners)
        for latents in classes:
            try:
                mv.ShrunkGaussian().fit(latents)
            except mv.SamplerError:
                continue
            assert mv.DensitySampler.of(chosen).fit(latents)().log_prob(latents).isfinite().all()


def test_a_candidate_that_fails_says_why_and_is_not_chosen(normal):
    singular = {"name": "gaussian", "shrinkage": 0.0}
    chosen = choose([singular, "gaussian"], normal[:200], normal[:4] + 5)
    assert chosen.configuration == mv.ShrunkGaussian().configuration
    assert "singular" in chosen.ranking[1]["failure"]
    assert set(choose(["gaussian", MIXTURE], normal[:1]).ranking[0]) == {"sampler"}  # nobody to hold out


def test_a_class_that_is_large_enough_only_as_a_whole_does_not_decide(normal):
    classes = [normal, normal[:4] + 5]
    assert "failure" not in choose(["gaussian", MIXTURE], *classes).ranking[0]
    chosen = choose(["gaussian", MIXTURE], normal, normal[:2] + 5)  # to two latents, no Gaussian can be fitted
    assert chosen.name == "gmm"
    assert "singular" in chosen.ranking[1]["failure"]


def test_latents_that_are_not_finite_are_left_out(normal):
    bad = normal.clone()
    bad[0, 0] = torch.nan
    assert choose([MIXTURE, "gaussian"], bad, 3 * normal).ranking == choose([MIXTURE, "gaussian"], 3 * normal).ranking


def test_a_choice_can_contain_a_choice(corners):
    assert choose(["prior", {"name": "auto", "candidates": ["gaussian", MIXTURE]}], corners).name == "gmm"


@pytest.fixture
def fitted(corners):
    data = mv.MultimodalDataset.from_tensors({"x": corners}, [0, 1] * 150, {"x": mv.Vector(size=4)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=4, seed=0)
    return data, mv.Synthesizer(vae, {"name": "auto", "candidates": ["gaussian", MIXTURE]}).fit(data)


def test_a_file_of_densities_keeps_choice_and_ranking(fitted, tmp_path):
    _, synthesizer = fitted
    path = tmp_path / "densities.safetensors"
    synthesizer.save(path)
    again = mv.Synthesizer.load(path, synthesizer.vae)
    assert again.sampler.configuration == synthesizer.sampler.configuration
    assert again.chosen.configuration == synthesizer.chosen.configuration
    assert again.ranking == synthesizer.ranking != []
    assert {each.name for each in again.densities.values()} == {synthesizer.chosen.name}
    assert torch.equal(again.sample("0", 5, seed=0)["x"], synthesizer.sample("0", 5, seed=0)["x"])


def test_the_auc_is_scikit_learns_and_its_error_that_of_whole_patients(generator):
    high, low = (
        torch.randn(400, generator=generator).round(decimals=1),
        torch.randn(300, generator=generator).round(decimals=1),
    )
    value, error = auc(high + 0.3, low)
    assert value == pytest.approx(roc_auc_score([1] * 400 + [0] * 300, torch.cat([high + 0.3, low])), abs=1e-6)
    chance = auc(high, low)[1]
    assert chance == pytest.approx((701 / (12 * 400 * 300)) ** 0.5, rel=0.1)  # the error of a rank sum at chance
    twice = auc(high.repeat(2), low.repeat(2), torch.arange(300).repeat(2))
    # Twins of one patient add no evidence; the draws' part of the variance halves.
    assert error / 2**0.5 < twice[1] < error


def test_the_two_sample_test_sees_dependence_and_is_at_chance_for_equals(generator):
    latents, draws = torch.randn(2, 600, 3, generator=generator)
    cohort = Cohort(latents, torch.zeros(600), [str(row) for row in range(600)], torch.arange(600) % 3)
    value, error = two_sample(cohort, draws)
    assert abs(value - 0.5) < 4 * error
    tied = draws.clone()
    tied[:, 1] = 0.9 * tied[:, 0] + 0.19**0.5 * tied[:, 1]  # the same marginal distributions
    value, error = two_sample(cohort, tied)
    assert value - 5 * error > 0.5


def test_a_private_sampler_is_no_candidate():
    with pytest.raises(mv.ConfigurationError, match="void the guarantee of 'private_gaussian'"):
        mv.Auto(candidates=["gaussian", {"name": "private_gaussian", "epsilon": 1.0}])
