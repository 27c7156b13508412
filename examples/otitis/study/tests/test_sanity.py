"""Spoilt samples move the measures that are there for them: on toys, since thousands of ears take minutes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import pytest
import torch

import sanity
from ears import CLASSES, CLEAN, Ears
from landmark_judge import LandmarkJudge, Lessons, train_landmark_judge
from landmarks import LANDMARKS
from multimodal_vae.evaluation import protocol, texture
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.evaluation.patch_classifier import patch_classifier
from multimodal_vae.evaluation.samples import LabeledSamples

COUNT = 120


def toys(seed: int, count: int = COUNT) -> LabeledSamples:
    """Flat pictures and sweeps of three classes that share a cause, with a fine grid on every second picture."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pressure = torch.randn(count, generator=rng)
    grid = (torch.arange(count) // 3) % 2
    otoscopy = 0.25 + 0.02 * torch.randn(count, 3, 64, 64, generator=rng)
    otoscopy[torch.arange(count), labels] += 0.3
    otoscopy += 0.06 * pressure[:, None, None, None]
    otoscopy[:, :, 20:44:6] += 0.3 * grid[:, None, None, None]
    wbt = 0.2 + 0.2 * labels[:, None, None, None] + 0.02 * torch.randn(count, 1, 64, 64, generator=rng)
    wbt[:, :, :32] += 0.06 * pressure[:, None, None, None]
    causes = {"pressure": pressure, "grid": grid.float()}
    values = {"otoscopy": otoscopy.clamp(0, 1), "wbt": wbt.clamp(0, 1)}
    return LabeledSamples(values, labels, [f"p{row // 3}" for row in range(count)], causes)


@dataclass(frozen=True)
class ToyJudges:
    joint: Judge
    image: Judge
    wbt: Judge
    landmarks: LandmarkJudge
    wbt_means: torch.Tensor


@cache
def results() -> dict[str, dict[str, object]]:
    apart = toys(10)
    pressure = LabeledSamples(apart.values, apart.labels, causes={"pressure": apart.causes["pressure"]})
    marks = torch.zeros(COUNT, len(LANDMARKS), 64, 64)
    marks[:, :, 20:44:6] = apart.causes["grid"][:, None, None, None]
    fine = apart.values["otoscopy"]
    taught = Lessons(torch.cat([fine, sanity.blurred(fine, 3.0)]), torch.cat([marks, torch.zeros_like(marks)]))
    joint, image, wbt = (train_judge(pressure, CLASSES, names, epochs=10, width=4, batch=24)
                         for names in (None, ["otoscopy"], ["wbt"]))  # fmt: skip
    means = torch.stack([apart.values["wbt"][apart.labels == index].mean(0) for index in range(3)])
    judges = ToyJudges(joint, image, wbt, train_landmark_judge(taught, epochs=4, batch=24), means)
    held_out = toys(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "patch_classifier", partial(patch_classifier, steps=25))
        patch.setattr(texture, "_PATCHES", 1024)
        return sanity.cases(toys(1), Ears(held_out, {CLEAN: held_out.values["otoscopy"]}), toys(3), judges, resamples=2)


@pytest.mark.parametrize("expected", sanity.EXPECTED, ids=lambda each: f"{each.case}: {each.says}")
def test_what_is_spoilt_is_noticed(expected: sanity.Expectation) -> None:
    found = results()
    assert expected.holds(found[expected.case], found["real"])


def test_verdicts_are_those_of_the_expectations() -> None:
    assert [line for line, _ in sanity.verdicts(results())] == [f"{each.case}: {each.says}" for each in sanity.EXPECTED]


def test_spoilt_samples_are_what_they_are_called() -> None:
    train, real = toys(1), toys(3)
    mixed = sanity.shuffled(real)
    assert torch.equal(mixed.values["otoscopy"], real.values["otoscopy"])
    for label in range(3):
        rows = real.labels == label
        ours, theirs = (each.values["wbt"][rows].flatten(1).sum(1) for each in (mixed, real))
        assert not (ours == theirs).any()
        assert torch.equal(ours.sort().values, theirs.sort().values)
    copied = sanity.substitutes(train, real)["copied"]
    assert all(torch.equal(copied.values[name], x) for name, x in train.values.items())
    same = sanity.repeated(real)
    assert all(float(x[same.labels == 1].std(0).max()) < 0.01 for x in same.values.values())
    noisy = sanity.noise(real).values["wbt"]
    assert 0 <= float(noisy.min()) < float(noisy.max()) <= 1


def test_the_table_has_a_column_a_case_and_what_stands_beside() -> None:
    lines = sanity.table(results(), ["purity", sanity.COPIES]).splitlines()
    assert (
        lines[0] == "| metric | held out | real | shuffled | copied | repeated | blurred | unsharp | textured | noise |"
    )
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| purity", "| purity, spread otoscopy", "| purity, spread wbt", "| copying/closest record",
    ]  # fmt: skip
    assert len({line.count("|") for line in lines}) == 1
