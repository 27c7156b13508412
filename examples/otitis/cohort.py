"""Write the cohort of a simulated pediatric ear clinic: otoscopy images and wideband tympanograms of the same ears."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.causes import COUNTS, PREFIX
from simulator.cohort import CohortError, write_cohort


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python cohort.py cohort --seed 0 --noe 20 --ome 20 --aom 20"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write: empty or missing")
    parser.add_argument("--seed", type=_count, default=0, help="seed; the same seed gives the same files (default 0)")
    for label, count in COUNTS.items():
        parser.add_argument(f"--{label.lower()}", type=_count, default=count, help=f"{label} ears (default {count})")
    parser.add_argument(
        "--workers", type=_count, default=2, help="processes; the files do not depend on it (default 2)"
    )
    parser.add_argument(
        "--prefix",
        type=_prefix,
        default=PREFIX,
        help=f"beginning of the patients' names; two cohorts with different ones share no patient (default {PREFIX})",
    )
    given = parser.parse_args(arguments)
    counts = {label: getattr(given, label.lower()) for label in COUNTS}
    total = sum(counts.values())
    if not total:
        parser.error("no samples: give at least one of --noe, --ome, --aom")

    console = Console(stderr=True)
    columns = TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            written = write_cohort(
                given.out,
                given.seed,
                counts,
                given.workers,
                lambda done, _: bar.update(task, completed=done),
                given.prefix,
            )
    except (CohortError, OSError) as error:
        print(f"cohort.py: {error}", file=sys.stderr)
        return 2
    print(f"{given.out}: {total} samples, simulated" if written else f"{given.out}: already there")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of zero or more")
    return int(text)


def _prefix(text: str) -> str:
    if not (text.isascii() and text.isalpha()):
        raise argparse.ArgumentTypeError(f"{text!r} is not one or more of the letters a to z")
    return text


if __name__ == "__main__":
    sys.exit(main())
