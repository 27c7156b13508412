import pytest
import torch

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.two_sample import two_sample


def draw(seed, noise=0.5, rows=240, patients=None):
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    x = torch.randn(rows, 3, generator=rng) @ mixing + noise * torch.randn(rows, 8, generator=rng)
    return LabeledSamples({"x": x}, torch.arange(rows) % 2, patients and [str(row % patients) for row in range(rows)])


@pytest.mark.parametrize("seed", range(4))
def test_samples_of_one_distribution_are_told_apart_by_chance(seed):
    # The standard error of an AUC of 240 against 240 is sqrt(481 / (12 * 240 * 240)) = .026.
    assert two_sample(draw(2 * seed + 1), draw(2 * seed + 2)).auc() == pytest.approx(0.5, abs=3.5 * 0.026)


def test_missing_noise_a_shift_and_lost_relations_are_seen():
    real = draw(1)
    shuffled = real.values["x"].clone()
    shuffled[:, :4] = shuffled[:, :4].roll(1, 0)
    for what in (draw(2, noise=0).values["x"], draw(2).values["x"] + 1, shuffled, draw(2).values["x"] * 0.6):
        assert two_sample(real, LabeledSamples({"x": what}, real.labels)).auc() > 0.7


def test_a_patient_is_on_one_side_of_a_fold():
    # 12 patients with 20 nearly equal samples each: a classifier that knows a patient would know its other samples.
    rng = torch.Generator().manual_seed(0)
    persons = torch.randn(12, 8, generator=rng).repeat(20, 1)
    real = LabeledSamples(
        {"x": persons + 0.01 * torch.randn(240, 8, generator=rng)},
        torch.zeros(240, dtype=torch.int64),
        [str(row % 12) for row in range(240)],
    )
    new = LabeledSamples({"x": torch.randn(240, 8, generator=rng)}, real.labels)
    apart = two_sample(real, new).auc()
    assert two_sample(LabeledSamples(real.values, real.labels), new).auc() > 0.95
    assert apart < 0.85


def test_some_rows_are_scored_by_themselves_and_a_seed_repeats():
    result = two_sample(draw(1), draw(2))
    assert result.auc(torch.arange(240)) == result.auc() == two_sample(draw(1), draw(2)).auc()
    assert result.auc(torch.arange(50)) != result.auc()


def test_too_few_patients_are_refused():
    with pytest.raises(DataError, match="needs 10 patients; the real samples are of 9"):
        two_sample(draw(1, patients=9), draw(2))
