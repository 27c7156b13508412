"""Cross-validation: every metric of ``mmvae evaluate``, with its spread over folds of whole patients."""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked, require_whole
from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import ConfigurationError, DataError, RunError
from multimodal_vae.evaluation.result import MetricResult, combine, format_interval, format_number, json_values
from multimodal_vae.files import file_sha256, inside, write_bytes, write_json
from multimodal_vae.locks import locked
from multimodal_vae.progress import shown
from multimodal_vae.report.records import Metrics, read_metrics
from multimodal_vae.report.run_evaluation import write_evaluation
from multimodal_vae.run import fit, open_run
from multimodal_vae.selection.patients import Cohort, for_run
from multimodal_vae.toml import parse_toml

FILES = ("cross-validation.json", "cross-validation.md")
VERSION = 1


@dataclass(frozen=True)
class CrossValidation:
    """The results of all folds.

    Attributes:
        runs: run folder of each fold.
        folds: results of each fold.
        results: per metric the mean over folds, and as ``spread`` their standard deviation; ``seeds`` is the number of
            folds that have the metric.
    """

    runs: Sequence[Path]
    folds: Sequence[Sequence[MetricResult]]
    results: Sequence[MetricResult]

    def table(self) -> str:
        """Return a Markdown table with one row per metric."""
        head = ["metric", "mean ± spread", "lowest to highest fold", "real", "baseline", "folds"]
        rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for result in self.results:
            values = [each.value for fold in self.folds for each in fold if each.name == result.name]
            spread = "" if result.spread is None else f" ± {format_number(result.spread)}"
            cells = [
                result.name,
                format_number(result.value) + spread,
                format_interval((min(values), max(values))),
                format_number(result.real, missing=""),
                format_number(result.baseline, missing=""),
                str(result.seeds),
            ]
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows)


@checked
def cross_validate(
    configuration: Configuration,
    out: str | Path,
    folds: int = 5,
    *,
    data: MultimodalDataset | None = None,
    jobs: int = 1,
    count: int = 300,
    seed: int = 0,
    show: bool = True,
) -> CrossValidation:
    """Train and evaluate a recipe once per fold, and summarize each metric over the folds.

    The training and validation patients of the recipe are divided into folds, stratified by class. Each fold is
    evaluated once, by a run that is trained on all others; of these the recipe's share of validation patients is held
    out to end the training. The test patients of the recipe take no part.

    Writes one run folder per fold, ``fold-1`` and so on, each with its own evaluation, ``cross-validation.json`` and
    ``cross-validation.md``. Call it again to resume.

    Args:
        configuration: the recipe.
        out: folder to create, or that of the same cross-validation to resume.
        folds: number of folds, at least 2.
        data: samples in memory. Default: those of the recipe's manifest.
        jobs: number of folds to run side by side, each in a process of its own.
        count: number of generated samples per class.
        seed: seed of the evaluations. That of the folds is the seed of the split.
        show: whether to show progress; not of folds that run side by side.

    Raises:
        ConfigurationError: if densities would be fitted on test samples, or data in memory are to be shared.
        DataError: if there are fewer patients than folds.
        RunError: if a fold cannot be evaluated, or the folder has other content.
    """
    require_whole("folds", folds, 2)
    require_whole("jobs", jobs, 1)
    require_seed(seed)
    if jobs > 1 and data is not None:
        raise ConfigurationError("data in memory cannot be shared between processes; set jobs = 1, or use a manifest")
    out = Path(out)
    paths = [out / f"fold-{number + 1}" for number in range(folds)]
    with locked(out):
        if jobs > 1:
            from joblib import Parallel, delayed

            text = configuration.to_toml()
            metrics = Parallel(n_jobs=jobs)(
                delayed(_run_fold_of)(text, path, folds, number, count, seed) for number, path in enumerate(paths)
            )
        else:
            if data is None:
                data = configuration.read_data(progress=None if show else False)
            metrics = [
                _run_fold(configuration, data, path, folds, number, count, seed, show)
                for number, path in enumerate(paths)
            ]
        result = CrossValidation(paths, [each["results"] for each in metrics], summarize(metrics))
        _write(out, result, metrics)
    return result


