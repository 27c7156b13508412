"""Run all benchmarks one after another, and write their results as a page.

Usage: python benchmarks/run.py [--out benchmarks/PERFORMANCE.md] [--only NAME ...] [--multivae PYTHON]

Results are kept in build/benchmarks; with ``--only``, the page takes the others from there.
"""

import argparse
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from report import duration

HERE = Path(__file__).parent
RESULTS = HERE.parent / "build" / "benchmarks"
TEMPLATE = HERE / "performance.md.in"
VERSIONS = ("torch", "numpy", "scipy", "scikit-learn", "pytorch-msssim", "multimodal-vae")


@dataclass(frozen=True)
class Script:
    """A benchmark.

    Attributes:
        name: file name without its suffix.
        arguments: arguments for the page.
        title: title of the section if the script prints none or does not run.
        environment: ``"multivae"`` if the script needs that library; default: none.
    """

    name: str
    arguments: tuple[str, ...] = ()
    title: str = ""
    environment: str = ""


SCRIPTS = (
    Script("train_step", ("--curves", "40")),
    Script("floor", ("--rounds", "5")),
    Script("multivae_epoch", title="An epoch, compared with MultiVae", environment="multivae"),
    Script("augmentation"),
    Script("loop_overhead"),
    Script("decode"),
    Script("kde"),
    Script("growth"),
    Script("rows"),
    Script("ranks"),
    Script("fusion_step"),
    Script("memory", title="Memory"),
    Script("quality_time", title="Time to quality"),
    Script("commands", title="Commands of the README"),
)


@dataclass(frozen=True)
class Outcome:
    """Result of a benchmark.

    Attributes:
        name: of the script.
        section: Markdown.
        seconds: wall-clock time.
        peak: peak resident memory of the process or of one of its children, in bytes.
        date: date of the measurement.
        machine: Markdown list of processor, system and versions.
    """

    name: str
    section: str
    seconds: float
    peak: int
    date: str
    machine: str


def run(script: Script, executable: str) -> Outcome:
    """Run a benchmark in a new process; if it fails, the section says so."""
    title = script.title or script.name
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        command = [executable, str(HERE / f"{script.name}.py"), *script.arguments]
        process = subprocess.Popen(command, stdout=output, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().strip()
    if process.returncode:
        text = f"## {title}\n\nNot measured: the script ended with exit code {process.returncode}."
    elif not text.startswith("## "):
        text = f"## {title}\n\n{text}"
    unit = 1 if sys.platform == "darwin" else 1024
    return Outcome(script.name, text, time.perf_counter() - started, usage.ru_maxrss * unit, today(), machine())


def outcomes(scripts: Sequence[Script], multivae: str | None) -> Iterator[Outcome]:
    """Run benchmarks in turn, except those whose environment is missing."""
    for script in scripts:
        executable = sys.executable if not script.environment else multivae
        if executable is None or not Path(executable).exists():
            reason = f"{script.environment} is not installed beside the package here"
            text = f"## {script.title or script.name}\n\nNot measured: {reason}."
            yield Outcome(script.name, text, 0.0, 0, today(), machine())
            continue
        print(f"{script.name} ...", file=sys.stderr, flush=True)
        outcome = run(script, executable)
        print(f"{script.name} took {duration(outcome.seconds)}", file=sys.stderr, flush=True)
        yield outcome


def today() -> str:
    """Return today's date as the page writes it."""
    return f"{datetime.datetime.now(datetime.UTC):%d %B %Y}"


def save(outcome: Outcome) -> None:
    """Save a result."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{outcome.name}.json").write_text(json.dumps(asdict(outcome), indent=1), "utf-8")


def saved_outcomes() -> list[Outcome]:
    """Return the last results of all benchmarks, in order."""
    files = [RESULTS / f"{script.name}.json" for script in SCRIPTS]
    return [Outcome(**json.loads(file.read_text("utf-8"))) for file in files if file.exists()]


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


@functools.cache
def machine() -> str:
    """Return a Markdown list of processor, system and versions."""
    program = "from timing import machine; print(machine())"
    printed = subprocess.run([sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=True)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return "\n".join(
        (
            f"- {processor()}, {os.cpu_count()} logical processors; {printed.stdout.strip().partition(', ')[2]}",
            f"- {platform.system()}, Python {platform.python_version()}",
            f"- {versions}",
        )
    )


def page(results: Sequence[Outcome]) -> str:
    """Return the filled template."""
    machines = list(dict.fromkeys(each.machine for each in results))
    rows = [
        f"| `{each.name}` | {each.date} | {machines.index(each.machine) + 1} | {duration(each.seconds)} | "
        f"{each.peak / 2**20:,.0f} MiB |"
        for each in results
        if each.seconds
    ]
    head = ["| script | measured on | machine | total time | peak memory |", "|---|---|---|---|---|"]
    text = TEMPLATE.read_text("utf-8")
    for mark, value in (
        ("@machines@", "\n\n".join(f"Machine {number}:\n\n{each}" for number, each in enumerate(machines, start=1))),
        ("@sections@", "\n\n".join(_section(each, machines) for each in results)),
        ("@scripts@", "\n".join([*head, *rows])),
    ):
        text = text.replace(mark, value)
    return text


def _section(outcome: Outcome, machines: Sequence[str]) -> str:
    """Return a section that says below its title where it was measured."""
    title, _, rest = outcome.section.partition("\n\n")
    return f"{title}\n\nMeasured on machine {machines.index(outcome.machine) + 1}, {outcome.date}.\n\n{rest}"


def main() -> int:
    """Run the benchmarks, write the page, and return 1 if one failed, else 0."""
    names = [script.name for script in SCRIPTS]
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=HERE / "PERFORMANCE.md")
    arguments.add_argument("--only", nargs="+", choices=names, default=names)
    arguments.add_argument("--multivae", metavar="PYTHON", help="Python of an environment that also has MultiVae")
    given = arguments.parse_args()
    for outcome in outcomes([script for script in SCRIPTS if script.name in given.only], given.multivae):
        save(outcome)
    results = saved_outcomes()
    given.out.write_text(page(results), "utf-8")
    print(f"written: {given.out}", file=sys.stderr)
    return int(any("\nNot measured: the script ended" in each.section for each in results))


if __name__ == "__main__":
    sys.exit(main())
