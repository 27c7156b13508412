"""A process that reads cells for another one.

It is a program of its own rather than a copy of the caller, so that no script needs ``if __name__ == "__main__"`` and
no thread is copied in mid-air; it ends when its input does, which is also when the caller is killed. Questions and
answers are lines of JSON, an answer's array follows its line.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from multimodal_vae import registry
from multimodal_vae.data.reading import ReadResult, Source, read
from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from multimodal_vae.discovery import shield; shield()\n"
    "from multimodal_vae.data.worker import serve; serve(json.loads(sys.argv[2]))"
)


class Worker:
    """A process that reads cells of an installed modality.

    Args:
        modality: whose cells they are.
    """

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        owner = registry.entry_of(type(modality))
        name = f"{owner.distribution}:{owner.name}" if owner else modality.name
        table = json.dumps(modality.configuration | {"name": name})
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), table],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process: at once, since all that was wanted of it has come, or nothing more is."""
        self._process.kill()
        self._process.communicate()

    def read(self, sources: Sequence[Source]) -> list[ReadResult]:
        """Read cells, in their order.

        Raises:
            DataError: if the process ends over one.
        """
        questions = self._process.stdin
        assert questions is not None  # noqa: S101  (for the type checker)
        with suppress(OSError):  # where it has ended, which the answer, that is none, says too
            questions.write(json.dumps([[isinstance(each, Path), str(each)] for each in sources]).encode() + b"\n")
            questions.flush()
        return [self._answer(source) for source in sources]

    def _answer(self, source: Source) -> ReadResult:
        answers, shape = self._process.stdout, self.modality.shape
        assert answers is not None  # noqa: S101  (for the type checker)
        line = answers.readline()
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            if "raised" in answer:  # a mistake of the modality's: let it be raised here, as if there were no worker
                return read(self.modality.clone(), source)
            if answer["fault"]:
                return ReadResult(None, {}, answer["fault"])
            content = answers.read(math.prod(shape) * 4)
            if len(content) == math.prod(shape) * 4:
                return ReadResult(np.frombuffer(bytearray(content), "<f4").reshape(shape), answer["notes"])
        state = self._process.wait()
        raise DataError(f"the process that read {source} ended ({state}); set workers = 0 to see why")


def serve(table: dict[str, Any]) -> None:
    """Answer on standard output what is asked on standard input, until there is no more."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to all; the caller decides
    torch.set_num_threads(1)
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what a modality prints is no answer
    modality = Modality.of(table)
    for question in questions:
        for is_path, text in json.loads(question):
            try:
                reading = read(modality, Path(text) if is_path else text)
            except Exception:  # noqa: BLE001  (the caller meets it itself)
                answers.write(b'{"raised": true}\n')
            else:
                answers.write(json.dumps({"fault": reading.fault, "notes": reading.notes}).encode() + b"\n")
                if reading.sample is not None:
                    answers.write(np.ascontiguousarray(reading.sample, "<f4").tobytes())
        answers.flush()
