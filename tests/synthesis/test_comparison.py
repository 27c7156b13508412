import math

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold, cross_val_score

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.report.samplers import as_table
from multimodal_vae.synthesis.comparison import held_out_likelihood


@pytest.fixture
def cohort():
    """Latents (60, 2) of 30 patients, with labels and patients."""
    latents = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = [row % 2 for row in range(60)]
    return latents + 3 * torch.tensor(labels)[:, None], labels, [f"p{row // 2}" for row in range(60)]


def test_scores_are_scikit_learns_over_the_same_folds(cohort):
    latents, labels, patients = cohort
    sampler = mv.GMM(components=1, covariance="full", regularization=1e-12)
    result = held_out_likelihood(sampler, latents, labels, patients, ["ill", "well"], 5)
    fold = np.empty(60, dtype=int)
    for number, rows in enumerate(split_by_patient(patients, labels, [0.2] * 5, seed=0)):
        fold[rows] = number
    total = 0.0
    for index, name in enumerate(("ill", "well")):
        rows = np.flatnonzero(np.asarray(labels) == index)
        # Groups that are the folds themselves.
        scores = cross_val_score(
            GaussianMixture(1, reg_covar=0.0), latents.numpy()[rows], groups=fold[rows], cv=GroupKFold(5)
        )
        assert result.classes[name] == pytest.approx(np.mean(scores), rel=1e-6)  # folds are of six latents each
        total += np.mean(scores)
    assert result.mean == pytest.approx(total / 2, rel=1e-6)
    assert result.failures == {}


def test_no_patient_is_on_both_sides(cohort):
    latents, labels, patients = cohort
    twins = torch.cat([latents, latents])  # each latent twice, of one patient
    result = held_out_likelihood(mv.KDE(bandwidth=1e-3), twins, labels * 2, patients * 2, ["ill", "well"], 5)
    assert result.mean < -1000  # were a twin among the kernels, it would be far above 0
    strangers = [f"q{row}" for row in range(120)]
    leaky = held_out_likelihood(mv.KDE(bandwidth=1e-3), twins, labels * 2, strangers, ["ill", "well"], 5)
    assert leaky.mean > result.mean / 2


def test_the_sampler_that_is_true_is_the_likeliest_and_the_sampler_passed_is_not_fitted(cohort):
    latents, labels, patients = cohort
    samplers = [mv.ShrunkGaussian(), mv.Prior(), mv.KDE(bandwidth=0.05)]
    true, *others = (held_out_likelihood(each, latents, labels, patients, ["ill", "well"]).mean for each in samplers)
    assert true > max(others)
    assert samplers[0].mean is None


def test_a_class_that_cannot_be_fitted_says_why_and_costs_the_others_nothing(cohort):
    latents, labels, patients = cohort
    labels = [2 if row == 0 else label for row, label in enumerate(labels)]
    result = held_out_likelihood(mv.KDE(bandwidth=1.0), latents, labels, patients, ["ill", "well", "rare", "none"])
    assert list(result.classes) == ["ill", "well"]
    assert "at least 2 latents, not 0" in result.failures["rare"]
    assert result.failures["none"] == "it has no latents"
    assert result.mean is None
    table = as_table([result])
    assert "kde (bandwidth = 1.0), class 'rare': 'kde' needs at least 2 latents" in table


def test_unlabeled_latents_are_left_out(cohort):
    latents, labels, patients = cohort
    more = torch.cat([latents, torch.full((3, 2), math.nan)])
    results = [
        held_out_likelihood(mv.Prior(), *data, ["ill", "well"])
        for data in (cohort, (more, [*labels, -1, -1, -1], [*patients, "x", "y", "z"]))
    ]
    assert results[0] == results[1]


def test_too_few_patients_or_folds_are_refused(cohort):
    latents, labels, _ = cohort
    with pytest.raises(mv.DataError, match="at least 2 patients"):
        held_out_likelihood(mv.Prior(), latents, labels, ["a"] * 60, ["ill", "well"])
    with pytest.raises(mv.ConfigurationError, match="folds is 1; give a whole number of at least 2"):
        held_out_likelihood(mv.Prior(), *cohort, ["ill", "well"], 1)


def test_the_table_marks_the_best_of_each_column_and_takes_classes_of_any_name(cohort):
    results = [held_out_likelihood(each, *cohort, ["[red]", "all"]) for each in (mv.ShrunkGaussian(), mv.Prior())]
    lines = as_table(results).splitlines()
    assert any("[red]" in line for line in lines)
    rows = {line.split("│")[1].strip(): line for line in lines if "│" in line}
    assert f"{results[0].mean:.2f}*" in rows["gaussian"]
    assert f"{results[1].classes['all']:.2f} " in rows["prior"]
