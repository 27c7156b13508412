"""What a run is worth: its held-out samples and new ones of it, put through the evaluation."""

import datetime
import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import digest, file_sha256
from multimodal_vae.part import plain
from multimodal_vae.report.metrics import (
    VERSION,
    EvaluatedRecord,
    MetricRecord,
    Metrics,
    RunRecord,
    SplitRecord,
    SubgroupRecord,
    metric_record,
)
from multimodal_vae.report.subgroups import in_order, subgroups
from multimodal_vae.run import Run

FEWEST = 2
"""LabeledSamples of a class, below which it is left out: a spread needs two."""
FEWEST_OF_A_GROUP = 6
"""LabeledSamples of each class of a subgroup, below which its figures would say nothing."""
NEIGHBOR = 5


@dataclass(frozen=True)
class Evidence:
    """The samples behind the figures, for pictures; held-out rows and those of `generated` are complete.

    Attributes:
        classes: names of the classes; labels are indices into them.
        held_out: real samples.
        reconstructions: of them, (N, *shape) by modality.
        embeddings: of them, (N, latent_dim).
        judged: class that the joint judge gives each reconstruction, (N,).
        generated: new samples.
        groups: subgroup of each held-out sample, (N,) by column.
    """

    classes: Sequence[str]
    held_out: LabeledSamples
    reconstructions: Mapping[str, Tensor]
    embeddings: Tensor
    judged: Tensor
    generated: LabeledSamples
    groups: Mapping[str, Sequence[str]]


def measure(
    run: Run,
    by: Sequence[str] = (),
    count: int = 300,
    split: str = "test",
    judges: Path | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> tuple[Metrics, Evidence]:
    """Measure a run.

    Args:
        run: opened.
        by: columns of the manifest to measure subgroups of.
        count: new samples of each class.
        split: the samples to hold the new ones against.
        judges: folder of the judges, which are trained on the training samples where it holds none; ``judges`` in the
            run's folder where it is None.
        seed: of what is drawn.
        resamples: of the bootstrap.

    Raises:
        RunError: if the run has no such samples, or has not been trained.
        DataError: if a column cannot be grouped by.
    """
    if split not in ("test", "validation"):  # the rest was learned from
        raise RunError(f"a run is measured on its test or its validation samples, not on {split!r}")
    if not len(run.splits[split]):
        raise RunError(f"the run {run.path} has no {split} samples to be measured on; choose another with --split")
    model, classes = run.model, run.model.classes
    seen, left_out = complete(run.splits["train"], run.splits[split])
    train, data = seen
    chosen = sorted({*data.labels.tolist()})
    held_out, learned = samples_of(data), samples_of(train)
    groups = {column: subgroups(data, column) for column in by}
    with_judges = read_or_train_judges(judges or run.path / "judges", run, learned)
    synthesizer = run.synthesizer()
    drawn = [synthesizer.sample(classes[label], count, seed) for label in chosen]
    generated = LabeledSamples(
        {name: torch.cat([each[name] for each in drawn]) for name in model.modalities},
        torch.tensor(chosen).repeat_interleave(count),
    )
    embeddings = model.embed(data)
    reconstructions = model.generate(embeddings)
    ask = partial(_figures, learned, generated, with_judges, resamples, seed)
    figures = ask(held_out, reconstructions, embeddings)
    evidence = Evidence(
        classes,
        held_out,
        reconstructions,
        embeddings,
        with_judges[0].read(reconstructions).labels,
        generated,
        groups,
    )
    evaluated = EvaluatedRecord(
        split="validation" if split == "validation" else "test",
        samples=len(held_out),
        patients=len({*data.patients}),
        classes=[classes[label] for label in chosen],
        left_out=left_out,
        generated=count,
        sampler=synthesizer.sampler.name,
        fitted_on=run.configuration.density.fit_on,
        seed=seed,
        resamples=resamples,
        judges_sha256=[digest(each.state_dict(), {}) for each in with_judges],
        with_version=importlib.metadata.version("multimodal-vae"),
    )
    metrics = Metrics(
        version=VERSION,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run=_run(run),
        data={name: _split(part) for name, part in run.splits.items() if len(part)},
        evaluated=evaluated,
        figures=figures,
        subgroups=[
            _subgroup(column, value, groups[column], evidence, ask)
            for column in by
            for value in in_order(groups[column])
        ],
    )
    return metrics, evidence


def complete(
    train: MultimodalDataset, held_out: MultimodalDataset
) -> tuple[tuple[MultimodalDataset, MultimodalDataset], dict[str, int]]:
    """The samples that can be measured, and how many held-out ones cannot, by why.

    A sample needs a class and every modality; a class, two such samples on both sides; and there must be two such
    classes.
    """
    kept, left_out = [], Counter[str]()
    for part in (train, held_out):
        unlabeled, partial_ = part.labels < 0, ~part.present.all(1)
        if part is held_out:
            left_out["without a class"] = int(unlabeled.sum())
            left_out["without every modality"] = int((partial_ & ~unlabeled).sum())
        kept.append(part.subset((~unlabeled & ~partial_).nonzero()[:, 0].tolist()))
    counts = [Counter(part.labels.tolist()) for part in kept]
    enough = [label for label in counts[1] if min(count[label] for count in counts) >= FEWEST]
    if len(enough) < 2:
        raise RunError(
            f"{len(enough)} of {len(train.classes)} classes have {FEWEST} complete samples each to learn from and to "
            "be measured on, and the evaluation needs two such classes; add samples, or share them out otherwise by "
            "[data] split"
        )
    left_out["of a class with fewer than two"] = sum(n for label, n in counts[1].items() if label not in enough)
    first, second = (
        part.subset(row for row, label in enumerate(part.labels.tolist()) if label in enough) for part in kept
    )
    return (first, second), {why: number for why, number in left_out.items() if number}


def samples_of(data: MultimodalDataset) -> LabeledSamples:
    """Complete samples as the evaluation takes them."""
    return LabeledSamples({name: data.samples[name] for name in data.modalities}, data.labels, data.patients)


def read_or_train_judges(folder: Path, run: Run, learned: LabeledSamples) -> list[Judge]:
    """The judges in a folder, one of all modalities and one of each; trained and kept there if they are not.

    They learn from the run's training samples, with its augmentation and a seed of their own, so that evaluations of
    one run share them.

    Raises:
        RunError: if those in the folder were made for other modalities or classes.
    """
    names = list(run.model.modalities)
    wanted = [names, *([name] for name in names if len(names) > 1)]
    judges = []
    for index, seen in enumerate(wanted):
        path = folder / (f"judge-{index}.safetensors" if index else "judge.safetensors")
        if path.is_file():
            judge = Judge.load(path)
            if judge.classes != run.model.classes or judge.modalities != seen:
                raise RunError(f"{path} judges {judge.classes} by {judge.modalities}; choose another place for judges")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            augment = {name: part.augment for name, part in run.model.modalities.items()}
            judge = train_judge(learned, run.model.classes, seen, augment)
            judge.save(path)
        judges.append(judge)
    return judges


def _figures(
    train: LabeledSamples,
    generated: LabeledSamples,
    judges: Sequence[Judge],
    resamples: int,
    seed: int,
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor],
    embeddings: Tensor,
) -> list[MetricRecord]:
    labels = set(held_out.counts())
    train, generated = (_of_classes(each, labels) for each in (train, generated))
    smallest = sum(min(each.counts()[label] for each in (train, held_out, generated)) for label in labels)
    figures = evaluate(
        train,
        held_out,
        generated,
        judges,
        reconstructions,
        embeddings,
        k=min(NEIGHBOR, smallest - 1),
        resamples=resamples,
        seed=seed,
    )
    return [metric_record(figure) for figure in figures]


