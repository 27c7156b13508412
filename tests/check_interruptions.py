"""Kills trainings at random moments, fills their disk and takes their folder away, and shows that nothing is lost.

Run: ``python tests/check_interruptions.py``, with the package installed; it ends with the count of what held. Filling a
disk wants the right to mount one, and is left out, aloud, where there is none.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from fresh import Held

KILLS = 20
RECIPE = """
[data]
manifest = "manifest.csv"
split = [0.7, 0.3, 0.0]
[modalities.trace]
name = "signal"
length = 64
width = 16
[modalities.age]
name = "vector"
size = 1
[model]
latent_dim = 8
fusion = { name = "concat", dropout = 0.2 }
[training]
epochs = 100
per_class = 8
schedule = "cosine"
checkpoint_seconds = 0.0
device = "cpu"
"""
MAIN = "from multimodal_vae.cli import main; main()"


def start(place: Path, out: Path) -> subprocess.Popen[str]:
    """Begin to train, or go on."""
    command = [sys.executable, "-c", MAIN, "train", str(place / "recipe.toml"), "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def finish(place: Path, out: Path) -> tuple[int, str]:
    """Train to the end; the exit code and what is said beside progress."""
    process = start(place, out)
    _, err = process.communicate()
    return process.returncode, "\n".join(line for line in err.splitlines() if not line.startswith("epoch "))


def left(out: Path) -> dict[str, bytes]:
    """What has to be the same, bit for bit."""
    return {name: (out / name).read_bytes() for name in ("model.safetensors", "log.jsonl", "samplers/kde.safetensors")}


def kill(place: Path, out: Path, rng: random.Random, writing: bool) -> bool:
    """Kill a training at a random moment, or while a checkpoint is half written; whether it still ran."""
    process = start(place, out)
    try:
        for _ in range(rng.randint(1, 12)):
            if not process.stderr or not process.stderr.readline():
                break
        deadline = time.monotonic() + (5 if writing else rng.uniform(0, 0.1))
        while time.monotonic() < deadline and process.poll() is None:
            if writing and list(out.glob(".checkpoint.safetensors.*")):
                break
        return process.poll() is None
    finally:
        process.kill()
        process.communicate()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """A disk of so many megabytes; None where this user may mount none."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def mount(disk: Path, access: str) -> None:
    """Let a disk be written, or only read."""
    subprocess.run(["mount", "-o", f"remount,{access}", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    try:
        with open(disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        return


def main() -> None:
    """Check, and fail with the first thing that does not hold."""
    counted = Held()
    hold = counted.hold
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        numbers = np.random.default_rng(0)
        (place / "recipe.toml").write_text(RECIPE)
        rows = ["sample_id,label,trace,age"]
        for index in range(96):
            signal = np.sin(np.arange(64) / (4 + index % 2)) + 0.3 * numbers.normal(size=(1, 64))
            np.save(place / f"{index}.npy", signal.astype(np.float32))
            rows.append(f"s{index},{'ab'[index % 2]},{index}.npy,{20 + index}")
        (place / "manifest.csv").write_text("\n".join(rows) + "\n")
        code, said = finish(place, place / "whole")
        hold("a training comes to its end", code == 0, said)
        wanted = left(place / "whole")

        rng, killed, halves = random.Random(0), 0, 0
        for number in range(KILLS):
            killed += kill(place, place / "killed", rng, writing=number % 2 == 1)
            halves += bool(list((place / "killed").glob(".*")))
        hold(f"{killed} of {KILLS} kills met it at work, {halves} with a file half written", killed > KILLS / 2)
        code, said = finish(place, place / "killed")
        hold("it still comes to its end", code == 0, said)
        hold("with the same weights, log and densities, bit for bit", left(place / "killed") == wanted)

        with small_disk(64) as disk:
            if disk is None:
                print("left out: no disk may be mounted here")
            else:
                for what, words, spoil, mend in (
                    ("a full disk", "No space left", fill, lambda where: (where / "filler").unlink()),
                    ("a disk that may only be read", "Read-only", lambda d: mount(d, "ro"), lambda d: mount(d, "rw")),
                ):
                    out = disk / words[:2]
                    process = start(place, out)
                    for _ in range(4):
                        process.stderr.readline()  # type: ignore[union-attr]
                    spoil(disk)
                    _, err = process.communicate()
                    said = "\n".join(line for line in err.splitlines() if not line.startswith("epoch "))
                    hold(f"{what} ends it with exit code 2", process.returncode == 2, err)
                    hold(f"in one line: {said}", said.count("\n") == 0 and words in said, err)
                    mend(disk)
                    code, said = finish(place, out)
                    hold("once that is mended, it comes to its end", code == 0, said)
                    hold("with the same weights, log and densities", left(out) == wanted)

        file = place / "file"
        file.write_text("")
        code, said = finish(place, file / "run")
        hold(f"a place that cannot be written: {said}", code == 2 and said.count("\n") == 0)
    print(f"{counted.held} passed, 0 failed")


if __name__ == "__main__":
    main()
