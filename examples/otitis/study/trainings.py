"""Recipes with changed settings, and several trainings side by side."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

import multimodal_vae as mv

RECIPES = Path(__file__).parent.parent
"""Folder of the recipes."""


def changed_recipe(recipe: Path, manifest: Path, settings: Mapping[str, Any]) -> str:
    """Return a recipe's TOML with another manifest and changed settings.

    Args:
        recipe: the recipe's file.
        manifest: the cohort's manifest.
        settings: values by dotted key, such as ``"training.epochs"``; None removes the key.
    """
    table = tomllib.loads(recipe.read_text("utf-8"))
    for key, value in {**settings, "data.manifest": str(manifest.resolve())}.items():
        *sections, last = key.split(".")
        section = table
        for name in sections:
            section = section.setdefault(name, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    return tomli_w.dumps(table)


def train_all(trainings: Mapping[Path, str], jobs: int) -> None:
    """Train several recipes, ``jobs`` at a time with one thread each; interrupted trainings resume.

    Two such trainings take less time than one after the other with two threads. Each recipe and the output of its
    training are written beside its run folder.

    Args:
        trainings: a recipe's TOML by run folder.
        jobs: number of concurrent trainings.

    Raises:
        RunError: if a training failed; it is raised after the others have ended.
    """
    running: dict[Path, subprocess.Popen[bytes]] = {}
    waiting, failures = dict(trainings), []
    while waiting or running:
        while waiting and len(running) < jobs:
            folder = next(iter(waiting))
            running[folder] = _start(folder, waiting.pop(folder))
        folder = next(iter(running))
        if running.pop(folder).wait():
            failures.append(folder)
    if failures:
        raise mv.RunError(f"{len(failures)} of {len(trainings)} trainings failed; see {failures[0]}.log")


def _start(folder: Path, recipe: str) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.parent / f"{folder.name}.toml"
    file.write_text(recipe, "utf-8")
    mmvae = str(Path(sysconfig.get_path("scripts")) / "mmvae")
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [mmvae, "train", file, "--out", folder, "--quiet"],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
