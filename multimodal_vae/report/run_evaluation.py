"""The evaluation of a run and its subgroups; writes its metrics, its report and the model card."""

import datetime
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pydantic
import torch
from torch import Tensor

from multimodal_vae.bounds import require_memory, require_seed
from multimodal_vae.checks import checked
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import DataError, RunError
from multimodal_vae.evaluation.covariates import covariate_metrics
from multimodal_vae.evaluation.features import comparable, compared, with_gaps_of
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import digest, file_sha256, inside, remove_leftovers, write_bytes
from multimodal_vae.likelihood.importance import likelihood_metrics
from multimodal_vae.locks import locked
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.part import plain
from multimodal_vae.progress import track
from multimodal_vae.report import card, metrics_table, records
from multimodal_vae.report.grouping import in_order, subgroups
from multimodal_vae.report.page import report_page
from multimodal_vae.report.records import (
    ConfigurationTable,
    EvaluatedRecord,
    Evidence,
    Metrics,
    RunRecord,
    SplitRecord,
    SubgroupRecord,
    read_metrics,
    read_privacy,
)
from multimodal_vae.run import Run
from multimodal_vae.run_folder import writing
from multimodal_vae.synthesis.refinement import REFINED

REPORT = "report.html"
MIN_PER_CLASS = 2
"""Samples per class, below which a class is left out: a spread needs two."""
MIN_PER_SUBGROUP = 6
"""Samples per class of a subgroup, below which it is not evaluated."""
NEIGHBOR = 5
"""Rank of the neighbor that sets the size of a neighborhood."""


@checked
def write_evaluation(
    run: Run,
    by: Sequence[str] = (),
    count: int = 300,
    split: str = "test",
    judges: Path | None = None,
    seed: int = 0,
    sampler: Any = None,
    refine: bool = True,
) -> tuple[Path, Path, Path]:
    """Evaluate a run as :func:`measure` does, and write the results into its folder.

    Returns:
        The paths of ``metrics.json``, ``metrics.csv`` and ``report.html``.
    """
    with writing(run.path):
        files = inside(run.path, records.FILE), inside(run.path, metrics_table.FILE), inside(run.path, REPORT)
        inside(run.path, "log.jsonl")
        privacy = read_privacy(run.path)  # first, since measuring takes long
        metrics, evidence = measure(run, by, count, split, judges, seed, sampler=sampler, refine=refine)
        content = pydantic.TypeAdapter(Metrics).dump_json(metrics, indent=2)  # not finite: null
        write_bytes(files[0], content + b"\n")
        write_bytes(files[1], metrics_table.metrics_csv(metrics).encode())
        write_bytes(files[2], report_page(run, metrics, evidence, privacy).encode())
        return files


@checked
def write_card(run: Run) -> Path:
    """Write ``card.md`` into a run's folder from its ``metrics.json``, and return its path.

    Raises:
        RunError: if the run is not evaluated, or another process writes it.
    """
    path = inside(run.path, card.FILE)
    with writing(run.path):
        write_bytes(path, card.model_card(read_metrics(run.path), read_privacy(run.path)).encode())
    return path


