"""Run programs in forks of one process that has imported the core, which each would import for seconds otherwise."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

_SERVER = """
import gc, json, os, socket, sys
import multimodal_vae.cli, multimodal_vae.privacy.run_audit, multimodal_vae.report.run_evaluation
import multimodal_vae.synthesis.conditional, multimodal_vae.synthesis.generation
import torch._dynamo  # as the first optimizer does
gc.freeze()  # or the collector would copy what the forks share
server = socket.socket(fileno=int(sys.argv[1]))
while True:
    message, files, _, _ = socket.recv_fds(server, 1 << 20, 3)
    if not message:
        break
    code, words, folder, wait = json.loads(message)
    child = os.fork()
    if not child:
        server.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(folder)
        sys.argv = words
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        sys.exit()
    for file in files:
        os.close(file)
    if wait:
        server.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
"""


class Warm:
    """A process that has imported the core and forks a child per program; Linux only, as the fork follows imports.

    Args:
        environment: environment of the programs.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-c", _SERVER, str(theirs.fileno())]
        self._process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def run(self, code: str, words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Args:
            code: its source.
            words: its ``sys.argv``.
            folder: its working folder.
        """
        with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            self._send([code, words, str(folder), True], nothing.fileno(), out.fileno(), errors.fileno())
            status = int(self._socket.recv(16))
            texts = [each.read() for each in (out, errors) if not each.seek(0)]
        return subprocess.CompletedProcess(words, status, *texts)

    def start(self, code: str, folder: Path) -> tuple[IO[str], IO[str]]:
        """Start a program in a folder, and return its standard input and output; it ends when its input is closed."""
        (theirs, written), (read, given) = os.pipe(), os.pipe()
        self._send([code, ["-c"], str(folder), False], theirs, given, 2)
        os.close(theirs)
        os.close(given)
        return open(written, "w"), open(read)

    def _send(self, message: Sequence[object], *files: int) -> None:
        socket.send_fds(self._socket, [json.dumps(message).encode()], files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._process.wait()
