import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient

SHARES = ([0.7, 0.1, 0.2], [0.8, 0.0, 0.2], [0.5, 0.5], [1.0], [0.9, 0.1], [1 / 3, 1 / 3, 1 / 3])
seeds = st.integers(0, 2**31)


@st.composite
def cohorts(draw):
    """Patients with one to six samples of any classes, some unlabeled."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=40))
    patients = [f"p{index}" for index, size in enumerate(sizes) for _ in range(size)]
    labels = draw(st.lists(st.integers(-1, 3), min_size=len(patients), max_size=len(patients)))
    return patients, labels


@given(cohort=cohorts(), shares=st.sampled_from(SHARES), seed=seeds)
def test_every_row_is_in_one_part_and_no_patient_in_two(cohort, shares, seed):
    patients, labels = cohort
    parts = split_by_patient(patients, labels, shares, seed)
    assert len(parts) == len(shares)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(patients)))
    owners = [{patients[row] for row in rows} for rows in parts]
    assert sum(map(len, owners)) == len(set(patients))
    assert all((np.diff(rows) > 0).all() for rows in parts)


@given(cohort=cohorts(), seed=seeds)
def test_a_share_of_zero_stays_empty(cohort, seed):
    parts = split_by_patient(*cohort, [0.8, 0.0, 0.2], seed)
    assert len(parts[1]) == 0


@given(cohort=cohorts(), seed=seeds)
def test_a_seed_gives_one_split(cohort, seed):
    first, second = (split_by_patient(*cohort, [0.7, 0.1, 0.2], seed) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_another_seed_gives_another_split():
    patients, labels = [str(row) for row in range(100)], [0, 1] * 50
    first, second = (split_by_patient(patients, labels, [0.5, 0.5], seed) for seed in (0, 1))
    assert not np.array_equal(first[0], second[0])


@given(seed=seeds, count=st.integers(30, 120), most=st.integers(1, 5), shares=st.sampled_from(SHARES))
def test_each_class_is_shared_out_to_within_two_patients(seed, count, most, shares):
    # With one class per patient and many patients, each patient goes where its class is missing. Only the last ones
    # can exceed a share: two of the largest patients are a generous bound.
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, count)
    kind = rng.integers(0, 3, count)
    patients = np.repeat(np.arange(count).astype(str), sizes)
    labels = np.repeat(kind, sizes)
    for share, rows in zip(shares, split_by_patient(patients, labels, shares, seed), strict=True):
        for label in set(labels.tolist()):
            held, whole = (labels[rows] == label).sum(), (labels == label).sum()
            assert abs(held - share * whole) <= 2 * most


@pytest.mark.parametrize("seed", range(5))
def test_a_cohort_is_shared_out_to_within_two_percentage_points(seed):
    # 600 patients with one to four ears and visits each, sometimes of different classes, which have unequal sizes.
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, 600)
    patients = np.repeat(np.arange(600).astype(str), sizes)
    usual = np.repeat(rng.choice(3, 600, p=[0.46, 0.36, 0.18]), sizes)
    other = rng.choice(3, len(patients), p=[0.46, 0.36, 0.18])
    labels = np.where(rng.random(len(patients)) < 0.8, usual, other)
    for share, rows in zip([0.7, 0.1, 0.2], split_by_patient(patients, labels, [0.7, 0.1, 0.2], seed), strict=True):
        for label in range(3):
            assert (labels[rows] == label).sum() / (labels == label).sum() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("shares", [[0.5, 0.4], [1.2, -0.2], [0.5, 0.6], [float("nan"), 1.0]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(mv.DataError, match="sum to 1"):
        split_by_patient(["a"], [0], shares, 0)


@given(cohort=cohorts(), shares=st.sampled_from(SHARES), seed=seeds)
def test_each_patient_goes_where_the_distance_to_the_shares_shrinks_most(cohort, shares, seed):
    patients, labels = cohort
    share = np.array(shares)
    names, patient = np.unique(patients, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (patient, label), 1)
    held = counts / counts.sum(0)
    order = np.random.default_rng(seed).permutation(len(names))
    assigned, part_of = np.zeros((len(share), len(classes))), np.zeros(len(names), int)
    usable = np.flatnonzero(share > 0)
    for one in order[np.argsort(-counts[order].sum(1), kind="stable")]:
        missing = share[usable, None] - assigned[usable]
        change = ((missing - held[one]) ** 2 - missing**2).sum(1)
        part_of[one] = usable[np.argmin(change / share[usable])]
        assigned[part_of[one]] += held[one]
    found = split_by_patient(patients, labels, shares, seed)
    assert [rows.tolist() for rows in found] == [
        np.flatnonzero(part_of[patient] == part).tolist() for part in range(len(share))
    ]
