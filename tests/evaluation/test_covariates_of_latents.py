"""Whether latents tell a covariate: on latents of which it is known."""

import pytest
import torch

from multimodal_vae.data.covariates import Covariate
from multimodal_vae.evaluation.covariates import covariate_metrics
from multimodal_vae.evaluation.samples import LabeledSamples

SITE, AGE = Covariate(name="site", kind="word", values=("A", "B")), Covariate(name="age", kind="number")


def _measure(latents, labels, values, covariate, count=240):
    rng = torch.Generator().manual_seed(9)
    samples = LabeledSamples(
        {"x": torch.randn(count, 3, generator=rng)}, labels, [f"p{row // 2}" for row in range(count)],
        covariates=values[:, None],
    )  # fmt: skip
    (result,) = covariate_metrics(latents, samples, [covariate], resamples=40)
    return result


@pytest.fixture
def draw():
    rng = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=rng)


def test_a_site_that_only_its_classes_tell_is_at_chance(draw):
    # Site A has three ill patients of four, site B one of four: the class tells the site, the rest does not.
    labels = (torch.arange(240) % 4 == 0).long()
    labels[120:] = 1 - labels[120:]
    sites = (torch.arange(240) >= 120).float()
    result = _measure(5 * labels[:, None] + draw(240, 4), labels, sites, SITE)
    assert result.name == "latent/covariate site"
    assert result.context == {"chance": 0.5}
    assert result.interval[0] < 0.5 < result.interval[1]


def test_a_site_in_the_latents_mean_or_only_in_their_spread_is_told(draw):
    labels, sites = torch.arange(240) % 2, (torch.arange(240) // 4 % 2).float()
    assert _measure(draw(240, 4) + 2 * sites[:, None], labels, sites, SITE).value > 0.95
    assert _measure(draw(240, 4) * (1 + 2 * sites[:, None]), labels, sites, SITE).interval[0] > 0.6


def test_numbers_are_told_by_their_explained_variance_within_classes(draw):
    labels, noise = torch.arange(240) % 2, draw(240)
    ages = 50 + 20 * labels + 5 * noise
    told = _measure(torch.stack([noise, draw(240)], 1), labels, ages, AGE)
    assert told.value > 0.7
    assert told.context == {"chance": 0.0}
    untold = _measure(torch.stack([labels.float(), draw(240)], 1), labels, ages, AGE)
    assert untold.interval[0] < 0.05
    assert untold.value < 0.1


def test_too_few_patients_give_no_result(draw):
    labels, sites = torch.arange(240) % 2, (torch.arange(240) < 12).float()  # six patients
    samples = LabeledSamples(
        {"x": draw(240, 3)}, labels, [f"p{row // 2}" for row in range(240)], covariates=sites[:, None]
    )
    assert covariate_metrics(draw(240, 2), samples, [SITE]) == []
