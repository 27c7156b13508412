import json
import os

import pytest
import torch

from multimodal_vae.errors import DataError, RunError
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.evaluation.samples import LabeledSamples

CLASSES = ["left", "right"]


def samples(seed=0, count=96):
    """A spot on the left or on the right, as bright as a number says; an early or a late signal; an empty vector."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    brightness = torch.rand(count, generator=rng)
    picture = 0.3 * torch.randn(count, 1, 12, 12, generator=rng)
    signal = 0.3 * torch.randn(count, 2, 20, generator=rng)
    for row in range(count):
        column = 1 + 7 * int(labels[row])
        picture[row, 0, 3:8, column : column + 3] += 3 * (0.5 + brightness[row])
        signal[row, :, 4 + 8 * int(labels[row]) : 8 + 8 * int(labels[row])] += 2
    values = {"picture": picture, "signal": signal, "vector": torch.randn(count, 3, generator=rng)}
    return LabeledSamples(values, labels, None, {"brightness": brightness})


@pytest.fixture(scope="module")
def judge():
    return train_judge(samples(), CLASSES, epochs=25, width=4)


def accuracy(judge, of):
    return float((judge.predict(of.values).labels == of.labels).double().mean())


def test_it_learns_classes_and_causes_from_all_modalities(judge):
    other = samples(1)
    reading = judge.predict(other.values)
    assert accuracy(judge, other) > 0.95
    assert float(torch.corrcoef(torch.stack([reading.causes["brightness"], other.causes["brightness"]]))[0, 1]) > 0.7
    assert (
        float((reading.causes["brightness"] - other.causes["brightness"]).abs().mean()) < 0.2
    )  # in the cause's own unit
    torch.testing.assert_close(reading.probabilities.sum(1), torch.ones(96))


@pytest.mark.parametrize(("name", "expected"), [("picture", True), ("signal", True), ("vector", False)])
def test_one_modality_tells_what_it_shows(name, expected):
    one = train_judge(samples(), CLASSES, [name], epochs=10, width=4)
    assert one.modalities == [name]
    assert (accuracy(one, samples(1)) > 0.9) is expected
    flipped = samples(1)
    turned = {**flipped.values, "picture": flipped.values["picture"].flip(3)}
    assert (float((one.predict(turned).labels == flipped.labels).double().mean()) < 0.1) is (name == "picture")


def test_the_same_seed_gives_the_same_judge_and_no_global_state_changes():
    state = torch.random.get_rng_state()
    one, again, other = (train_judge(samples(), CLASSES, ["vector"], epochs=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    first, second, third = (each.state_dict()["_head.weight"] for each in (one, again, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_augmentation_is_of_its_modality_and_is_learned_from():
    # Whoever has always seen spots at random sides cannot go by the side.
    def flip(x):
        return torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)

    blind = train_judge(samples(), CLASSES, ["picture"], {"picture": flip}, epochs=10, width=4)
    assert accuracy(blind, samples(1)) < 0.75


def test_rare_classes_are_learned_as_well(generator):
    labels = (torch.arange(400) % 20 == 0).long()
    x = torch.randn(400, 2, generator=generator) + 1.5 * labels[:, None]
    judge = train_judge(LabeledSamples({"x": x}, labels), CLASSES, epochs=30)
    labeled = judge.predict({"x": x}).labels
    assert float((labeled[labels == 1] == 1).double().mean()) > 0.7


@pytest.mark.parametrize("shape", [(1, 3), (2, 5, 4), (1, 6, 9, 7), (40,)])
def test_any_shape_up_to_three_dimensions_of_space_will_do(shape):
    x = torch.zeros(3, *shape)
    assert Judge({"x": shape}, CLASSES, width=2, features=5).predict({"x": x}).features.shape == (3, 5)


def test_batches_of_reading_are_nothing_but_batches(judge):
    values = samples(2, 10).values
    whole, parts = judge.predict(values), judge.predict(values, batch=3)
    torch.testing.assert_close(whole.features, parts.features)


def test_a_saved_judge_says_the_same(judge, tmp_path):
    judge.save(tmp_path / "judge.safetensors")
    back = Judge.load(tmp_path / "judge.safetensors")
    one, other = (each.predict(samples(3).values) for each in (judge, back))
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.causes["brightness"], other.causes["brightness"])
    assert back.classes == CLASSES


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("last", ["judge.json", "judge.safetensors"])
def test_a_judge_whose_saving_ends_halfway_is_not_saved(judge, tmp_path, monkeypatch, before, last):
    path = tmp_path / "judge.safetensors"
    if before:
        judge.save(path)
    replace = os.replace

    def killed(temporary, target):
        if target.name == last:
            raise KeyboardInterrupt
        replace(temporary, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            judge.save(path)
    assert not Judge.is_saved(path)
    judge.save(path)
    assert Judge.is_saved(path)
    assert accuracy(Judge.load(path), samples(1)) == accuracy(judge, samples(1))


def test_a_file_that_is_not_the_judges_is_refused(judge, tmp_path):
    path, facts = tmp_path / "judge.safetensors", tmp_path / "judge.json"
    judge.save(path)
    content, told = path.read_bytes(), json.loads(facts.read_text("utf-8"))

    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match="checksum"):
        Judge.load(path)
    path.write_bytes(content)
    for change, said in [
        ({"version": 99}, "version 99"),
        ({"sha256": "0"}, "do not match"),
        ({"classes": ["a", "b", "c"]}, "does not hold the weights"),
        ({"width": "wide"}, "damaged"),
    ]:
        facts.write_text(json.dumps({**told, **change}), "utf-8")
        with pytest.raises(RunError, match=said):
            Judge.load(path)
    facts.unlink()
    with pytest.raises(RunError, match=r"judge\.json cannot be read"):
        Judge.load(path)


def test_what_it_cannot_look_at_is_named(judge):
    values = samples(0, 4).values
    with pytest.raises(DataError, match=r"'signal' of shape .* there are none"):
        judge.predict({"picture": values["picture"], "vector": values["vector"]})
    with pytest.raises(DataError, match=r"'vector' of shape \(3,\), but they have shape \(4,\)"):
        judge.predict({**values, "vector": torch.zeros(4, 4)})
    with pytest.raises(DataError, match="up to three spatial dimensions"):
        Judge({"x": (1, 2, 2, 2, 2)}, CLASSES)
    with pytest.raises(DataError, match="label 1 is out of range for 1 classes"):
        train_judge(samples(), ["one"])
    with pytest.raises(DataError, match="two samples"):
        train_judge(samples(0, 1), CLASSES)
