"""What scripts that go on from one another share: where they keep what they make, and how one runs another."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import multimodal_vae as mv

HERE = Path(__file__).parent


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """A command line with the folders of cohorts, runs and judges, and how much is done at a time.

    Args:
        about: the script's docstring, whose first line says what it is for.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder for everything but judges")
    parser.add_argument("--judges", type=Path, default=Path("runs/judges"), help="folder of the judges")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, and processes that draw (default 2)")
    return parser


def run_script(name: str, *arguments: object) -> None:
    """Run a script of this folder in a process of its own, whose workers do not import what this one has.

    Raises:
        RunError: if it fails.
    """
    if subprocess.run([sys.executable, HERE / name, *map(str, arguments)]).returncode:
        raise mv.RunError(f"{name} failed; the lines above say why")
