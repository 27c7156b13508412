"""Run the code blocks of a documentation page in order and compare their output.

- A block with ``title="path"`` is written to that file.
- ```` ```console ````: bash runs lines after ``$``; the lines below are their output; ``...`` matches anything.
  A command may fail only if its output begins with ``mmvae: ``.
- ```` ```python ```` without a title is run, all blocks of a page in one session. The output is a
  ```` ```text ```` block right after it.

Run: ``python tests/tools/documents.py PAGE FOLDER``.
"""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Self

from warm import Warm

_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class DiffersError(AssertionError):
    """The output of a block differs from the page."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        line: line before its first one.
        language: language of the fence.
        title: file to write it to, or empty.
        text: its content.
        expected: its output, if a block of text follows at once.
    """

    line: int
    language: str
    title: str
    text: str
    expected: str | None


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    matches = list(_FENCE.finditer(page))
    result = []
    for match, after in zip_longest(matches, matches[1:]):
        follows = after and after[1] == "text" and not page[match.end() : after.start()].strip()
        expected = after[3] if after and follows else None
        result.append(Block(page[: match.start()].count("\n") + 1, match[1], match[2] or "", match[3], expected))
    return result


def environment_of(executable: str) -> dict[str, str]:
    """Return an environment with the commands of an interpreter first, and no path to the checkout."""
    path = f"{Path(executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return environment | {"PATH": path, "OMP_NUM_THREADS": "1"}


def run(page: Path, folder: Path, executable: str = sys.executable, warm: Warm | None = None) -> int:
    """Run a page in a folder and return the number of blocks run.

    Args:
        page: the page.
        folder: working folder of its code.
        executable: interpreter of its code.
        warm: runs the Python blocks and simple ``mmvae`` commands, in place of the interpreter.

    Raises:
        DiffersError: with page, line, expected and actual output.
    """
    with _Session(executable, folder, warm) as session:
        return sum(_run(block, page.name, session) for block in blocks(page.read_text("utf-8")))


def _run(block: Block, page: str, session: "_Session") -> bool:
    """Run one block, and return whether it is runnable."""
    where, folder = f"{page}, line {block.line}", session.folder
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.title).write_text(block.text, "utf-8")
    elif block.language == "console":
        for command, expected in _commands(block.text):
            ran = session.run_command(command)
            # Errors go to standard error, where successful commands may print notes.
            may_fail = expected.startswith("mmvae: ")
            if ran.returncode and not may_fail:
                raise DiffersError(f"{where}, $ {command}\nexit code: {ran.returncode}\n{ran.stdout}{ran.stderr}")
            _compare(f"{where}, $ {command}", expected, ran.stdout or (ran.stderr if may_fail else ""), ran.stderr)
    elif block.language == "python":
        output, error = session.run(block.text)
        if error:
            raise DiffersError(f"{where}: {error}")
        _compare(where, block.expected or "", output)
    else:
        return False
    return True


_COMMAND = "import sys; del sys.path[0]; from multimodal_vae.cli import main; main()"
_SIMPLE = re.compile(r"mmvae [^|&;<>()$`*?~#\\]*")
"""Commands that bash would only split into words."""


class _Session:
    """A shell, and one interpreter for all Python blocks of a page."""

    _PROGRAM = """
import contextlib, io, json, sys, traceback, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "'kde' gives patients away")  # said where a page fits kernel densities
names = {"__name__": "__main__"}
for line in sys.stdin:
    output, error = io.StringIO(), ""
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(json.loads(line), "page", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([output.getvalue(), error]), flush=True)
"""

    def __init__(self, executable: str, folder: Path, warm: Warm | None) -> None:
        self.folder = folder
        self._command = [executable, "-W", "error", "-c", self._PROGRAM]
        self._options: dict[str, Any] = {"cwd": folder, "env": environment_of(executable), "text": True}
        self._warm = warm
        self._process: subprocess.Popen[str] | None = None
        self._pipes: tuple[IO[str], IO[str]] | None = None

    def run_command(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of a shell."""
        if self._warm and _SIMPLE.fullmatch(command):
            return self._warm.run(_COMMAND, shlex.split(command), self.folder)
        return subprocess.run(["bash", "-c", command], capture_output=True, **self._options)

    def run(self, code: str) -> tuple[str, str]:
        """Return the output of a block, and its traceback if it fails."""
        if self._pipes is None:
            self._pipes = self._start()
        stdin, stdout = self._pipes
        stdin.write(json.dumps(code) + "\n")
        stdin.flush()
        output, error = json.loads(stdout.readline())
        return output, error

    def _start(self) -> tuple[IO[str], IO[str]]:
        if self._warm:
            return self._warm.start(self._PROGRAM, self.folder)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, **self._options)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pipes is not None:
            stdin, stdout = self._pipes
            stdin.close()
            with stdout:
                stdout.read()  # to its end
        if self._process is not None:
            self._process.wait()


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = command.partition("\n")
        yield line, expected


def _compare(where: str, expected: str, output: str, errors: str = "") -> None:
    if not doctest.OutputChecker().check_output(expected, output, _SAME):
        raise DiffersError(f"{where}\nexpected: {expected}\nactual:   {output}\n{errors}")


if __name__ == "__main__":
    print(f"{run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())} blocks hold")
