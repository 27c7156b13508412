"""Compare the package without settings with MultiVae and a baseline on real data; protocol: docs/benchmark.md.

Usage: OMP_NUM_THREADS=1 python benchmarks/real.py [--data FOLDER] [--sets digits ...] [--methods ours ...]
           [--seeds 0 1 2] [--again] [--results FILE] [--page FILE]

All sets but digits need files in the folder ``--data``, by default that of ``MMVAE_TEST_DATA``, or for fashion Debian's
package ``dataset-fashion-mnist``; sets without files are skipped. MultiVae needs the environment that
``make .venv-multivae/.installed`` makes. Each run adds a line to the results; what they hold is not run again
without ``--again``.
"""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from real_measures import Bench, Fitted
from real_methods import baseline, ours, real_samples
from real_page import METHODS, Line, tables
from real_sets import SETS, Real

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmark.md"
START, END = "<!-- results -->\n", "<!-- end of results -->\n"


class Results:
    """A file with one JSON object per line and run; of equal runs the last counts.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[Line]:
        """Return all runs that count."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return list({(line["set"], line["method"], line["seed"]): line for line in lines}.values())

    def find(self, name: str, method: str, seed: int) -> Line | None:
        """Return one run."""
        key = (name, method, seed)
        return next((line for line in self.lines() if (line["set"], line["method"], line["seed"]) == key), None)

    def add(self, name: str, method: str, seed: int, **facts: Any) -> Line:
        """Append a run."""
        today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        line = {"set": name, "method": method, "seed": seed, "date": today, **facts}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return line


def fit(method: str, real: Real, seed: int, name: str, folder: Path, results: Results) -> Fitted:
    """Train a method; MultiVae is tuned once per data set, on the training samples of seed 0."""
    simple = {"real": real_samples, "baseline": baseline, "ours": ours}
    if method in simple:
        return simple[method](real, seed)
    import real_multivae

    if method == "multivae":
        return real_multivae.default(real, seed)
    found = results.find(name, "tuning", 0)
    if found is None:
        started = time.process_time()
        chosen = real_multivae.tune(SETS[name](folder, 0))
        found = results.add(name, "tuning", 0, notes=chosen, seconds=round(time.process_time() - started))
    return real_multivae.tuned(real, seed, found["notes"])


def run(
    names: Iterable[str], methods: Sequence[str], seeds: Sequence[int], folder: Path, results: Results, again: bool
) -> None:
    """Run what the results lack, and name the data sets whose files are absent."""
    for name in names:
        for seed in seeds:
            missing = [method for method in methods if again or results.find(name, method, seed) is None]
            try:
                real = SETS[name](folder, seed) if missing else None
            except FileNotFoundError as error:
                print(f"{name} is skipped: {error.filename} is absent", file=sys.stderr)
                break
            bench = Bench(real, seed) if real else None
            for method in missing:
                fitted = fit(method, real, seed, name, folder, results)
                metrics = {**bench.measure(fitted), "seconds": fitted.seconds}
                metrics = {key: round(value, 4) for key, value in metrics.items()}
                facts = {"modalities": list(real.modalities), "metrics": metrics, "notes": dict(fitted.notes)}
                print(json.dumps(results.add(name, method, seed, **facts)), flush=True)


def main() -> None:
    """Run what was asked for and, with ``--page``, write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path(os.environ.get("MMVAE_TEST_DATA", "data")))
    arguments.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    arguments.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--again", action="store_true", help="run anew what the results hold")
    arguments.add_argument("--results", type=Path, default=HERE / "real_results.jsonl")
    arguments.add_argument("--page", type=Path, help="page to write the tables into, such as docs/benchmark.md")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    results = Results(options.results)
    run(options.sets, options.methods, options.seeds, options.data, results, options.again)
    if options.page:
        text = options.page.read_text("utf-8")
        before, _, rest = text.partition(START)
        options.page.write_text(f"{before}{START}\n{tables(results.lines())}\n{END}{rest.partition(END)[2]}", "utf-8")
    else:
        print(tables([each for each in results.lines() if each["set"] in options.sets]), file=sys.stderr)


if __name__ == "__main__":
    main()