@checked
def measure(
    run: Run,
    by: Sequence[str] = (),
    count: int = 300,
    split: str = "test",
    judges: Path | None = None,
    seed: int = 0,
    resamples: int = 200,
    sampler: Any = None,
    refine: bool = True,
) -> tuple[Metrics, Evidence]:
    """Compute the metrics of a run.

    Args:
        run: an opened run.
        by: columns of the manifest whose subgroups are evaluated.
        count: number of generated samples per class.
        split: real samples to compare with, ``test`` or ``validation``.
        judges: folder of the judges, trained on the training samples if it is empty; None: ``judges`` in the run's
            folder.
        seed: seed of all random choices.
        resamples: number of bootstrap resamples.
        sampler: sampler to generate with, an instance, a name or a table; None: the run's.
        refine: whether to refine the generated samples, if the run has refiners. Reconstructions and predictions never
            are.

    Raises:
        RunError: if the run is not trained, or the split has no samples.
        DataError: if a column is missing or identifies individuals.
    """
    require_seed(seed)
    if split not in ("test", "validation"):
        raise RunError(f"a run is evaluated on its test or validation samples, not on {split!r}; set --split")
    if not len(run.splits[split]):
        raise RunError(f"the run {run.path} has no {split} samples; choose another split with --split")
    model, classes = run.model, run.model.classes
    train, data, left_out = evaluable_samples(run.splits["train"], run.splits[split])
    labels = sorted({*data.labels.tolist()})
    require_memory(model.bytes_per_sample * count * len(labels), f"{count} samples per class are too many")
    held_out, reference = labeled_samples(data), labeled_samples(train)
    numbers = partial(comparable, model.modalities, reference=reference.values)
    training = replace(reference, values=numbers(reference.values), gaps=False)
    groups = {column: subgroups(data, column) for column in by}
    loaded = load_judges(judges or inside(run.path, "judges"), run, training)
    synthesizer = run.synthesizer(sampler, refine=refine)
    by_class = [  # as mmvae sample does
        synthesizer.sample(classes[label], count, seed + label) for label in track(labels, "generating classes")
    ]
    generated = LabeledSamples(
        {name: torch.cat([each[name] for each in by_class]) for name in model.modalities},
        torch.tensor(labels).repeat_interleave(count),
    )
    embeddings = model.embed(data)
    reconstructions = model.generate(embeddings, covariates=data.covariates)
    gapped = with_gaps_of(generated, held_out, model.modalities, seed)
    compute = partial(
        _results, numbers, training, compared(gapped, model.modalities, reference.values), loaded, resamples, seed
    )
    results = compute(held_out, reconstructions, embeddings, _translations(model, held_out))
    results += likelihood_metrics(model, held_out, resamples, seed)
    comparable_samples = compared(held_out, model.modalities, reference.values)
    results += covariate_metrics(embeddings, comparable_samples, model.covariates, resamples, seed)
    judged = loaded[0].predict(numbers(reconstructions)).labels
    evidence = Evidence(classes, held_out, reconstructions, embeddings, judged, generated, groups)
    evaluated = EvaluatedRecord(
        split="validation" if split == "validation" else "test",
        samples=len(held_out),
        patients=len({*data.patients}),
        classes=[classes[label] for label in labels],
        left_out=left_out,
        generated=count,
        sampler=synthesizer.sampler.name,
        ranking=synthesizer.ranking,
        guarantee=synthesizer.guarantee,
        noise=model.noise_of() | dict.fromkeys(synthesizer.refiners, REFINED),
        fitted_on=run.configuration.density.fit_on,
        seed=seed,
        resamples=resamples,
        judges_sha256=[digest(each.state_dict(), {}) for each in loaded],
        with_version=importlib.metadata.version("multimodal-vae"),
    )
    metrics = Metrics(
        version=records.VERSION,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run=_run_record(run),
        data={name: _split_record(part) for name, part in run.splits.items() if len(part)},
        evaluated=evaluated,
        results=results,
        subgroups=[
            _subgroup_record(column, value, groups[column], evidence, compute)
            for column, value in track([(each, value) for each in by for value in in_order(groups[each])], "subgroups")
        ],
    )
    return metrics, evidence


def evaluable_samples(
    train: MultimodalDataset, held_out: MultimodalDataset
) -> tuple[MultimodalDataset, MultimodalDataset, dict[str, int]]:
    """Return the samples that can be evaluated, and the number of other held-out samples by reason.

    A sample needs a class and every modality; a class needs two such samples in both sets.

    Raises:
        RunError: if there are fewer than two such classes.
    """
    unlabeled, incomplete = held_out.labels < 0, ~held_out.present.all(1)
    complete = [
        part.subset(((part.labels >= 0) & part.present.all(1)).nonzero()[:, 0].tolist()) for part in (train, held_out)
    ]
    counts = [Counter(part.labels.tolist()) for part in complete]
    enough = [label for label in counts[1] if min(count[label] for count in counts) >= MIN_PER_CLASS]
    if len(enough) < 2:
        raise RunError(
            f"{len(enough)} of {len(train.classes)} classes have {MIN_PER_CLASS} complete samples in the training and "
            "in the held-out split; an evaluation needs two such classes. Add samples, or change [data] split"
        )
    left_out = {
        "without a class": int(unlabeled.sum()),
        "without every modality": int((incomplete & ~unlabeled).sum()),
        "of a class with fewer than two": sum(n for label, n in counts[1].items() if label not in enough),
    }
    first, second = (
        part.subset(row for row, label in enumerate(part.labels.tolist()) if label in enough) for part in complete
    )
    return first, second, {reason: number for reason, number in left_out.items() if number}


def labeled_samples(data: MultimodalDataset) -> LabeledSamples:
    """Return complete samples as the metrics take them."""
    gaps = any(modality.gaps for modality in data.modalities.values())
    values = {name: data.samples[name] for name in data.modalities}
    return LabeledSamples(values, data.labels, data.patients, gaps=gaps, covariates=data.covariates)


