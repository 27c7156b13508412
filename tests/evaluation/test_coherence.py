import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.coherence import (
    agreement,
    canonical_directions,
    shuffled_within,
    within_class_coherence,
    within_class_correlation,
)


def pairs(generator, strength=0.7, count=240, classes=3):
    """Two modalities that share one factor beside the class; its correlation is the strength."""
    labels = torch.arange(count) % classes
    shared = torch.randn(count, 1, generator=generator).double()

    def one():
        own = torch.randn(count, 1, generator=generator).double()
        seen = strength**0.5 * shared + (1 - strength) ** 0.5 * own
        return torch.cat([seen, torch.randn(count, 3, generator=generator)], 1) + 5 * labels[:, None]

    return one(), one(), labels


def test_canonical_correlations_without_a_ridge_are_scikit_learns(generator):
    x, y, _ = pairs(generator, classes=1)
    a, b = CCA(2, max_iter=5000, tol=1e-12).fit_transform(x.numpy(), y.numpy())
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(2)]
    seen = canonical_directions(x, y, components=2, ridge=0.0).correlations(x, y)
    np.testing.assert_allclose(seen, expected, rtol=1e-4)


def test_turning_the_features_changes_nothing(generator):
    x, y, _ = pairs(generator, classes=1)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator).double())
    seen = canonical_directions(x @ turn, y).correlations(x @ turn, y)
    torch.testing.assert_close(seen, canonical_directions(x, y).correlations(x, y))


def test_the_ridge_is_relative_to_the_features_own_scale(generator):
    x, y, _ = pairs(generator, count=30, classes=1)
    seen = canonical_directions(1000 * x, y / 1000).correlations(1000 * x, y / 1000)
    torch.testing.assert_close(seen, canonical_directions(x, y).correlations(x, y))
    free, held = (float(canonical_directions(x, y, 1, ridge).correlations(x, y)) for ridge in (0.0, 1.0))
    assert free > held


@pytest.mark.parametrize("strength", [0.9, 0.5])
def test_within_a_class_it_is_the_correlation_of_what_they_share(generator, strength):
    x, y, labels = pairs(generator, strength, count=900)
    value, zero = within_class_coherence(x, y, labels, components=1).means()
    assert value == pytest.approx(strength, abs=0.1)
    assert abs(zero) < 0.15


def test_pairs_shuffled_within_their_class_have_about_none_though_the_class_is_shared(generator):
    x, y, labels = pairs(generator, 0.9, count=900)
    order = shuffled_within(labels, 0)
    assert torch.equal(labels[order], labels)
    value, _ = within_class_coherence(x, y[order], labels, components=1, seed=5).means()
    assert abs(value) < 0.15
    assert agreement(labels, labels[order]) == 1  # which the class alone does not notice


def test_shuffling_leaves_no_row_in_its_place_and_loses_none():
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    order = shuffled_within(labels, 3)
    assert sorted(order.tolist()) == list(range(6))
    assert ((order == torch.arange(6)) == (labels == 2)).all()


def test_one_patient_is_never_in_both_halves(generator):
    # Patients have places of their own in both modalities, unrelated: to meet a patient again is to find them coherent.
    patient = torch.arange(120) // 10
    x, y = (torch.randn(12, 6, generator=generator)[patient] for _ in range(2))
    x, y = (each + 0.05 * torch.randn(120, 6, generator=generator) for each in (x, y))
    labels = torch.zeros(120, dtype=torch.int64)
    leaky, _ = within_class_coherence(x, y, labels, components=1).means()
    fair, _ = within_class_coherence(x, y, labels, [str(p) for p in patient.tolist()], components=1).means()
    assert leaky > 0.8
    assert fair < 0.5
    with pytest.raises(DataError, match="class 0 has 3 groups"):
        within_class_coherence(x[:30], y[:30], labels[:30], [str(p) for p in patient[:30].tolist()])


def test_agreement_falls_when_one_modality_is_of_another_class():
    first, second = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 0])
    assert agreement(first, second) == 0.75
    assert agreement(first, second, torch.tensor([0, 0, 2, 2])) == 0.5


def test_readings_of_a_cause_go_together_within_the_class_only(generator):
    cause, labels = torch.randn(3000, generator=generator), torch.arange(3000) % 3
    noise = torch.randn(3000, generator=generator)
    assert within_class_correlation(cause, cause + noise, labels) == pytest.approx(0.5**0.5, abs=0.03)
    assert abs(within_class_correlation(cause + 9 * labels, noise + 9 * labels, labels)) < 0.06
    assert within_class_correlation(cause, torch.zeros(3000), labels) == 0
    by_class = [float(np.corrcoef(cause[labels == k], noise[labels == k])[0, 1]) for k in range(3)]
    assert within_class_correlation(cause[::3], noise[::3], labels[::3]) == pytest.approx(by_class[0], abs=1e-6)
