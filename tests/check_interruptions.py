"""Kills commands at random moments, fills their disk and takes their folder away, and shows that nothing is lost.

Run: ``python tests/check_interruptions.py [--count 42]``, with the package installed; it ends with the count of what
held. Filling a disk wants the right to mount one, and is left out, aloud, where there is none.
"""

import argparse
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from fresh import Held

RECIPE = """
[data]
manifest = "manifest.csv"
split = [0.6, 0.1, 0.3]
workers = 0
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
epochs = 15
per_class = 8
schedule = "cosine"
checkpoint_seconds = 0.0
device = "cpu"
"""
WEIGHTS = {"train": 6, "sample": 8, "complete": 8, "reading into the cache": 8, "evaluate": 1, "audit": 3, "card": 10}
"""Shares of the kills by command; slow ones get fewer."""
ROUND = 10
"""Kills after which a command ends, its files are compared, and it begins anew."""
TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}")
MAIN = "from multimodal_vae.cli import main; main()"


def write_manifest(place: Path, name: str, count: int) -> None:
    """Write signals and ages of two classes; every fifth row of a large one lacks its age."""
    numbers = np.random.default_rng(0)
    rows = ["sample_id,label,trace,age"]
    (place / name).mkdir()
    for index in range(count):
        signal = np.sin(np.arange(64) / (4 + index % 2)) + 0.3 * numbers.normal(size=(1, 64))
        np.save(place / name / f"{index}.npy", signal.astype(np.float32))
        age = "" if count > 1000 and index % 5 == 0 else 20 + index % 60
        rows.append(f"s{index},{'ab'[index % 2]},{name}/{index}.npy,{age}")
    (place / f"{name}.csv").write_text("\n".join(rows) + "\n")


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


DATES = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?")


def contents(*places: Path) -> dict[str, bytes]:
    """Every file by its path, but for dates, times and caches, of which only the kinds of files are compared."""
    found = {}
    for path in (each for place in places for each in ([place] if place.is_file() else sorted(place.rglob("*")))):
        if ".mmvae_cache" in path.parts:
            found[path.suffix or path.name if path.suffix in (".samples", ".jsonl") else path.name] = b""
        elif path.name != "timing.jsonl":
            found[str(path)] = b"" if path.is_dir() else DATES.sub(b"DATE", path.read_bytes())
    return found


@dataclass(frozen=True)
class Command:
    """A command to kill.

    Attributes:
        name: its name.
        words: its arguments.
        prepare: takes away what it made.
        share: a kill comes within this share of the time that the whole command takes; one that resumes takes less.
    """

    name: str
    words: Sequence[str]
    prepare: Callable[[], None]
    share: float = 1.0


def enter(words: Sequence[str], log: Path) -> None:
    """Run a command, in a process that has loaded everything."""
    from multimodal_vae import cli

    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["mmvae", *words]
    cli.main()


def fork(words: Sequence[str], log: Path) -> "multiprocessing.process.BaseProcess":
    """Begin a command."""
    process = multiprocessing.get_context("fork").Process(target=enter, args=(words, log))
    process.start()
    return process


def kill(process: "multiprocessing.process.BaseProcess", after: float, place: Path | None) -> bool:
    """Kill a process after some seconds, or with a place once a file in it is half written; whether it still ran."""
    process.join(after)
    deadline = time.monotonic() + 2
    while place and process.is_alive() and time.monotonic() < deadline and not being_written(place):
        time.sleep(0.0002)
    met = process.is_alive()
    process.kill()
    process.join()
    return met


def being_written(place: Path) -> bool:
    """Whether a file in a folder, its run or its unfinished folder is half written."""
    folders = [place, *(place / name for name in ("run", "run/samplers", "run/judges", ".out.partial/parts"))]
    return any(TEMPORARY.fullmatch(name) for each in folders if each.is_dir() for name in os.listdir(each))