def _of_classes(samples: LabeledSamples, labels: set[int]) -> LabeledSamples:
    return samples.take([row for row, label in enumerate(samples.labels.tolist()) if label in labels])


def _subgroup(column: str, value: str, groups: Sequence[str], evidence: Evidence, ask: Any) -> SubgroupRecord:
    """Measure some of the held-out samples against all new ones, which have no subgroup of their own."""
    rows = [row for row, group in enumerate(groups) if group == value]
    some = evidence.held_out.take(rows)
    counts, wanted = some.counts(), evidence.held_out.counts()
    scarce = [evidence.classes[label] for label in wanted if counts.get(label, 0) < FEWEST_OF_A_GROUP]
    record = SubgroupRecord(
        column=column,
        value=value,
        samples=len(rows),
        patients=len({*(some.groups or [])}),
        figures=[],
        reason=f"fewer than {FEWEST_OF_A_GROUP} samples of {', '.join(scarce)}" if scarce else None,
    )
    if not scarce:
        reconstructions = {name: x[rows] for name, x in evidence.reconstructions.items()}
        record["figures"] = ask(some, reconstructions, evidence.embeddings[rows])
    return record


def _run(run: Run) -> RunRecord:
    return RunRecord(
        name=run.path.resolve().name,
        state=run.status["state"],
        epochs_done=run.status["epochs_done"],
        epochs=run.status["epochs"],
        weights_sha256=file_sha256(run.path / "model.safetensors"),
        trained_on=run.environment["date"],
        distributions=run.environment["distributions"],
        parts=[dict(part) for part in run.environment["parts"]],
        configuration=without_places(plain(dict(run.configuration))),
    )


def without_places(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what tells of a machine: manifest, cache, loggers."""
    hidden = {"data": {"manifest", "cache", "workers"}, "training": {"loggers"}}
    return {
        section: {key: value for key, value in table.items() if key not in hidden.get(section, ())}
        if isinstance(table, Mapping)
        else table
        for section, table in configuration.items()
    }


def _split(part: MultimodalDataset) -> SplitRecord:
    counts = Counter(part.labels.tolist())
    return SplitRecord(
        samples=len(part),
        patients=len({*part.patients}),
        classes={name: counts[index] for index, name in enumerate(part.classes)},
        sha256=part.fingerprint(),
    )
