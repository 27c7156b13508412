"""Each setting is measured once per run, and the page averages runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from frontier import FIDELITY, OWN, PRIVACY, RECOMMENDED, Bench, Point, by_setting, drawn, measured, summary, text
from judges import Judges
from multimodal_vae.evaluation.samples import LabeledSamples


def point(seed: int, value: float, name: str = RECOMMENDED) -> Point:
    recipe, setting = name.split(": ")
    metrics = dict.fromkeys((*PRIVACY, *FIDELITY, "low", "high"), value)
    return Point(facts={"recipe": recipe, "setting": setting, "cohort_seed": seed}, metrics=metrics)


def test_runs_of_one_setting_are_averaged_and_the_recommended_one_stands_out() -> None:
    points = [point(10, 0.5), point(10, 0.8, "best: 1 Gaussian"), point(11, 0.7)]
    groups = by_setting(points)
    assert {name: len(runs) for name, runs in groups.items()} == {RECOMMENDED: 2, "best: 1 Gaussian": 1}
    assert summary(groups[RECOMMENDED], "purity") == pytest.approx((0.6, 0.1))  # half of the difference
    page = text(points)
    assert "cohorts of seeds 10, 11," in page
    assert f"| **{RECOMMENDED}** | 0.60 ± 0.10 (0.60 to 0.60) |" in page
    assert "| best: 1 Gaussian | 0.80 (0.80 to 0.80) | 0.80 |" in page
    figure = drawn(points)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(groups)


def test_a_setting_is_measured_once(
    run: tuple[Path, Path], held_out: LabeledSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run[0].parent, tmp_path / "clinic")
    path, judges = tmp_path / "clinic/run", Judges.load(run[1])
    (first,) = measured(path, judges, held_out)
    assert (first["facts"]["setting"], first["facts"]["sampler"]["name"]) == (OWN, "auto")
    known = set(first["metrics"])
    # Judges that saw three ears of each class may find no malleus, or nothing else, in any ear.
    assert {*PRIVACY, "purity", "spread image", "TSTR", "low", "high"} <= known <= {*PRIVACY, *FIDELITY, "low", "high"}
    monkeypatch.setattr(Bench, "measure", lambda *_: pytest.fail("it was measured again"))
    assert list(measured(path, judges, held_out)) == [first]