def kill_often(command: Command, kills: int, place: Path, rng: random.Random, hold: Callable[..., None]) -> int:
    """Kill a command at random moments, let it end, and compare; the number of kills that met it at work."""
    log = place.parent / "log"
    command.prepare()
    began = time.monotonic()
    whole = fork(command.words, log)
    whole.join()
    lasted = time.monotonic() - began
    hold(f"{command.name} comes to its end", whole.exitcode == 0, log.read_text())
    wanted = contents(place)
    command.prepare()
    met, halves, since = 0, 0, 0
    for number in range(kills):
        process = fork(command.words, log)
        alive = kill(process, rng.uniform(0, lasted * command.share), place if number % 2 else None)
        met, halves, since = met + alive, halves + being_written(place), since + 1
        if not alive or since == ROUND or number == kills - 1:
            last = fork(command.words, log)
            last.join()
            said = log.read_text()
            done = last.exitcode == 0 or (last.exitcode == 2 and "already exists" in said)
            hold(f"{command.name} comes to its end after {since} kills", done, said)
            found = contents(place)
            differ = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            hold(f"{command.name} made the same files, and left nothing beside them", not differ, "\n".join(differ))
            command.prepare()
            since = 0
    said = f"{command.name}, {lasted:.1f} s: {met} of {kills} kills met it at work, {halves} a file half written"
    print(said, flush=True)
    return met


def commands(place: Path) -> Iterator[Command]:
    """Commands on a trained run, whose folder each makes as it was."""
    run, many = place / "run", place / "many.csv"
    shutil.copytree(run, place.parent / "original")

    def remove(*paths: Path) -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def restore() -> None:
        remove(run)
        shutil.copytree(place.parent / "original", run)

    out, latents, cache = place / "out", place / "latents.npz", place / ".mmvae_cache"
    words = ["train", str(place / "recipe.toml"), "--quiet", "--out", str(run)]
    yield Command("train", words, lambda: remove(run), 0.25)
    restore()
    yield Command("sample", ["sample", str(run), "--count", "1500", "--out", str(out)], lambda: remove(out), 0.5)
    yield Command("complete", ["complete", str(run), str(many), "--out", str(out)], lambda: remove(out, cache))
    words = ["encode", str(run), str(many), "--out", str(latents)]
    yield Command("reading into the cache", words, lambda: remove(latents, cache))
    remove(latents)
    yield Command("evaluate", ["evaluate", str(run), "--count", "20"], restore)
    yield Command("audit", ["audit", str(run)], restore)
    evaluated = fork(["evaluate", str(run), "--count", "20"], place.parent / "log")
    evaluated.join()
    yield Command("card", ["card", str(run)], lambda: remove(run / "card.md"))
    restore()


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=42, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="seed of their moments")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    counted = Held()
    hold = counted.hold
    with tempfile.TemporaryDirectory() as scratch:
        place, rng, met = Path(scratch, "place"), random.Random(given.seed), 0
        place.mkdir()
        (place / "recipe.toml").write_text(RECIPE)
        write_manifest(place, "manifest", 96)
        write_manifest(place, "many", 2000)
        code, said = finish(place, place / "run")
        hold("a training comes to its end", code == 0, said)

        import multimodal_vae.privacy.run_audit
        import multimodal_vae.report.run_evaluation
        import multimodal_vae.synthesis.conditional
        import multimodal_vae.synthesis.generation  # noqa: F401

        kills = {name: -(-given.count * weight // sum(WEIGHTS.values())) for name, weight in WEIGHTS.items()}
        for command in commands(place):
            met += kill_often(command, kills[command.name], place, rng, hold)
        count = sum(kills.values())
        hold(f"{met} of {count} kills met a command at work, more than half", met > count / 2)
        check_disks(place, hold)
        file = place / "file"
        file.write_text("")
        code, said = finish(place, file / "run")
        hold(f"a place that cannot be written: {said}", code == 2 and said.count("\n") == 0)
    print(f"{counted.held} passed, 0 failed")


def check_disks(place: Path, hold: Callable[..., None]) -> None:
    """Fill the disk of a training, and forbid to write it."""
    names = ("model.safetensors", "log.jsonl", "samplers/auto.safetensors")
    with small_disk(64) as disk:
        if disk is None:
            print("left out: no disk may be mounted here")
            return
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
            said = "\n".join(line for line in said.splitlines() if "note:" not in line)
            hold(f"{what} ends it with exit code 2", process.returncode == 2, err)
            hold(f"in one line: {said}", said.count("\n") == 0 and words in said, err)
            mend(disk)
            code, said = finish(place, out)
            hold("once that is mended, it comes to its end", code == 0, said)
            same = all((out / name).read_bytes() == (place / "run" / name).read_bytes() for name in names)
            hold("with the same weights, log and densities", same)


if __name__ == "__main__":
    main()
