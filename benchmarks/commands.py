"""Time the commands of the README: wall-clock time, CPU time and peak memory of each with all its processes.

Usage: python benchmarks/commands.py [--epochs N] [options of examples/otitis/cohort.py]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import duration, section, table

ROOT = Path(__file__).parent.parent
RECIPE = Path("examples/otitis/quick.toml")

PROSE = """
The commands of the [README](../README.md), one after another, in a folder of their own, without the installation.
*CPU time* sums all processes and threads of a command; it exceeds the wall-clock time where several cores work.
*Status* is the exit status: `mmvae release` ends with 1 if it refuses samples that give patients away.
"""


@dataclass(frozen=True)
class Cost:
    """What a command cost.

    Attributes:
        seconds: wall-clock time.
        cpu: CPU time of all its processes, in seconds.
        peak: peak resident memory of one of them, in bytes.
        status: exit status.
    """

    seconds: float
    cpu: float
    peak: int
    status: int


def cost(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command to its end; if it fails, what it printed goes to standard error."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            print(*command, output.read(), sep="\n", file=sys.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, process.returncode)


def readme_commands() -> list[str]:
    """Return the README's commands ``mmvae ...``, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ").partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("mmvae ")]


def commands(folder: Path, cohort_options: Sequence[str], epochs: int | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each command and its arguments; a recipe of fewer epochs lies in the folder."""
    recipe = folder / RECIPE
    recipe.parent.mkdir(parents=True)
    text = (ROOT / RECIPE).read_text("utf-8")
    recipe.write_text(re.sub(r"^epochs = \d+", f"epochs = {epochs}", text, flags=re.MULTILINE) if epochs else text)
    python = sys.executable
    yield "`import multimodal_vae`", [python, "-c", "import multimodal_vae"]
    yield "`mmvae --help`", [python, "-m", "multimodal_vae", "--help"]
    quickstart = [python, str(ROOT / "examples/digits/quickstart.py"), "digits.png"]
    if not epochs:
        yield "quickstart", quickstart
    otitis = ROOT / "examples/otitis"
    demo = [python, str(otitis / "demo.py"), "--recipe", str(recipe), "--out", "runs/demo", *cohort_options]
    yield "`make demo`", demo
    shutil.move(folder / "runs/demo/cohort", folder / "runs/cohort")
    for line in readme_commands():
        yield f"`{line}`", [python, "-m", "multimodal_vae", *line.split()[1:]]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, help="epochs of a shorter training")
    given, options = arguments.parse_known_args()
    section("Commands of the README", PROSE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        costs = ((name, cost(each, folder, environment)) for name, each in commands(folder, options, given.epochs))
        table(
            ("command", "time", "CPU time", "peak memory", "status"),
            ((name, duration(x.seconds), duration(x.cpu), f"{x.peak / 2**20:,.0f} MiB", x.status) for name, x in costs),
        )


if __name__ == "__main__":
    main()
