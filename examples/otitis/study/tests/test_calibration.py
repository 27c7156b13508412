from __future__ import annotations

import numpy as np
import pytest

from calibration import ANY, association, intraclass, near, related_pairs, swapped, target, verdict, without_means
from classifiers import ImageClassifier, ImageReader, joined
from simulator.causes import draw_visits

VISITS = draw_visits(np.random.default_rng(0), {"NOE": 60, "OME": 50, "AOM": 25})
LABELS = np.array([visit.label for visit in VISITS])


def test_intraclass_correlation_is_that_of_a_shared_part() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(20000, 1)), rng.normal(size=(20000, 2))
    # Share of variance: 0.6. Its standard error at 20,000 pairs is under 0.005.
    assert intraclass(np.sqrt(0.6) * shared + np.sqrt(0.4) * own) == pytest.approx(0.6, abs=0.02)
    assert intraclass(np.repeat(shared, 2, 1)) == pytest.approx(1.0)
    assert intraclass(shared * [1, -1]) == pytest.approx(-1.0, abs=0.01)


def test_association_is_all_or_nothing() -> None:
    groups = np.repeat(["a", "b", "c"], 40)
    assert association(groups, groups) == pytest.approx(1.0)
    assert association(groups, np.tile([0, 1], 60)) == pytest.approx(0.0)


def test_group_means_are_taken_away() -> None:
    values = np.array([1.0, 3.0, 10.0, 20.0, 7.0])
    left = without_means(values, np.array(["a", "a", "b", "b", "b"]), np.array([0, 0, 1, 1, 2]))
    np.testing.assert_allclose(left, [-1, 1, -5, 5, 0])


@pytest.mark.parametrize("by_ear", [False, True])
def test_kin_are_two_samples_of_one_patient_and_label(by_ear: bool) -> None:
    pairs = related_pairs(VISITS, by_ear)
    assert len(pairs) > 5
    for a, b in ((VISITS[i], VISITS[j]) for i, j in pairs):
        assert (a.patient_id, a.label) == (b.patient_id, b.label)
        assert (a.ear.side == b.ear.side, a.number + 1 == b.number) == (by_ear, by_ear)


def test_swapping_keeps_labels_and_everyone() -> None:
    pairs = related_pairs(VISITS, by_ear=False)
    mixed = swapped(pairs, LABELS, np.random.default_rng(0))
    assert (LABELS[mixed[:, 0]] == LABELS[mixed[:, 1]]).all()
    assert sorted(mixed[:, 1]) == sorted(pairs[:, 1])
    assert (mixed != pairs).any()


def test_a_target_is_met_by_every_seed_on_average_or_not() -> None:
    _, low, high, _ = near("any", 0.5, 0.1, 0.0)
    assert target(low, high) == "0.4 to 0.6"
    assert verdict(low, high, np.array([0.41, 0.59])) == "yes"
    assert verdict(low, high, np.array([0.39, 0.5])) == "on average"
    assert verdict(low, high, np.array([0.1, 0.5])) == "no"
    assert (target(0, ANY), target(-ANY, ANY), verdict(-ANY, ANY, np.zeros(2))) == ("over 0", "none", "")


def test_joined_odds_are_bayes_rule() -> None:
    prior, image, sound = np.array([0.5, 0.25, 0.25]), np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.4, 0.4]])
    expected = np.array([0.6 * 0.2 / 0.5, 0.3 * 0.4 / 0.25, 0.1 * 0.4 / 0.25])
    np.testing.assert_allclose(joined(image, sound, prior)[0], expected / expected.sum())
    np.testing.assert_allclose(joined(image, prior[None], prior), image)


def test_the_image_classifier_learns_what_can_be_seen() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["green", "red"], 32)
    pictures = rng.integers(0, 120, (64, 3, 64, 64))
    pictures[np.arange(64), np.where(labels == "red", 0, 1), 20:44, 20:44] += 120
    network = ImageClassifier(pictures.astype(np.uint8), labels)
    odds = network.probabilities(pictures.astype(np.uint8))
    np.testing.assert_allclose(odds.sum(1), 1, rtol=1e-5)
    assert (network.classes[odds.argmax(1)] == labels).mean() > 0.95


def test_the_image_reader_reads_where_something_is() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(4, 60, 96)
    pictures = np.full((96, 3, 64, 64), 60)
    for picture, row in zip(pictures, rows, strict=True):
        picture[:, row:] += 120
    read = ImageReader(pictures[:64].astype(np.uint8), rows[:64].astype(float)).read(pictures[64:].astype(np.uint8))
    assert np.corrcoef(read, rows[64:])[0, 1] > 0.8