def load_judges(folder: Path, run: Run, training: LabeledSamples) -> list[Judge]:
    """Load a judge of all modalities and one of each from a folder; missing ones are trained and saved there.

    They are trained on the run's training samples with its augmentation and a fixed seed.

    Raises:
        RunError: if a judge in the folder has other modalities or classes, or if one is missing while another process
            writes the folder.
    """
    names = list(run.model.modalities)
    judges = []
    for index, modalities in enumerate([names, *([name] for name in names if len(names) > 1)]):
        path = inside(folder, f"judge-{index}.safetensors" if index else "judge.safetensors")
        inside(folder, path.with_suffix(".json").name)
        if Judge.is_saved(path):
            judge = Judge.load(path)
            if judge.classes != run.model.classes or judge.modalities != modalities:
                raise RunError(
                    f"{path} has the classes {judge.classes} and modalities {judge.modalities}, unlike the run; choose "
                    "another folder with --judges"
                )
        else:
            augment = {name: part.augment for name, part in run.model.modalities.items()}
            with locked(folder):
                for suffix in (path.suffix, ".json"):
                    remove_leftovers(folder, path.with_suffix(suffix).name)
                judge = train_judge(training, run.model.classes, modalities, augment)
                judge.save(path)
        judges.append(judge)
    return judges


def _results(
    numbers: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    train: LabeledSamples,
    generated: LabeledSamples,
    judges: Sequence[Judge],
    resamples: int,
    seed: int,
    held_out: LabeledSamples,
    reconstructions: Mapping[str, Tensor],
    embeddings: Tensor,
    translations: Mapping[str, Tensor] | None = None,
) -> list[MetricResult]:
    """Compute the metrics of held-out samples; ``numbers`` maps values to those that are compared."""
    missing = {name: x.isnan() for name, x in held_out.values.items() if x.isnan().any()}
    known = (
        {name: _masked(x, missing.get(name)) for name, x in each.items()}
        for each in (reconstructions, translations or {})
    )
    reconstructions, translations = map(numbers, known)  # compared where the original is known
    held_out = replace(held_out, values=numbers(held_out.values), gaps=False)
    labels = set(held_out.counts())
    train, generated = (_of_classes(each, labels) for each in (train, generated))
    smallest = sum(min(each.counts()[label] for each in (train, held_out, generated)) for label in labels)
    return evaluate(
        train,
        held_out,
        generated,
        judges,
        reconstructions,
        embeddings,
        translations=translations,
        k=min(NEIGHBOR, smallest - 1),
        resamples=resamples,
        seed=seed,
    )


def _translations(model: MultimodalVAE, held_out: LabeledSamples) -> dict[str, Tensor]:
    """Predict each modality from all others; return nothing if the fusion needs every modality."""
    names = list(model.modalities)
    try:
        return {
            to: model.translate(
                {name: held_out.values[name] for name in names if name != to}, to, covariates=held_out.covariates
            )
            for to in (names if len(names) > 1 else [])
        }
    except DataError:
        return {}


def _masked(x: Tensor, missing: Tensor | None) -> Tensor:
    return x if missing is None else x.masked_fill(missing, torch.nan)


def _of_classes(samples: LabeledSamples, labels: set[int]) -> LabeledSamples:
    return samples.take([row for row, label in enumerate(samples.labels.tolist()) if label in labels])


def _subgroup_record(
    column: str, value: str, groups: Sequence[str], evidence: Evidence, compute: Callable[..., list[MetricResult]]
) -> SubgroupRecord:
    """Compare a subgroup of the held-out samples with all generated ones, which have no subgroup."""
    rows = [row for row, group in enumerate(groups) if group == value]
    members = evidence.held_out.take(rows)
    counts = members.counts()
    scarce = [
        evidence.classes[label] for label in evidence.held_out.counts() if counts.get(label, 0) < MIN_PER_SUBGROUP
    ]
    results = []
    if not scarce:
        reconstructions = {name: x[rows] for name, x in evidence.reconstructions.items()}
        results = compute(members, reconstructions, evidence.embeddings[rows])
    return SubgroupRecord(
        column=column,
        value=value,
        samples=len(rows),
        patients=len({*(members.groups or [])}),
        results=results,
        reason=f"fewer than {MIN_PER_SUBGROUP} samples of {', '.join(scarce)}" if scarce else None,
    )


def _run_record(run: Run) -> RunRecord:
    return RunRecord(
        name=run.path.resolve().name,
        state=run.status["state"],
        epochs_done=run.status["epochs_done"],
        epochs=run.status["epochs"],
        weights_sha256=file_sha256(inside(run.path, "model.safetensors")),
        trained_on=run.environment["date"],
        distributions=run.environment["distributions"],
        parts=run.environment["parts"],
        configuration=cast(ConfigurationTable, without_paths(plain(dict(run.configuration)))),
    )


def without_paths(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without settings of this machine: manifest, cache, workers and loggers."""
    hidden = {"data": {"manifest", "cache", "workers"}, "training": {"loggers"}}
    return {
        section: {key: value for key, value in table.items() if key not in hidden.get(section, ())}
        if isinstance(table, Mapping)
        else table
        for section, table in configuration.items()
    }


def _split_record(part: MultimodalDataset) -> SplitRecord:
    counts = Counter(part.labels.tolist())
    return SplitRecord(
        samples=len(part),
        patients=len({*part.patients}),
        classes={name: counts[index] for index, name in enumerate(part.classes)},
        sha256=part.fingerprint(),
    )
