"""Run all benchmarks one after another, and write what came out as a page.

Usage: python benchmarks/run.py [--out benchmarks/PERFORMANCE.md] [--only NAME ...] [--multivae PYTHON]

What each came to is kept in build/benchmarks; with ``--only`` the page takes the others from there.
"""

import argparse
import datetime
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
KEPT = HERE.parent / "build" / "benchmarks"
TEMPLATE = HERE / "performance.md.in"
VERSIONS = ("torch", "numpy", "scipy", "scikit-learn", "pytorch-msssim", "multimodal-vae")


@dataclass(frozen=True)
class Script:
    """One of them.

    Attributes:
        name: its file, without the ending.
        arguments: that the page wants.
        title: of its section, where it prints none or does not run.
        environment: ``"multivae"`` where it wants that library beside ours.
    """

    name: str
    arguments: tuple[str, ...] = ()
    title: str = ""
    environment: str = ""


SCRIPTS = (
    Script("train_step", ("--curves", "40")),
    Script("multivae_epoch", title="An epoch, beside MultiVae", environment="multivae"),
    Script("augmentation"),
    Script("loop_overhead"),
    Script("decode"),
    Script("kde"),
    Script("growth"),
    Script("fusion_step"),
    Script("memory", title="Memory"),
)


@dataclass(frozen=True)
class Outcome:
    """What one came to.

    Attributes:
        name: of the script.
        section: Markdown.
        seconds: wall-clock time.
        peak: greatest resident memory of the process, or of one that it started, in bytes.
        date: when it was measured.
    """

    name: str
    section: str
    seconds: float
    peak: int
    date: str


def run(script: Script, executable: str) -> Outcome:
    """Run one in a process of its own; a section says so if it failed."""
    title = script.title or script.name
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as kept:
        command = [executable, str(HERE / f"{script.name}.py"), *script.arguments]
        process = subprocess.Popen(command, stdout=kept, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        kept.seek(0)
        text = kept.read().strip()
    if process.returncode:
        text = f"## {title}\n\nNot measured: the script ended with exit code {process.returncode}."
    elif not text.startswith("## "):
        text = f"## {title}\n\n{text}"
    unit = 1 if sys.platform == "darwin" else 1024
    return Outcome(script.name, text, time.perf_counter() - started, usage.ru_maxrss * unit, today())


def outcomes(scripts: Sequence[Script], multivae: str | None) -> Iterator[Outcome]:
    """Run them in turn, without those whose environment is not there."""
    for script in scripts:
        executable = sys.executable if not script.environment else multivae
        if executable is None or not Path(executable).exists():
            reason = f"{script.environment} could not be installed beside the package here"
            text = f"## {script.title or script.name}\n\nNot measured: {reason}."
            yield Outcome(script.name, text, 0.0, 0, today())
            continue
        print(f"{script.name} ...", file=sys.stderr, flush=True)
        outcome = run(script, executable)
        print(f"{script.name} took {duration(outcome.seconds)}", file=sys.stderr, flush=True)
        yield outcome


def today() -> str:
    """As the page writes it."""
    return f"{datetime.datetime.now(datetime.UTC):%d %B %Y}"


def keep(outcome: Outcome) -> None:
    """Keep what one came to."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{outcome.name}.json").write_text(json.dumps(asdict(outcome), indent=1), "utf-8")


def kept() -> list[Outcome]:
    """What all came to when they last ran, in their order."""
    files = [KEPT / f"{script.name}.json" for script in SCRIPTS]
    return [Outcome(**json.loads(file.read_text("utf-8"))) for file in files if file.exists()]


def processor() -> str:
    """The processor's model, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def machine() -> str:
    """A list of what all this was measured on."""
    asked = "from timing import machine; print(machine())"
    said = subprocess.run([sys.executable, "-c", asked], cwd=HERE, capture_output=True, text=True, check=True)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return "\n".join(
        (
            f"- {processor()}, {os.cpu_count()} logical processors; {said.stdout.strip().partition(', ')[2]}",
            f"- {platform.system()}, Python {platform.python_version()}",
            f"- {versions}",
        )
    )


def page(found: Sequence[Outcome], described: str) -> str:
    """The template, filled."""
    rows = [
        f"| `{each.name}` | {each.date} | {duration(each.seconds)} | {each.peak / 2**20:,.0f} MiB |"
        for each in found
        if each.seconds
    ]
    text = TEMPLATE.read_text("utf-8")
    for mark, value in (
        ("@machine@", described),
        ("@sections@", "\n\n".join(each.section for each in found)),
        ("@scripts@", "\n".join(["| script | measured | in all | peak memory |", "|---|---|---|---|", *rows])),
    ):
        text = text.replace(mark, value)
    return text


def main() -> int:
    """Run, write, and fail if any of them did."""
    names = [script.name for script in SCRIPTS]
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=HERE / "PERFORMANCE.md")
    arguments.add_argument("--only", nargs="+", choices=names, default=names)
    arguments.add_argument("--multivae", metavar="PYTHON", help="of an environment that has MultiVae as well")
    given = arguments.parse_args()
    wanted = [script for script in SCRIPTS if script.name in given.only]
    for outcome in outcomes(wanted, given.multivae):
        keep(outcome)
    found = kept()
    given.out.write_text(page(found, machine()), "utf-8")
    print(f"written: {given.out}", file=sys.stderr)
    return int(any("\nNot measured: the script ended" in each.section for each in found))


if __name__ == "__main__":
    sys.exit(main())
