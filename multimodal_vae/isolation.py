"""Try parts in separate processes, so that no plugin affects another, the core, or the process that asks."""

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.02


def write_states(folder: Path, parts: Sequence[tuple[str, str]], timeout: float) -> None:
    """Try each part in a process of its own, and write what is wrong with it, or ``works``.

    On Linux the processes are forked from this one, which imports the core once for all of them; on other systems,
    where a fork after such imports is not safe, each imports it anew.

    Args:
        folder: folder of the results; that of the part at position n is the file ``n``.
        parts: kind and name of each part.
        timeout: seconds after which a part is given up.
    """
    forked = sys.platform == "linux"
    if forked:
        with suppress(Exception):  # each part then meets the fault by itself
            importlib.import_module("multimodal_vae.model")
    context: Any = multiprocessing.get_context("fork" if forked else "spawn")
    waiting = [(folder / str(number), kind, name) for number, (kind, name) in enumerate(parts)]
    running: dict[Path, tuple[BaseProcess, float]] = {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            path, kind, name = waiting.pop(0)
            process = context.Process(target=_try, args=(kind, name, path))
            process.start()
            running[path] = process, time.monotonic() + timeout
        time.sleep(_POLL_SECONDS)  # not a wait on a pipe, which a process that the part has started may keep open
        for path, (process, deadline) in list(running.items()):
            if process.is_alive() and time.monotonic() < deadline:
                continue
            if process.is_alive():
                process.kill()
                process.join()
                path.write_text(f"has not finished importing after {timeout:g} s", "utf-8")
            elif not path.is_file():
                path.write_text(f"ended the process ({process.exitcode}){_last_line(_errors(path))}", "utf-8")
            del running[path]


def _try(kind: str, name: str, path: Path) -> None:
    """Write the state of a part; whatever it prints goes to a file beside it."""
    from multimodal_vae.discovery import shield

    shield()
    with open(_errors(path), "wb") as errors:
        os.dup2(errors.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from multimodal_vae.part import state_of_part

    path.write_text(state_of_part(kind, name), "utf-8")


def _errors(path: Path) -> Path:
    return path.with_name(f"{path.name}.errors")


def _last_line(path: Path) -> str:
    """Return the last line of a file that is not blank, after a colon."""
    lines = path.read_text("utf-8", "replace").split("\n") if path.is_file() else []
    return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
