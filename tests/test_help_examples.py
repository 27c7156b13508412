"""The examples of every command's help run after the README's commands, on a small cohort."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import documents
from multimodal_vae.cli import app
from multimodal_vae.evaluation import protocol
from multimodal_vae.explore.server import Server
from multimodal_vae.report import run_evaluation

ROOT = Path(__file__).parent.parent
LESS = {
    "cohort.py": ["--noe", "45", "--ome", "45", "--aom", "45", "--workers", "1"],
    "sample": ["--count", "10"],
    "evaluate": ["--count", "30"],
    "release": ["--count", "30", "--threshold", "1"],
    "samplers": ["--folds", "2"],
    "adapt": ["--count", "10"],
    "cross-validate": ["--count", "30", "--folds", "2", "--quiet"],
    "tune": ["--trials", "1", "--quiet"],
    "train": ["--quiet"],
}
"""Options by which a command takes less time, and a release of a model that knows each patient is not refused."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the otitis example, whose recipes train small networks for one epoch."""
    example = tmp_path / "examples/otitis"
    shutil.copytree(ROOT / "examples/otitis", example, ignore=shutil.ignore_patterns("study", "tests"))
    for recipe in example.glob("*.toml"):
        text = re.sub(r"^(?:epochs|steps) = \d+", "epochs = 1", recipe.read_text("utf-8"), flags=re.MULTILINE)
        text = re.sub(r"^width = \d+", "width = 4", text, flags=re.MULTILINE)
        if "split = " not in text:  # enough validation patients for tune
            text = text.replace("[data]", "[data]\nsplit = [0.5, 0.3, 0.2]")
        text = text.replace('name = "otoscopy"', 'name = "otoscopy"\nsize = 16')
        recipe.write_text(text.replace('name = "wbt"', 'name = "wbt"\nsize = [16, 16]'), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_evaluation, "train_judge", partial(run_evaluation.train_judge, epochs=1))
    monkeypatch.setattr(run_evaluation, "measure", partial(run_evaluation.measure, resamples=5))
    monkeypatch.setattr(protocol, "patch_classifier", partial(protocol.patch_classifier, steps=5))
    monkeypatch.setattr(Server, "serve_forever", lambda _: None)  # explore would wait for Ctrl-C
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    return tmp_path


def readme_commands() -> list[str]:
    """Return the README's commands from a cohort to a release."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (block,) = (each for each in blocks if "mmvae train" in each)
    return re.findall(r"^\$ (.*?)(?: +#.*)?$", block, re.MULTILINE)


def examples_in(text: str) -> list[str]:
    """Return the commands of a help's example."""
    return re.findall(r"^ {4}(\S.*)$", text.partition("\n  Example:\n")[2], re.MULTILINE)


def every_command(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of a command, or of all commands of a group."""
    if not hasattr(command, "commands"):
        yield words
        return
    for name, each in command.commands.items():
        yield from every_command(each, *words, name)


def answer_study(folder: Path) -> None:
    """Answer every item of a study, as a reader's browser saves it."""
    study = json.loads((folder / "study.json").read_text("utf-8"))
    items = [row["item"] for row in csv.DictReader((folder / "key.csv").read_text("utf-8").splitlines())]
    rows = [f"{study['study']},{item},{study['classes'][0]},3,2.5,2026-01-01T12:00:00Z" for item in items]
    Path("answers-a.csv").write_text("\n".join(["study,item,answer,confidence,seconds,time", *rows]) + "\n", "utf-8")


@pytest.mark.usefixtures("project")
def test_every_example_of_the_help_runs_after_the_readmes_commands(mmvae):
    commands = readme_commands()
    for words in every_command(get_command(app)):
        examples = examples_in(mmvae(*words, "--help")[1])
        assert examples, words
        commands += examples
    environment = documents.environment_of(sys.executable)
    for command in dict.fromkeys(commands):
        if command.startswith("mmvae study score"):
            answer_study(Path("study"))
        program, *words = shlex.split(command, comments=True)
        words = [file for word in words for file in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        options = LESS.get(Path(words[0]).name, [])
        if program == "mmvae":
            status, _, err = mmvae(*words, *options)
            assert status == 0, f"{command}\n{err}"
        else:
            subprocess.run(
                ["bash", "-c", " ".join([command, *options])], check=True, capture_output=True, env=environment
            )
