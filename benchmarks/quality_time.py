"""Time the training of the demonstration's recipe, and of MultiVae, until reconstructions and new pairs are good.

MultiVae takes part in the environment that ``make .venv-multivae/.installed`` makes.

Usage: python benchmarks/quality_time.py [--epochs 6 12 25 50 100] [--seconds 20 40 80 160] [--trials 7]
"""

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from real_measures import Bench
from real_sets import Real
from report import duration, section, table
from timing import print_machine
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.evaluation.individuality import within_class
from multimodal_vae.evaluation.samples import LabeledSamples

OTITIS = Path(__file__).parent.parent / "examples" / "otitis"
R2, COVERAGE = 0.8, 0.9
"""What is good: R² of reconstructions within classes, of the worse modality; coverage of held-out samples."""

PROSE = f"""
CPU seconds of a training on one thread until, for held-out ears of the simulated cohort, R² of reconstructions within
classes is at least {R2} in both modalities, and coverage by new pairs is at least {COVERAGE}. Each row is a training of
its own with its own schedule; nothing is evaluated within its time. *The package* trains `examples/otitis/quick.toml`
for so many epochs and samples from its density. *MultiVae* is version 1.0.3, with the settings that the tuning of
[the benchmark](../docs/benchmark.md) chooses on a quarter of the training ears; the time of that choice does not count.
Its networks may be the package's compact ones.
"""


@dataclass(frozen=True)
class Row:
    """A training.

    Attributes:
        method: who trained.
        length: how long, in its own unit.
        seconds: CPU seconds.
        r2: of reconstructions within classes, of the worse modality.
        coverage: of held-out samples by new ones.
    """

    method: str
    length: str
    seconds: float
    r2: float
    coverage: float

    @property
    def good(self) -> bool:
        """Whether both metrics reach what is asked."""
        return self.r2 >= R2 and self.coverage >= COVERAGE


def cohort(folder: Path, options: Sequence[str]) -> Path:
    """Simulate a cohort, and return its manifest."""
    command = [sys.executable, str(OTITIS / "cohort.py"), str(folder), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "manifest.csv"


def row(
    method: str,
    length: str,
    seconds: float,
    real: Real,
    reconstruct: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    new: LabeledSamples,
) -> Row:
    """Measure a trained method."""
    decoded = reconstruct(real.test.values)
    r2 = min(within_class(x, decoded[name], real.test.labels).r2() for name, x in real.test.values.items())
    return Row(method, length, seconds, r2, Bench(real, 0).comparison(new)["coverage"])


def package(configuration: mv.Configuration, epochs: Sequence[int]) -> tuple[Real, Iterator[Row]]:
    """Return the data, and rows of the package, by number of epochs."""
    data = configuration.read_data(progress=False)
    train, _, test = configuration.split(data)
    real = Real(data.modalities, *(LabeledSamples(dict(part.samples), part.labels) for part in (train, test)))

    def rows() -> Iterator[Row]:
        for count in epochs:
            vae = configuration.build(data.classes)
            settings = configuration.training.model_copy(update={"epochs": count, "loggers": []})
            started = time.process_time()
            with contextlib.redirect_stdout(sys.stderr):
                mv.fit(vae, train, show=False, **settings.model_dump(exclude_none=True, exclude_unset=True))
            seconds = time.process_time() - started
            synthesizer = mv.Synthesizer(vae, configuration.density.sampler).fit(train)
            counts = real.train.counts()
            drawn = [synthesizer.sample(data.classes[label], count, seed=0) for label, count in counts.items()]
            new = LabeledSamples(
                {name: torch.cat([each[name] for each in drawn]) for name in real.modalities},
                torch.repeat_interleave(torch.tensor(list(counts)), torch.tensor(list(counts.values()))),
            )
            yield row("the package", f"{count} epochs", seconds, real, vae.reconstruct, new)

    return real, rows()


def multivae(real: Real, budgets: Sequence[float], trials: int) -> Iterator[Row]:
    """Yield rows of MultiVae, by CPU seconds of training."""
    from real_multivae import Setting, train, tune

    chosen = tune(real, trials=trials)
    setting = Setting(**chosen["setting"])
    for budget in budgets:
        started = time.process_time()
        trained, _ = train(setting, real, real.train, None, 0, budget)
        seconds = time.process_time() - started
        new = trained.fitted(real.train, chosen["components"], chosen["noise"]).sample(real.train.counts(), 0)
        yield row(
            f"MultiVae ({setting.model})",
            f"{budget:g} s",
            seconds,
            real,
            lambda values: trained.decode(trained.latents(values)),  # noqa: B023  (called before the next one)
            new,
        )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, nargs="+", default=[6, 12, 25, 50, 100])
    arguments.add_argument("--seconds", type=float, nargs="+", default=[20.0, 40.0, 80.0, 160.0])
    arguments.add_argument("--trials", type=int, default=7)
    given, options = arguments.parse_known_args()
    print_machine()
    torch.set_num_threads(1)
    section("Time to quality", PROSE)
    with tempfile.TemporaryDirectory() as folder:
        configuration = mv.Configuration.read(OTITIS / "quick.toml")
        real, rows = package(configuration.with_data(manifest=cohort(Path(folder), options)), given.epochs)
        found = list(rows)
        if importlib.util.find_spec("multivae"):
            found += multivae(real, given.seconds, given.trials)
    head = ("method", "training", "CPU time", "R² of the worse modality", "coverage", "good")
    cells = ((x.method, x.length, duration(x.seconds), f"{x.r2:.2f}", f"{x.coverage:.2f}") for x in found)
    table(head, ((*each, "yes" if x.good else "no") for each, x in zip(cells, found, strict=True)))
    for method in dict.fromkeys(each.method for each in found):
        first = next((each for each in found if each.method == method and each.good), None)
        print(
            f"- {method}: {f'good after {duration(first.seconds)}' if first else 'not good in any of these trainings'}"
        )


if __name__ == "__main__":
    main()
