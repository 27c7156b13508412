"""Ablations change what they say and nothing else, and claim no more than the cohorts agree on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import lengths
from ablations import BASE, EPOCHS, QUESTIONS, Ablation, claims, page, recipe
from measure import Facts, Measured
from multimodal_vae import Configuration
from multimodal_vae.evaluation.result import MetricResult
from screen import SCREEN, row

EVERY = {each.name: each for question in QUESTIONS.values() for each in question}


@pytest.mark.parametrize("ablation", EVERY.values(), ids=lambda each: each.name)
def test_an_ablation_is_a_recipe_that_differs_in_its_settings_alone(ablation: Ablation, tmp_path: Path) -> None:
    text = recipe(ablation, tmp_path / "manifest.csv")
    path = tmp_path / "recipe.toml"
    path.write_text(text, "utf-8")
    Configuration.read(path)
    changed, base = tomllib.loads(text), tomllib.loads(BASE.read_text("utf-8"))
    base["training"]["epochs"], base["data"]["manifest"] = EPOCHS, str(tmp_path / "manifest.csv")
    for key in ablation.settings:
        *sections, last = key.split(".")
        for table in (changed, base):
            for name in sections:
                table = table.setdefault(name, {})  # noqa: PLW2901
            table.pop(last, None)
    assert {name: table for name, table in changed.items() if table} == base | {}
    assert (ablation.folder == "base") == (not ablation.settings)


def measured(value: float) -> Measured:
    named = [name for name in SCREEN.values() if not name.startswith("spread") and "worst" not in name]
    context = {"spread otoscopy": value}
    figures = [MetricResult(name, value, real=1.0, context=context) for name in [*named, "class mean/wbt/NOE"]]
    return Measured(Facts(seconds=60.0), figures)  # type: ignore[typeddict-item]


def test_only_what_the_cohorts_agree_on_is_claimed() -> None:
    base = [measured(value) for value in (0.50, 0.52, 0.51)]
    found = {
        "base": base,
        "worse": [measured(value) for value in (0.40, 0.43, 0.41)],
        "no different": [measured(value) for value in (0.48, 0.56, 0.50)],
    }
    worse, same = claims(found)
    assert worse.startswith("- *worse*: R² image -0.10")
    assert worse.count("-0.10") == len(SCREEN) - 1  # class means are told to a digit more
    assert same == "- *no different*: no difference that the cohorts agree on."
    assert not list(claims({name: runs[:1] for name, runs in found.items()}))
    assert row(["base"], base).startswith("| base | 0.51 ± 0.01 |")
    text = page(dict.fromkeys(EVERY, base), [1, 2, 3])
    assert all(f"| {name} |" in text for name in EVERY)


def test_the_page_of_lengths_has_a_row_a_training_and_ten_minutes_where_the_recipe_has_them(tmp_path: Path) -> None:
    trainings = {(name, epochs): measured(0.5) for name, each in lengths.EPOCHS.items() for epochs in each}
    text = lengths.page(trainings, seed=10)
    for name, epochs in trainings:
        assert text.count(f"| {name} | {epochs} | ") == 1
        place = lengths.run_folder(tmp_path, name, epochs)
        assert (f"| {name} | {epochs} | 10 |" in text) == (place == tmp_path / name)
    assert text.count(" | 10 | ") == len(lengths.EPOCHS)
