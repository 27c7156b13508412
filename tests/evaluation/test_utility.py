import torch

from multimodal_vae.evaluation.samples import LabeledSamples, concatenate
from multimodal_vae.evaluation.utility import utility


def draw(seed, count=120, noise=1.0, mislabeled=False):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    x = torch.randn(count, 1, 6, generator=rng) * noise + 1.2 * labels[:, None, None]
    y = torch.randn(count, 3, generator=rng)
    groups = [f"p{row // 2}" for row in range(count)]
    return LabeledSamples({"x": x, "y": y}, 1 - labels if mislabeled else labels, groups)


def test_good_samples_are_as_useful_as_real_ones_and_noise_is_not():
    train, held_out = draw(0), draw(1, 400)
    good, noisy = (utility(train, draw(2, noise=noise), held_out) for noise in (1.0, 12.0))
    assert good.accuracy("real") == noisy.accuracy("real") > 0.85
    assert good.accuracy("synthetic") > 0.85
    assert noisy.accuracy("synthetic") < 0.8
    assert utility(train, draw(2, mislabeled=True), held_out).accuracy("synthetic") < 0.15


def test_few_real_samples_gain_more_by_synthetic_ones():
    train, held_out = draw(0, 160, noise=2.0), draw(1, 600, noise=2.0)
    result = utility(train, draw(2, 600, noise=2.0), held_out)
    assert result.accuracy("quarter and synthetic") > result.accuracy("quarter") + 0.03
    assert result.accuracy("real") > result.accuracy("quarter")


def test_of_some_rows_it_is_theirs():
    result = utility(draw(0), draw(1), draw(2))
    wrong = torch.nonzero(result.predicted["real"] != result.labels).flatten()
    assert result.accuracy("real", wrong) == 0


def test_a_quarter_too_small_to_learn_from_is_left_out():
    assert list(utility(draw(0, 24), draw(1), draw(2)).predicted) == ["real", "synthetic", "both"]


def test_joined_rows_keep_their_labels():
    both = concatenate(draw(0, 8), draw(1, 4))
    assert both.labels.tolist() == [0, 1] * 6
    assert torch.equal(both.values["x"][8:], draw(1, 4).values["x"])
