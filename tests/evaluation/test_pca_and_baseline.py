import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.baseline import GaussianBaseline
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.evaluation.samples import LabeledSamples


def real(generator, count=60):
    labels = torch.arange(count) % 2
    base = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    a = base @ torch.randn(3, 4, generator=generator, dtype=torch.float64) + 3 * labels[:, None]
    b = 100 * base[:, :2] * (1 + labels[:, None])
    return LabeledSamples({"a": a.reshape(count, 2, 2), "b": b}, labels)


def test_with_one_modality_it_is_scikit_learns_up_to_the_scale(generator):
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    theirs = PCA(3).fit(x.numpy())
    ours = JointPCA(3).fit({"x": x}).transform({"x": x}) * float(x.var(0).sum()) ** 0.5
    np.testing.assert_allclose(ours.abs(), np.abs(theirs.transform(x.numpy())), rtol=1e-9, atol=1e-9)


def test_modalities_count_alike_whatever_their_units(generator):
    values = real(generator).values
    once = JointPCA(3).fit(values).transform(values)
    larger = {"a": 1000 * values["a"], "b": values["b"]}
    torch.testing.assert_close(JointPCA(3).fit(larger).transform(larger).abs(), once.abs())


def test_all_components_give_everything_back(generator):
    values = real(generator).values
    pca = JointPCA(100).fit(values)
    for name, x in pca.inverse(pca.transform(values)).items():
        torch.testing.assert_close(x, values[name])


def test_what_does_not_vary_is_no_division_by_zero():
    values = {"a": torch.ones(5, 2), "b": torch.arange(5.0)[:, None]}
    assert torch.isfinite(JointPCA().fit(values).transform(values)).all()


@pytest.mark.parametrize("components", [64, 2])
def test_the_floor_has_each_classs_mean_and_covariance(generator, components):
    samples = real(generator)
    baseline = GaussianBaseline(components).fit(samples)
    drawn = baseline.sample({0: 40_000, 1: 40_000}, seed=1)
    kept = baseline.project(samples.values)
    for label in (0, 1):
        want, have = (
            torch.cat([v[name][labels == label].flatten(1) / scale for name, scale in (("a", 1), ("b", 100))], 1)
            for v, labels in ((kept, samples.labels), (drawn.values, drawn.labels))
        )
        size = float(want.var(0).max())
        # Moments of 40,000 draws: a standard error of .005 and .007 of the scale.
        torch.testing.assert_close(have.mean(0), want.mean(0), atol=0.025 * size**0.5, rtol=0)
        torch.testing.assert_close(have.T.cov(), want.T.cov(), atol=0.035 * size, rtol=0)


def test_draws_follow_their_seed_and_are_new(generator):
    samples = real(generator)
    baseline = GaussianBaseline().fit(samples)
    one, again, other = (baseline.sample({0: 3, 1: 2}, seed=seed).values["a"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.cdist(one.flatten(1), samples.values["a"].flatten(1)).min() > 1e-3


def test_pairs_of_the_floor_belong_together(generator):
    drawn = GaussianBaseline().fit(real(generator)).sample({0: 500}, seed=0)
    joint = torch.cat([x.flatten(1) for x in drawn.values.values()], 1)
    assert torch.linalg.matrix_rank(joint - joint.mean(0), rtol=1e-6) == 3  # as the real ones, not 4 + 2


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="two samples"):
        JointPCA().fit({"x": torch.zeros(1, 2)})
    with pytest.raises(DataError, match="class 1 has one sample"):
        GaussianBaseline().fit(LabeledSamples({"x": torch.randn(3, 2)}, torch.tensor([0, 0, 1])))
    with pytest.raises(DataError, match="call fit first"):
        JointPCA().transform({"x": torch.zeros(1, 2)})