def summarize(metrics: Sequence[Metrics]) -> list[MetricResult]:
    """Return mean and spread of each metric over the folds that have it."""
    found: dict[str, list[MetricResult]] = {}
    for each in metrics:
        for result in each["results"]:
            # Each fold has its own interval over patients; that of the mean is not their mean.
            found.setdefault(result.name, []).append(replace(result, interval=None))
    return [combine([[result] for result in same])[0] for same in found.values()]


def _write(out: Path, result: CrossValidation, metrics: Sequence[Metrics]) -> None:
    folds = [
        {
            "run": path.name,
            "samples": each["evaluated"]["samples"],
            "patients": each["evaluated"]["patients"],
            "results": {one.name: one.value for one in each["results"]},
        }
        for path, each in zip(result.runs, metrics, strict=True)
    ]
    content = {"version": VERSION, "folds": folds, "results": [asdict(each) for each in result.results]}
    write_json(inside(out, FILES[0]), json_values(content))
    write_bytes(inside(out, FILES[1]), f"{result.table()}\n".encode())


def _run_fold_of(recipe: str, path: Path, folds: int, number: int, count: int, seed: int) -> Metrics:
    """Run a fold in a process of its own, which reads recipe and data itself."""
    configuration = Configuration(**parse_toml(recipe))
    return _run_fold(configuration, configuration.read_data(progress=False), path, folds, number, count, seed, False)


def _run_fold(
    configuration: Configuration,
    data: MultimodalDataset,
    path: Path,
    folds: int,
    number: int,
    count: int,
    seed: int,
    show: bool,
) -> Metrics:
    """Train or resume the run of a fold, and evaluate it unless that is done."""
    cohort = Cohort.of(configuration, data)
    train, validation, held_out = fold_samples(cohort, folds, number, configuration.data.seed)
    recipe = for_run(configuration.settled(data))
    vae = recipe.build(data.classes, data.covariate_types)
    fit(vae, train, validation, held_out, out=path, configuration=recipe, show=show)
    with suppress(RunError):
        metrics = read_metrics(path)
        weights = file_sha256(inside(path, "model.safetensors"))
        evaluated = (metrics["evaluated"]["generated"], metrics["evaluated"]["seed"], metrics["run"]["weights_sha256"])
        if evaluated == (count, seed, weights):
            return metrics
    try:
        with shown() if show else nullcontext():
            write_evaluation(open_run(path, cohort.known), count=count, seed=seed)
    except RunError as error:
        raise RunError(f"fold {number + 1} of {folds} cannot be evaluated: {error}") from error
    return read_metrics(path)


def fold_samples(
    cohort: Cohort, folds: int, number: int, seed: int
) -> tuple[MultimodalDataset, MultimodalDataset | None, MultimodalDataset]:
    """Return training, validation and held-out samples of a fold.

    Args:
        cohort: the samples.
        folds: number of folds.
        number: number of the fold, from 0.
        seed: seed of the division.

    Raises:
        DataError: if there are fewer patients than folds.
    """
    known, patients = cohort.known, len({*cohort.known.patients})
    if patients < folds:
        raise DataError(f"there are {patients} training and validation patients, too few for {folds} folds")
    rows = split_by_patient(known.patients, known.labels.tolist(), [1 / folds] * folds, seed)[number].tolist()
    left = {*range(len(known))} - {*rows}
    others, share = known.subset(sorted(left)), len(cohort.validation) / len(known)
    train, validation, _ = others.split(1 - share, share, 0.0, seed=seed)
    return train, validation if len(validation) else None, known.subset(rows)
