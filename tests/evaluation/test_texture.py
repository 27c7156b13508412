"""Distances of patches and the patch classifier, on white noise, whose detail has closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.texture import patch_distances


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blurred(x):
    """Blur by a binomial filter, whose deviation is 0.7 elements along each axis."""
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), (kernel[:, None] * kernel)[None, None])


def repeated(x):
    """Give every sample the texture of the first: its noise, of which each sample has its own amount."""
    return x.std((1, 2, 3), keepdim=True) * x[:1] / x[:1].std()


@pytest.mark.parametrize("shape", [(1, 64), (2, 64, 32), (1, 16, 16, 16)])
def test_less_contrast_is_a_distance_of_its_closed_form(shape):
    real = noise(0, 80, *shape)
    # Of white noise, projected patches are nearly normal: the distance of N(0, a) from N(0, 1) is (1 - a) E|z|.
    first = patch_distances(0.5 * real, real)[0]
    assert first == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=0.06)
    assert patch_distances(noise(1, 80, *shape), real)[0] < 0.05
    assert patch_distances(500 * real, 1000 * real) == pytest.approx(patch_distances(0.5 * real, real), rel=1e-3)


def test_there_is_a_distance_per_level_that_holds_a_patch():
    lengths = {
        side: len(patch_distances(noise(0, 3, 1, side, 64), noise(1, 2, 1, side, 64))) for side in (6, 7, 14, 64)
    }
    assert lengths == {6: 0, 7: 1, 14: 2, 64: 4}


def test_a_blur_moves_fine_levels_and_a_seed_repeats():
    real, other = noise(0, 60, 1, 32, 32), noise(1, 60, 1, 32, 32)
    kept, spoilt = patch_distances(other, real), patch_distances(blurred(other), real)
    assert spoilt[0] > 5 * kept[0]
    assert patch_distances(other, real) == kept != patch_distances(other, real, seed=1)


def test_a_constant_set_is_compared():
    assert patch_distances(torch.zeros(3, 1, 16, 16), torch.zeros(3, 1, 16, 16)) == [0, 0]


@pytest.mark.parametrize("other", [torch.zeros(2, 1, 16, 17), torch.zeros(0, 1, 16, 16)])
def test_distances_of_unlike_sets_are_refused(other):
    with pytest.raises(DataError, match="cannot be compared"):
        patch_distances(other, torch.zeros(2, 1, 16, 16))


@pytest.mark.parametrize("shape", [(1, 96), (2, 24, 20), (1, 16, 16, 16)])
def test_the_classifier_is_at_chance_for_one_texture_and_sees_another(shape):
    rows = 60 if len(shape) < 4 else 20
    real, other = noise(0, rows, *shape), noise(1, rows, *shape)
    # The standard error of an AUC of n against n is sqrt((2 n + 1) / (12 n²)), here of half the rows.
    n = rows // 2
    assert patch_classifier(real, other).auc() == pytest.approx(0.5, abs=3.5 * math.sqrt((2 * n + 1) / 12) / n)
    assert patch_classifier(real, other + other.roll(1, -1)).auc() > 0.9


def test_the_classifier_sees_a_blur_and_a_repeated_texture():
    real, other = noise(0, 120, 1, 24, 24), noise(1, 120, 1, 24, 24)
    assert patch_classifier(real, blurred(other)).auc() > 0.95
    assert patch_classifier(real, repeated(other)).auc() > 0.75


def test_a_patient_is_on_one_side_and_a_seed_repeats():
    real, other = noise(0, 8, 1, 16, 16).repeat_interleave(4, 0), noise(1, 32, 1, 16, 16)
    patients = [f"p{row // 4}" for row in range(32)]
    state = torch.get_rng_state()
    scores = patch_classifier(real, other, patients)
    assert torch.equal(state, torch.get_rng_state())
    assert len(scores.real) == len(scores.generated) == 16
    assert sorted(scores.groups) == sorted(4 * sorted({*scores.groups}))
    assert len({*scores.groups}) == 4
    with torch.no_grad():
        again = patch_classifier(real, other, patients)
    assert torch.equal(scores.real, again.real)
    assert not torch.equal(scores.real, patch_classifier(real, other, patients, seed=1).real)
    assert patch_classifier(real, other).groups is None


def test_the_classifier_refuses_what_it_cannot_compare():
    with pytest.raises(DataError, match="at least 16 elements per side"):
        patch_classifier(torch.zeros(4, 1, 15, 16), torch.zeros(4, 1, 15, 16))
    with pytest.raises(DataError, match="needs two patients on each side; there are 1"):
        patch_classifier(torch.zeros(4, 1, 16, 16), torch.zeros(4, 1, 16, 16), ["a"] * 4)
