"""Odd ears are as nobody has them, and each is found by the same attack."""

from __future__ import annotations

from pathlib import Path

import torch

import multimodal_vae as mv
from canaries import PLANTED, attack, odd, page
from multimodal_vae.evaluation.samples import LabeledSamples


def test_odd_ears_are_valid_samples_and_differ_from_each_other() -> None:
    same = {"otoscopy": torch.rand(1, 3, 8, 8).expand(2, 3, 8, 8), "wbt": torch.rand(1, 1, 8, 8).expand(2, 1, 8, 8)}
    for name, x in odd(same, seed=0).items():
        assert x.shape == same[name].shape
        assert 0 <= x.min() <= x.max() <= 1
        assert not torch.allclose(x[0], x[1])
        assert torch.equal(x, odd(same, seed=0)[name])


def test_planted_ears_are_compared_with_those_of_other_patients(
    run: tuple[Path, Path], held_out: LabeledSamples
) -> None:
    found = attack(mv.open_run(run[0]).model, held_out, {"name": "gaussian"})
    assert len(found.members) == PLANTED
    assert 0 < len(found.others) < len(held_out)
    assert f"| gaussian | {found.auc():.2f} | " in page({"gaussian": found})
