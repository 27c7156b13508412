"""The metrics on signals of which the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from metrics import (
    accuracy_by_recording,
    balanced_accuracy,
    gaussian_pairs,
    qrs_amplitude,
    qrs_width,
    ripple,
    within_class_correlation,
)

TIME = np.arange(128) / 128 - 0.4


def wave(spread, height=1.0, center=0.0):
    return height * np.exp(-0.5 * ((TIME - center) / spread) ** 2)


def slope_reach(spread):
    """Twice where a Gaussian's slope has fallen to 15 % of its greatest, outside, in ms; by bisection."""
    low, high = spread, 6 * spread
    greatest = np.exp(-0.5) / spread
    for _ in range(60):
        middle = (low + high) / 2
        steep = middle / spread**2 * np.exp(-0.5 * (middle / spread) ** 2)
        low, high = (middle, high) if steep > 0.15 * greatest else (low, middle)
    return 2000 * low


@settings(max_examples=50, deadline=None)
@given(st.floats(0.012, 0.045), st.floats(0.1, 5), st.sampled_from([1, -1]), st.floats(-0.01, 0.01))
def test_width_of_one_wave_is_where_its_slope_ends(spread, height, sign, center):
    assert qrs_width(wave(spread, sign * height, center)[None])[0] == pytest.approx(slope_reach(spread), abs=10)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 100), st.floats(-5, 5), st.sampled_from([1, -1]))
def test_width_knows_neither_scale_nor_sign_nor_offset(factor, offset, sign):
    beat = wave(0.02) + wave(0.015, -0.6, 0.05) + wave(0.05, 0.3, 0.25)
    np.testing.assert_allclose(qrs_width(sign * factor * beat[None] + offset), qrs_width(beat[None]), rtol=1e-6)


def test_width_bridges_the_waves_of_a_complex_and_leaves_t_and_p_out():
    complex_ = wave(0.012, -0.15, -0.035) + wave(0.012) + wave(0.012, -0.3, 0.035)
    whole = complex_ + wave(0.025, 0.12, -0.16) + wave(0.045, 0.3, 0.28)
    assert 80 < qrs_width(complex_[None])[0] < 140
    assert qrs_width(whole[None])[0] == pytest.approx(qrs_width(complex_[None])[0], abs=8)


def test_width_is_bounded_and_finite_whatever_comes():
    rng = np.random.default_rng(0)
    for beats in (rng.normal(size=(20, 128)), np.zeros((2, 128)), TIME[None], np.ones((0, 128))):
        widths = qrs_width(beats)
        assert widths.shape == (len(beats),)
        assert (widths >= 0).all()
        assert (widths <= 410).all()


def test_amplitude_is_from_peak_to_peak_of_the_complex_alone():
    beat = wave(0.015, 2.0) + wave(0.015, -0.5, 0.05) + wave(0.04, 3.0, 0.3)
    assert qrs_amplitude(beat[None])[0] == pytest.approx(2.5, abs=0.05)


def test_ripple_sees_hum_and_no_waves():
    hum = 0.01 * np.sin(2 * np.pi * 50 * TIME)
    assert ripple((wave(0.05, 0.5, 0.3) + hum)[None])[0] > 5 * ripple(wave(0.05, 0.5, 0.3)[None])[0]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30))
def test_balanced_accuracy_is_scikit_learns(pairs):
    labels, predicted = np.array(pairs).T
    if len(set(labels)) == 2:  # scikit-learn warns where there is one class only
        assert balanced_accuracy(labels, predicted) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_a_recording_with_many_beats_weighs_no_more_than_one_with_few():
    labels, recordings = np.array([0, 0] + [1] * 100), np.array([1, 2] + [1] * 99 + [2])
    predicted = np.array([0, 0] + [1] * 99 + [0])
    assert balanced_accuracy(labels, predicted) == pytest.approx(0.995)
    assert accuracy_by_recording(labels, predicted, recordings) == pytest.approx(0.75)
    one = np.ones(len(labels), int)
    assert accuracy_by_recording(labels, predicted, one) == pytest.approx(balanced_accuracy(labels, predicted))


def test_the_floor_has_each_classs_mean_and_covariance():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 400)
    beats = rng.normal(size=(800, 128)) * np.linspace(3, 0.1, 128) + 2 * labels[:, None]
    rhythm = np.hstack([beats[:, :1] * 0.5, rng.normal(size=(800, 3))])
    drawn = gaussian_pairs(beats, rhythm, labels, 5000, seed=0, components=60)
    for label in (0, 1):
        mine, theirs = drawn["ecg"][label * 5000 : (label + 1) * 5000], beats[labels == label]
        np.testing.assert_allclose(mine.mean(0), theirs.mean(0), atol=0.35)
        np.testing.assert_allclose(mine[:, :20].std(0), theirs[:, :20].std(0), rtol=0.1)
    told = within_class_correlation(drawn["ecg"][:, :1], drawn["rhythm"][:, :1], np.repeat([0, 1], 5000))
    assert (told > 0.9).all()


def test_correlation_within_a_class_does_not_see_the_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    shifted = 10.0 * labels[:, None]
    apart = within_class_correlation(rng.normal(size=(1000, 2)) + shifted, rng.normal(size=(1000, 2)) + shifted, labels)
    assert (np.abs(apart) < 0.15).all()
