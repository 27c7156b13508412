"""How long a training is, what follows from the data, and who is held out for it."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.training.holding_out import hold_out
from multimodal_vae.training.settings import (
    EPOCHS,
    SHORTEST_EPOCH,
    STEPS,
    UNWATCHED_STEPS,
    EarlyStopping,
    Length,
    Training,
)

QUICK = {"steps": 3, "device": "cpu", "show": False, "loggers": ["jsonl"]}
COUNTS = st.integers(1, 50)


@given(COUNTS, COUNTS, COUNTS)
def test_epochs_add_up_to_all_batches_and_their_steps_to_all_steps(batches, per_epoch, accumulate):
    length = Length(batches, per_epoch, accumulate)
    epochs = [length.batches_in(epoch) for epoch in range(1, length.epochs + 1)]
    assert sum(epochs) == batches
    assert set(epochs[:-1]) <= {per_epoch}
    assert 0 < epochs[-1] <= per_epoch
    assert length.steps == sum(math.ceil(epoch / accumulate) for epoch in epochs)


@given(COUNTS, COUNTS, COUNTS)
def test_a_length_in_epochs_is_that_many_passes(epochs, batches, accumulate):
    length = Training(epochs=epochs, accumulate=accumulate).length(batches)
    assert (length.epochs, length.batches_in(epochs)) == (epochs, batches)


@given(st.integers(1, 20_000), COUNTS, st.integers(1, 4))
def test_a_length_in_steps_is_exact_and_has_at_most_two_hundred_epochs(steps, batches, accumulate):
    length = Training(steps=steps, accumulate=accumulate).length(batches)
    assert length.steps == steps
    assert length.epochs <= EPOCHS
    assert length.per_epoch >= SHORTEST_EPOCH * accumulate


def test_values_that_follow_from_the_data():
    watched, unwatched = Training().resolved(3, 10_000, True), Training().resolved(3, 10_000, False)
    assert (watched.steps, watched.early_stopping, watched.per_class) == (STEPS, EarlyStopping(), 33)
    assert (unwatched.steps, unwatched.early_stopping) == (UNWATCHED_STEPS, False)
    assert Training().resolved(500, 10_000, True).per_class == 2
    assert Training().resolved(2, 12, False).per_class == 6
    given = Training(epochs=4, per_class=7, early_stopping=False)
    assert given.resolved(3, 10_000, True) == given
    assert watched.resolved(9, 12, False) == watched


def test_steps_and_epochs_are_one_too_many(make_data, make_model):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match="steps and epochs are both given; give one of them"):
        mv.fit(make_model(data), data, steps=3, epochs=2)


def test_no_more_steps_than_asked_for_and_the_run_records_them(make_data, make_model, tmp_path):
    data = make_data()
    mv.fit(make_model(data), data, out=tmp_path / "run", **QUICK | {"steps": SHORTEST_EPOCH + 2})
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in log] == [SHORTEST_EPOCH, SHORTEST_EPOCH + 2]
    run = mv.open_run(tmp_path / "run", data)
    assert run.status == {"state": "done", "epochs_done": 2, "epochs": 2}
    training = run.configuration.training
    assert (training.steps, training.epochs, training.per_class) == (SHORTEST_EPOCH + 2, None, 12)
    assert training.early_stopping is False


def test_a_tenth_of_the_patients_of_each_class_is_held_out_and_recorded(make_data, make_model, tmp_path):
    data = make_data(100)
    mv.fit(make_model(data), data, out=tmp_path / "run", **QUICK)
    run = mv.open_run(tmp_path / "run", data)
    splits = run.splits
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [90, 10, 0]
    assert splits["validation"].labels.bincount().tolist() == [5, 5]
    assert not {*splits["train"].patients} & {*splits["validation"].patients}
    assert run.configuration.training.early_stopping == EarlyStopping()
    assert splits["validation"].ids == hold_out(data, 0)[1].ids != hold_out(data, 1)[1].ids


def test_the_same_call_finds_its_training_done(make_data, make_model, tmp_path):
    data = make_data(100)
    first, again = (mv.fit(make_model(data), data, out=tmp_path / "run", **QUICK) for _ in range(2))
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in first.state_dict().items())


def test_held_out_samples_train_nothing(make_data, make_model):
    data = make_data(100)
    training, validation = hold_out(data, 0)
    settings = QUICK | {"per_class": 5}
    alone = mv.fit(make_model(data), training, validation, **settings)
    held = mv.fit(make_model(data), data, **settings)
    assert all(torch.equal(x, alone.state_dict()[name]) for name, x in held.state_dict().items())


def test_nobody_is_held_out_of_few_patients_on_request_or_who_alone_has_a_modality(make_data):
    few = make_data(100, patients=[f"p{row % 39}" for row in range(100)])
    assert hold_out(few, 0) == (few, None)
    data = make_data(100)
    first = data.ids.index(hold_out(data, 0)[1].ids[0])
    present = torch.ones(100, 2, dtype=torch.bool)
    present[:, 1] = torch.arange(100) == first
    rare = make_data(100, present=present)
    assert hold_out(rare, 0) == (rare, None)


def test_false_holds_out_nobody(make_data, make_model, tmp_path):
    data = make_data(100)
    mv.fit(make_model(data), data, out=tmp_path / "run", early_stopping=False, **QUICK)
    run = mv.open_run(tmp_path / "run", data)
    assert len(run.splits["train"]) == 100
    assert run.configuration.training.early_stopping is False


def test_patience_is_a_tenth_of_all_epochs():
    assert [EarlyStopping().patience_of(epochs) for epochs in (5, 100, 250)] == [10, 10, 25]
    assert EarlyStopping(patience=3).patience_of(250) == 3
