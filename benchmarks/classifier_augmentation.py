"""Measure what synthetic samples add to the training of a classifier; the table is in docs/how-to/augment.md.

Usage: OMP_NUM_THREADS=1 python benchmarks/classifier_augmentation.py [--sets otitis breast] [--cohort FOLDER]
           [--data FOLDER] [--fractions 0.05 0.1 0.25 1] [--seeds 0 1 2] [--results FILE] [--page FILE]

``otitis`` needs the folder that ``examples/otitis/cohort.py`` writes; ``breast`` needs files in the folder ``--data``,
by default that of ``MMVAE_TEST_DATA``. A set without files is skipped. Each cell, which is a set, a fraction and a
seed, adds a line to the results; what they hold is not run again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from classifier_page import tables
from classifier_training import Inputs, plain_augmentation, score, train_classifier
from real_sets import read_rows, read_table
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.baseline import GaussianBaseline
from multimodal_vae.evaluation.samples import LabeledSamples

HERE = Path(__file__).parent
START, END = "<!-- results -->\n", "<!-- end of results -->\n"
MANY = 5
"""How many times the largest class each class has after the largest top-up."""

Counts = Mapping[int, int]
Draw = Callable[[Counts, int], LabeledSamples]


@dataclass(frozen=True)
class Task:
    """A data set and how it is used.

    Args:
        train: all training samples.
        test: test samples of other patients.
        modality: the modality that is classified.
        configuration: recipe of the generator.
        steps: training steps of each classifier.
    """

    train: mv.MultimodalDataset
    test: mv.MultimodalDataset
    modality: str
    configuration: mv.Configuration
    steps: int


def otitis(options: argparse.Namespace) -> Task:
    """Return the simulated cohort with ``quick.toml``, with fewer steps."""
    configuration = mv.Configuration.read(HERE.parent / "examples" / "otitis" / "quick.toml")
    manifest = (options.cohort / "manifest.csv").resolve(strict=True)
    configuration = configuration.with_data(manifest=manifest).with_training(epochs=None, steps=options.steps)
    train, _, test = configuration.split(configuration.read_data())
    return Task(train, test, "otoscopy", configuration, options.classifier_steps)


def breast(options: argparse.Namespace) -> Task:
    """Return tumors of three subtypes with expression of messenger RNA and micro-RNA, and a recipe without settings."""
    folder = options.data / "breast_tcga"
    tables = {name: read_table(folder / f"{name}.csv") for name in ("mrna", "mirna")}
    rows = read_rows(folder / "labels.csv")
    values = {name: torch.tensor([table[row[0]] for row in rows]) for name, table in tables.items()}
    modalities = {name: {"name": "vector", "size": x.shape[1]} for name, x in values.items()}
    ids, labels, split = zip(*rows, strict=True)
    data = mv.MultimodalDataset.from_tensors(values, labels, modalities, ids=ids, split=split)
    train, _, test = data.split_as_given()
    configuration = mv.Configuration(modalities=modalities)
    return Task(train, test, "mirna", configuration, options.classifier_steps)


SETS: Mapping[str, Callable[[argparse.Namespace], Task]] = {"otitis": otitis, "breast": breast}


def subsample(data: mv.MultimodalDataset, fraction: float, seed: int) -> mv.MultimodalDataset:
    """Return the samples of a fraction of the patients, stratified by class."""
    if fraction == 1:
        return data
    rows, _ = split_by_patient(data.patients, data.labels.tolist(), [fraction, 1 - fraction], seed)
    return data.subset(rows.tolist())


def vae_samples(configuration: mv.Configuration, data: mv.MultimodalDataset, seed: int) -> Draw:
    """Return how to draw from a model that is trained on these samples only."""
    configuration = configuration.with_seed(seed)
    vae = configuration.build(data.classes)
    mv.fit(vae, data, configuration=configuration, show=False)
    synthesizer = mv.Synthesizer(vae, configuration.density.sampler).fit(data)

    def draw(counts: Counts, seed: int) -> LabeledSamples:
        drawn = [synthesizer.sample(data.classes[label], count, seed + label) for label, count in counts.items()]
        values = {name: torch.cat([each[name] for each in drawn]) for name in data.modalities}
        return LabeledSamples(values, _labels(counts))

    return draw


def gaussian_samples(data: mv.MultimodalDataset, seed: int) -> Draw:
    """Return how to draw from a Gaussian per class over principal components of these samples."""
    return GaussianBaseline(seed=seed).fit(LabeledSamples(dict(data.samples), data.labels)).sample


def _labels(counts: Counts) -> Tensor:
    return torch.repeat_interleave(torch.tensor(list(counts)), torch.tensor(list(counts.values())))


def amounts(labels: Tensor) -> dict[str, dict[int, int]]:
    """Return by name how many synthetic samples of each class to add.

    Example:
        >>> amounts(torch.tensor([0, 0, 0, 1]))
        {'equal': {0: 0, 1: 2}, 'twice': {0: 3, 1: 1}, 'many': {0: 12, 1: 14}}
    """
    counts = dict(enumerate(torch.bincount(labels).tolist()))
    largest = max(counts.values())
    return {
        "equal": {label: largest - count for label, count in counts.items()},
        "twice": counts,
        "many": {label: MANY * largest - count for label, count in counts.items()},
    }


def arms(task: Task, data: mv.MultimodalDataset, seed: int, seconds: dict[str, float]) -> Iterator[tuple[str, Any]]:
    """Yield the metrics of a classifier on the test samples, by name of what it was trained on."""
    name, real = task.modality, data.samples[task.modality]
    inputs = Inputs(real)
    test = inputs(task.test.samples[name]), task.test.labels

    def metrics(new: LabeledSamples | None = None, **settings: Any) -> dict[str, float]:
        x, labels = inputs(real), data.labels
        if new is not None:
            x, labels = torch.cat([x, inputs(new.values[name].float())]), torch.cat([labels, new.labels])
        return score(train_classifier(x, labels, len(data.classes), task.steps, seed, **settings), *test)

    yield "real", metrics()
    yield "weighted", metrics(weighted=True)
    yield "plain", metrics(augment=plain_augmentation)
    for source, make in (("gaussian", gaussian_samples), ("vae", partial(vae_samples, task.configuration))):
        started = time.process_time()
        draw = make(data, seed)
        seconds[source] = round(time.process_time() - started, 1)
        for amount, counts in amounts(data.labels).items():
            new = draw(counts, seed)
            yield f"{source} {amount}", metrics(new)
            if amount == "equal":
                yield f"{source} {amount}, plain", metrics(new, augment=plain_augmentation)


def cell(name: str, task: Task, fraction: float, seed: int) -> dict[str, Any]:
    """Return the line of a cell."""
    data = subsample(task.train, fraction, seed)
    seconds: dict[str, float] = {}
    started = time.process_time()
    metrics = dict(arms(task, data, seed, seconds))
    return {
        "set": name,
        "fraction": fraction,
        "seed": seed,
        "patients": len({*data.patients}),
        "counts": torch.bincount(data.labels).tolist(),
        "metrics": metrics,
        "seconds": {**seconds, "all": round(time.process_time() - started, 1)},
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, if there is one."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def run(options: argparse.Namespace) -> None:
    """Run the cells that the results lack, all of a seed before the next seed."""
    done = {(line["set"], line["fraction"], line["seed"]) for line in read(options.results)}
    tasks: dict[str, Task] = {}
    for name in options.sets:
        try:
            tasks[name] = SETS[name](options)
        except FileNotFoundError as error:
            print(f"{name} is skipped: {error.filename} is absent", file=sys.stderr)
    for seed, (name, task), fraction in product(options.seeds, tasks.items(), options.fractions):
        if (name, fraction, seed) not in done:
            line = json.dumps(cell(name, task, fraction, seed))
            with options.results.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line, flush=True)


def main() -> None:
    """Run what was asked for and, with ``--page``, write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=["breast", "otitis"])
    arguments.add_argument("--cohort", type=Path, default=Path("runs/cohort"))
    arguments.add_argument("--data", type=Path, default=Path(os.environ.get("MMVAE_TEST_DATA", "data")))
    arguments.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.1, 0.25, 1.0])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--steps", type=int, default=1000, help="training steps of the generator of otitis")
    arguments.add_argument("--classifier-steps", type=int, default=500, help="training steps of each classifier")
    arguments.add_argument("--results", type=Path, default=HERE / "classifier_results.jsonl")
    arguments.add_argument("--page", type=Path, help="page to write the tables into: docs/how-to/augment.md")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    run(options)
    found = tables(read(options.results))
    if options.page:
        before, _, rest = options.page.read_text("utf-8").partition(START)
        options.page.write_text(f"{before}{START}\n{found}\n\n{END}{rest.partition(END)[2]}", "utf-8")
    else:
        print(found, file=sys.stderr)


if __name__ == "__main__":
    main()
