"""What the checks share that want an environment of their own: making it, running in it, and counting what held."""

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held:
    """Counts what holds.

    Attributes:
        held: how many checks did.
    """

    def __init__(self) -> None:
        self.held = 0

    def hold(self, what: str, truth: object, output: str = "") -> None:
        """Count what holds, and end everything with the first thing that does not."""
        if not truth:
            sys.exit(f"does not hold: {what}\n{output}")
        self.held += 1
        print(f"holds: {what}", flush=True)


class Fresh(Held):
    """A new virtual environment beside a folder to work in, neither of which knows of a checkout.

    Attributes:
        place: the folder.
        python: the environment's interpreter.
    """

    def __init__(self, root: Path, constraints: Path) -> None:
        super().__init__()
        self.place = root / "place"
        self.place.mkdir()
        venv.create(root / "env", with_pip=True)
        self.bin = root / "env" / "bin"
        self.python = self.bin / "python"
        self.constraints = constraints
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MMVAE_PLUGINS")
        self.environment = {key: value for key, value in os.environ.items() if key not in hidden}
        self.environment |= {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, with the environment's own programs first."""
        words = [str(word) for word in command]
        return subprocess.run(
            words, cwd=self.place, env=self.environment | environment, text=True, capture_output=True, check=False
        )

    def pip(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run pip, and end everything where it fails."""
        constrained = ["-c", self.constraints] if words[0] == "install" else []
        done = self.run(self.python, "-m", "pip", *words, "-q", *constrained)
        if done.returncode:
            sys.exit(f"pip {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
        return done


@contextmanager
def fresh(constraints: Path) -> Iterator[Fresh]:
    """Make an environment, and say at the end how many checks held in it."""
    with tempfile.TemporaryDirectory() as root:
        made = Fresh(Path(root), constraints.resolve())
        yield made
        print(f"{made.held} passed, 0 failed")
