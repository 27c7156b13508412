"""Recipes with a few settings changed, and several trainings side by side."""

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


def changed(recipe: Path, manifest: Path, settings: Mapping[str, Any]) -> str:
    """A recipe's TOML with another manifest, and with settings by dotted key; a value None removes the key."""
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
    """Train, each run in its folder by its recipe's TOML, so many at a time with a thread each.

    Two such trainings take less time than one after the other with two threads. One that was stopped goes on, and one
    that is done is only read. Beside each folder lie its recipe and what the training printed.

    Raises:
        RunError: if one failed, after all others have ended.
    """
    waiting, running, failed = dict(trainings), {}, []
    while waiting or running:
        while waiting and len(running) < jobs:
            folder = next(iter(waiting))
            running[folder] = _start(folder, waiting.pop(folder))
        folder = next(iter(running))
        if running.pop(folder).wait():
            failed.append(folder)
    if failed:
        raise mv.RunError(f"{len(failed)} of {len(trainings)} trainings failed; see {failed[0]}.log")


def _start(folder: Path, recipe: str) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = folder.parent / f"{folder.name}.toml"
    written.write_text(recipe, "utf-8")
    program = [Path(sysconfig.get_path("scripts")) / "mmvae", "train", written]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [*program, "--out", folder, "--quiet"], stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
