"""Every step runs by its command, and the page of the study names it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from steps import STEPS

STUDY = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(STUDY), *arguments], capture_output=True, text=True, check=False)


def test_steps_are_the_modules_that_have_a_command() -> None:
    commands = {path.stem for path in STUDY.glob("*.py") if "\ndef main(arguments" in path.read_text("utf-8")}
    assert commands == set(STEPS)
    assert all(callable(import_module(step).main) for step in STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_the_page_says_how_to_run_a_step(step: str) -> None:
    assert f"python examples/otitis/study {step}" in (STUDY / "README.md").read_text("utf-8")


def test_the_command_lists_its_steps_and_runs_one_from_any_folder(tmp_path: Path) -> None:
    listed = run("--help").stdout
    assert all(f"  {step} " in listed for step in STEPS)
    shown = run("measure", "--help")
    assert "usage: study measure" in shown.stdout
    refused = run("measure", "nowhere", "--judges", str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "judges.json cannot be read" in refused.stderr
