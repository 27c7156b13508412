"""Make new environments for checks, run commands in them, and count the checks."""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held:
    """Counts checks that hold.

    Attributes:
        held: number of checks that hold.
    """

    def __init__(self) -> None:
        self.held = 0

    def hold(self, what: str, truth: object, output: str = "") -> None:
        """Count a check that holds; exit at one that does not."""
        if not truth:
            sys.exit(f"does not hold: {what}\n{output}")
        self.held += 1
        print(f"holds: {what}", flush=True)


class Fresh(Held):
    """A new virtual environment and a working folder, both outside the checkout.

    It begins with pip and the dependencies of the core, which take long to install, but without the core.

    Attributes:
        place: working folder.
        python: interpreter of the environment.
    """

    def __init__(self, root: Path, constraints: Path, core: Path) -> None:
        super().__init__()
        self.place = root / "place"
        self.place.mkdir()
        venv.create(root / "env", symlinks=True)
        (packages,) = core.glob("lib/python*/site-packages")
        shutil.copytree(
            packages,
            root / "env" / packages.relative_to(core),
            ignore=shutil.ignore_patterns("multimodal_vae*"),
            copy_function=_link,
            dirs_exist_ok=True,
        )
        self.bin = root / "env" / "bin"
        self.python = self.bin / "python"
        (self.bin / "pip").write_text(f'#!/bin/sh\nexec "{self.python}" -m pip "$@"\n')
        (self.bin / "pip").chmod(0o755)
        self.constraints = constraints
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MMVAE_PLUGINS")
        self.environment = {key: value for key, value in os.environ.items() if key not in hidden}
        self.environment |= {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, with the programs of the environment first."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, cwd=self.place, env=self.environment | environment, text=True, capture_output=True, check=False
        )

    def pip(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run pip, and exit if it fails."""
        constraints = ["-c", self.constraints] if words[0] == "install" else []
        done = self.run(self.python, "-m", "pip", *words, "-q", *constraints)
        if done.returncode:
            sys.exit(f"pip {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
        return done


def _link(source: str, target: str) -> None:
    """Link a file, which pip replaces and never changes; copy it to another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def fresh(constraints: Path, core: Path) -> Iterator[Fresh]:
    """Make an environment; print the number of checks at the end.

    Args:
        constraints: versions that pip installs.
        core: environment with the core, its dependencies and its build backend, and nothing else.
    """
    with tempfile.TemporaryDirectory() as root:
        environment = Fresh(Path(root), constraints.resolve(), core.resolve())
        yield environment
        print(f"{environment.held} passed, 0 failed")
