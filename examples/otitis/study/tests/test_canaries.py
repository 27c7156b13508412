"""Odd ears are as nobody has them, and each is found by the same attack."""

from __future__ import annotations

from pathlib import Path

import torch

import multimodal_vae as mv
from canaries import PLACES, PLANTED, SPACES, attack, odd, page, plant, planted_rows, train
from multimodal_vae.evaluation.samples import LabeledSamples


def test_odd_ears_are_valid_samples_and_differ_from_each_other() -> None:
    same = {"otoscopy": torch.rand(1, 3, 8, 8).expand(2, 3, 8, 8), "wbt": torch.rand(1, 1, 8, 8).expand(2, 1, 8, 8)}
    for name, x in odd(same, seed=0).items():
        assert x.shape == same[name].shape
        assert 0 <= x.min() <= x.max() <= 1
        assert not torch.allclose(x[0], x[1])
        assert torch.equal(x, odd(same, seed=0)[name])


def test_planted_ears_are_compared_with_those_of_other_patients(
    run: tuple[Path, Path], held_out: LabeledSamples, tmp_path: Path
) -> None:
    opened = mv.open_run(run[0])
    planted = plant(held_out, opened.model)
    trained = train(planted, opened.configuration, tmp_path / "run", steps=2)
    for model in (opened.model, trained):
        found = attack(model, planted, {"name": "gaussian"})
        assert list(found) == list(SPACES)
        for each in found.values():
            assert len(each.members) == PLANTED
            assert len(each.others) == len(planted.public)
    text = page({place: {"gaussian": found} for place in PLACES})
    assert text.count(f"| gaussian | {found['pairs'].auc():.2f} | ") == len(PLACES)


def test_the_planted_ears_are_among_the_patients(run: tuple[Path, Path], held_out: LabeledSamples) -> None:
    planted = plant(held_out, mv.open_run(run[0]).model)
    assert not set(planted.private.patients) & set(planted.public.patients)
    for name, x in planted.members.items():
        for row in planted_rows(planted.private.patients):
            assert (x == planted.private.samples[name][row]).flatten(1).all(1).any()
