import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.data.batches import BalancedBatches

counts = st.lists(st.integers(1, 20), min_size=1, max_size=4)


def make(counts, per_class, seed=0, unlabeled=0):
    labels = torch.tensor([-1] * unlabeled + [label for label, count in enumerate(counts) for _ in range(count)])
    names = [str(label) for label in range(len(counts))]
    return labels, BalancedBatches(labels, names, per_class, torch.Generator().manual_seed(seed))


@given(counts=counts, per_class=st.integers(1, 7), unlabeled=st.integers(0, 3))
def test_each_batch_holds_as_many_of_each_class_and_no_unlabeled(counts, per_class, unlabeled):
    labels, batches = make(counts, per_class, unlabeled=unlabeled)
    for rows in batches:
        assert torch.bincount(labels[rows], minlength=len(counts)).tolist() == [per_class] * len(counts)


@given(counts=counts, per_class=st.integers(1, 7), unlabeled=st.integers(1, 9), per_batch=st.integers(1, 4))
def test_as_many_unlabeled_as_are_asked_for_come_in_turn(counts, per_class, unlabeled, per_batch):
    labels = make(counts, per_class, unlabeled=unlabeled)[0]
    names = [str(label) for label in range(len(counts))]
    batches = BalancedBatches(labels, names, per_class, torch.Generator().manual_seed(0), per_batch)
    assert len(batches) == max(1, len(labels) // (per_class * len(counts) + per_batch))
    rows = torch.cat([batches.draw() for _ in range(unlabeled)])
    assert torch.bincount(labels[rows] + 1).tolist() == [per_batch * unlabeled] + [per_class * unlabeled] * len(counts)
    assert torch.bincount(rows[labels[rows] < 0], minlength=unlabeled).tolist() == [per_batch] * unlabeled


def test_unlabeled_samples_that_are_not_there_are_missed():
    with pytest.raises(mv.DataError, match="'unlabeled' is 3"):
        BalancedBatches(torch.tensor([0, 1]), ["0", "1"], 2, torch.Generator(), 3)


@given(counts=counts, per_class=st.integers(1, 7))
def test_nothing_comes_twice_before_its_class_has_been_through(counts, per_class):
    labels, batches = make(counts, per_class)
    all_rows = torch.cat([rows for _ in range(5) for rows in batches])
    for label, count in enumerate(counts):
        mine = all_rows[labels[all_rows] == label].tolist()
        for first in range(0, len(mine) - count + 1, count):
            assert len(set(mine[first : first + count])) == count


@given(counts=counts, per_class=st.integers(1, 7))
def test_an_epoch_is_as_many_batches_as_the_samples_fill(counts, per_class):
    _, batches = make(counts, per_class)
    assert len(batches) == len(list(batches)) == max(1, sum(counts) // (per_class * len(counts)))


def test_a_seed_gives_one_order_and_another_gives_another():
    def order(seed):
        return torch.cat(list(make([30, 20], 5, seed)[1]))

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))


def test_epochs_differ():
    _, batches = make([30, 30], 5)
    assert not torch.equal(torch.cat(list(batches)), torch.cat(list(batches)))


def test_torchs_own_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    list(make([30, 30], 5)[1])
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_class_without_samples_is_named():
    with pytest.raises(mv.DataError, match="class '1' has no training sample"):
        make([3, 0], 2)


def test_one_batch_can_hold_each_member_of_a_class_many_times():
    rows = make([100, 1], 250)[1].draw()
    assert (rows == 100).sum() == 250
    assert set(torch.bincount(rows[:250], minlength=100).tolist()) == {2, 3}


def test_a_batch_of_a_large_class_copies_nothing_but_its_own_rows():
    _, batches = make([10_000, 1], 4)
    batches.draw()
    place = batches._waiting[0].untyped_storage().data_ptr()
    for _ in range(100):
        batches.draw()
    assert batches._waiting[0].untyped_storage().data_ptr() == place
