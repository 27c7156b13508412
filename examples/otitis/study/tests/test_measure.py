"""What is measured is told with what it hangs on, and comes back from its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import multimodal_vae as mv
import reproduce
from judges import Judges
from measure import Facts, Measured, by_recipe, comparison, cost_table, measure_run, recipe_of
from multimodal_vae.evaluation.result import MetricResult
from simulator import identity
from trainings import RECIPES

FEW = {"NOE": 10, "OME": 10, "AOM": 10}


def facts(recipe: str = "quick", seed: int = 0, judges: str = "j") -> Facts:
    return Facts(
        recipe=recipe,
        fitted_on="train",
        sampler={"name": "kde"},
        cohort_seed=seed,
        held_out_seed=seed + 500,
        held_out=FEW,
        generated=20,
        simulator=identity(),
        judges=judges,
        weights="w",
        steps=7,
        seconds=1.5,
    )


def measured(recipe: str, seed: int, value: float, judges: str = "j") -> Measured:
    metric = MetricResult(
        "purity", value, interval=(value - 0.1, value + 0.1), real=0.9, baseline=0.5, context={"spread": value}
    )
    nothing = MetricResult("fidelity/spread", float("nan"), "lower", (float("nan"), 1.0))
    return Measured(facts(recipe, seed, judges), [metric, nothing])


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    one = measured("quick", 0, 0.75)
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(one.record()), "utf-8")
    back = Measured.read(path)
    assert back.facts == one.facts
    assert back.metrics[0] == one.metrics[0]
    assert str(back.metrics[1]) == str(one.metrics[1])  # NaN is not equal to itself


def test_seeds_of_one_recipe_are_combined_and_recipes_stand_side_by_side() -> None:
    runs = [measured("quick", 0, 0.7), measured("paper-small", 0, 0.5), measured("quick", 1, 0.9)]
    assert {recipe: len(found) for recipe, found in by_recipe(runs).items()} == {"quick": 2, "paper-small": 1}
    lines = comparison(runs, ["purity"]).splitlines()
    assert lines == [
        "| metric | real | baseline | quick | interval | paper-small | interval |",
        "|---|---|---|---|---|---|---|",
        "| purity | 0.90 | 0.50 | 0.80 ± 0.14 | 0.70 to 0.90 | 0.50 | 0.40 to 0.60 |",
        "| purity, spread |  |  | 0.80 |  | 0.50 |  |",
    ]
    assert "| quick | 0, 1 | train | 7 | 2 | 30 | 20 |" in cost_table(runs)


@pytest.mark.parametrize("name", ["quick", "paper", "paper-small", "clean"])
def test_a_recipe_is_known_whatever_its_seeds_and_data(name: str, tmp_path: Path) -> None:
    configuration = mv.Configuration.read(RECIPES / f"{name}.toml")
    moved = configuration.with_data(manifest=tmp_path / "m.csv", seed=3).with_training(seed=7, precision="float32")
    assert recipe_of(moved, moved.density.fit_on) == name
    assert recipe_of(moved.with_training(epochs=3), moved.density.fit_on) is None


def test_paper_small_with_densities_of_training_patients_is_clean() -> None:
    assert recipe_of(mv.Configuration.read(RECIPES / "paper-small.toml"), "train") == "clean"


def test_the_table_takes_its_place_and_nothing_else(tmp_path: Path) -> None:
    text = f"before\n{reproduce.BEGIN}\nold\n{reproduce.END}\nafter\n"
    runs = [Measured(facts(), [MetricResult(name, 0.5) for name in reproduce.METRICS])]
    new = reproduce.with_tables(text, runs)
    assert new.startswith("before\n")
    assert new.endswith("after\n")
    assert "old" not in new
    assert "| purity | " in new
    assert reproduce.with_tables(new, runs) == new
    with pytest.raises(mv.RunError, match="no place for the tables"):
        reproduce.with_tables("nothing", runs)
    assert reproduce.BEGIN in reproduce.README.read_text("utf-8")


def test_only_figures_of_the_same_judges_are_put_together(tmp_path: Path) -> None:
    for seed, judges in ((10, "a"), (9, "a"), (11, "b")):
        folder = tmp_path / f"seed{seed}/paper-small"
        folder.mkdir(parents=True)
        (folder / "measured.json").write_text(json.dumps(measured("paper-small", seed, 0.5, judges).record()), "utf-8")
    assert [each.facts["cohort_seed"] for each in reproduce.all_measured(tmp_path, "a")] == [9, 10]


def test_a_run_is_measured_on_ears_that_nothing_has_seen(run: tuple[Path, Path]) -> None:
    path, folder = run
    judges = Judges.load(folder)
    one = measure_run(str(path), judges, folder, 10, FEW, workers=1)
    assert one.facts["recipe"] == "run"
    assert (one.facts["fitted_on"], one.facts["cohort_seed"], one.facts["held_out_seed"]) == ("test", 3, 503)
    assert (one.facts["judges"], one.facts["simulator"]) == (judges.sha256, identity())
    assert one.facts["steps"] > 0 < one.facts["seconds"]
    names = {metric.name for metric in one.metrics}
    assert set(reproduce.METRICS) - names == {"utility/a quarter and synthetic"}  # of which so few ears have too few
    assert "quarter" not in comparison([one], reproduce.METRICS)
    other = measure_run(f"{path}:train", judges, folder, 10, FEW, workers=1)
    assert other.facts["fitted_on"] == "train"
    value, of_other = ({f.name: f.value for f in each.metrics} for each in (one, other))
    assert value["individuality/wbt"] == of_other["individuality/wbt"]  # the same model
    assert value["fidelity/kernel distance"] != of_other["fidelity/kernel distance"]  # other densities
    written = (path / "measured.json").stat().st_mtime_ns
    assert measure_run(str(path), judges, folder, 10, FEW, workers=1).metrics == one.metrics
    assert (path / "measured.json").stat().st_mtime_ns == written


def test_what_is_no_run_on_a_simulated_cohort_is_refused(run: tuple[Path, Path], tmp_path: Path) -> None:
    path, folder = run
    judges = Judges.load(folder)
    with pytest.raises(mv.RunError, match="not a run folder"):
        measure_run(str(tmp_path), judges, folder)
    (tmp_path / "cohort").mkdir()
    shutil.copytree(path, tmp_path / "run")
    with pytest.raises(mv.RunError, match=r"cohort\.json cannot be read"):
        measure_run(str(tmp_path / "run"), judges, folder)
    cohort = json.loads((path.parent / "cohort/cohort.json").read_text("utf-8"))
    for change, message in (({"seed": 700}, "below 500"), ({"simulator_sha256": "0"}, "another simulator")):
        (tmp_path / "cohort/cohort.json").write_text(json.dumps({**cohort, **change}), "utf-8")
        with pytest.raises(mv.RunError, match=message):
            measure_run(str(tmp_path / "run"), judges, folder)
