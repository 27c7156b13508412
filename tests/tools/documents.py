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
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Self

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


def run(page: Path, folder: Path, executable: str = sys.executable) -> int:
    """Run a page in a folder and return the number of blocks run.

    Raises:
        DiffersError: with page, line, expected and actual output.
    """
    # Commands of the environment first, and no path to the checkout.
    path = f"{Path(executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PATH": path, "OMP_NUM_THREADS": "1"}
    with _Session(executable, folder, environment) as session:
        return sum(_run(block, page.name, folder, environment, session) for block in blocks(page.read_text("utf-8")))


def _run(block: Block, page: str, folder: Path, environment: Mapping[str, str], session: "_Session") -> bool:
    """Run one block, and return whether it is runnable."""
    where = f"{page}, line {block.line}"
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.title).write_text(block.text, "utf-8")
    elif block.language == "console":
        for command, expected in _commands(block.text):
            ran = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
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


_DISCLOSED = "ignore:'kde' gives patients away"
"""A filter for the note that is said where a page fits kernel densities."""


class _Session:
    """One interpreter for all Python blocks of a page."""

    _PROGRAM = """
import contextlib, io, json, sys, traceback
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

    def __init__(self, executable: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._command = [executable, "-W", "error", "-W", _DISCLOSED, "-c", self._PROGRAM]
        self._options = {"cwd": folder, "env": environment}
        self._process: subprocess.Popen[str] | None = None

    def run(self, code: str) -> tuple[str, str]:
        """Return the output of a block, and its traceback if it fails."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self._options
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        output, error = json.loads(self._process.stdout.readline())
        return output, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.communicate()


def _commands(text: str) -> Iterator[tuple[str, str]]:
    for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = command.partition("\n")
        yield line, expected


def _compare(where: str, expected: str, output: str, errors: str = "") -> None:
    if not doctest.OutputChecker().check_output(expected, output, _SAME):
        raise DiffersError(f"{where}\nexpected: {expected}\nactual:   {output}\n{errors}")


if __name__ == "__main__":
    print(f"{run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())} blocks hold")
