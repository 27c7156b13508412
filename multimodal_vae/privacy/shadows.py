"""Shadow models: the same recipe trained on random halves of the patients, and likelihood ratio attacks with them."""

import math
from pathlib import Path
from typing import Any

import pydantic
import torch
from torch import Tensor

from multimodal_vae.bounds import require_seed
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.distances import nearest
from multimodal_vae.errors import ConfigurationError, RunError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import inside, make_folder, read_regular
from multimodal_vae.loggers.jsonl import LONGEST_LOG
from multimodal_vae.privacy.records import Records
from multimodal_vae.privacy.run_records import collect, generate
from multimodal_vae.privacy.spaces import data_space
from multimodal_vae.progress import track
from multimodal_vae.run import Run, fit, open_run
from multimodal_vae.run_folder import ADAPTED, refiner_folders

FOLDER = "shadows"
MIN_SHADOWS = 4


def likelihood_ratio(statistics: Tensor, trained_on: Tensor, target: Tensor) -> Tensor:
    r"""Return the score :math:`\log p(s_i \mid i \text{ in}) - \log p(s_i \mid i \text{ out})` per record, (N,).

    Both are Gaussians: the mean of a record is that over the models that were trained on it, or were not; the variance
    around these means is common to all records, since each has few models. The mean of k models adds 1/k of it.

    Args:
        statistics: (K, N), statistic of each record under each shadow model.
        trained_on: (K, N) of bool, whether the model was trained on the record; for each record, at least twice true
            and twice false.
        target: (N,), statistic under the audited model.

    Source: Carlini et al., *Membership inference attacks from first principles* (2022), algorithm 1 (online LiRA) and
        section VI.D (common variance).

    Example:
        >>> statistics = torch.tensor([[0.0], [2.0], [9.0], [11.0]])
        >>> trained_on = torch.tensor([[True], [True], [False], [False]])
        >>> likelihood_ratio(statistics, trained_on, torch.tensor([1.0])).item() > 0
        True
    """
    logs = list[Tensor]()
    for chosen in (trained_on, ~trained_on):
        count = chosen.sum(0).double()
        mean = torch.where(chosen, statistics.double(), 0.0).sum(0) / count
        squares = torch.where(chosen, (statistics.double() - mean).square(), 0.0).sum()
        variance = (squares / (count - 1).sum()).clamp_min(1e-12) * (1 + 1 / count)
        logs.append(-0.5 * ((target.double() - mean).square() / variance + variance.log()))
    return logs[0] - logs[1]


def require_shadows(run: Run, count: int, fit_on: str, given: bool) -> None:
    """Refuse what shadow models cannot audit.

    Args:
        run: the audited run.
        count: number of shadow models.
        fit_on: split that the densities are fitted on.
        given: whether other members or another holdout were given.

    Raises:
        ConfigurationError: if the number is odd or too small, or the patients are not those of the run's training.
        RunError: if the run is adapted, so that its recipe is not what it was trained by.
    """
    if count < MIN_SHADOWS or count % 2:
        raise ConfigurationError(f"there are {count} shadow models; give an even number of at least {MIN_SHADOWS}")
    if given or fit_on != "train":
        raise ConfigurationError(
            "shadow models are trained on the run's own patients, and its densities on 'train'; omit --holdout, "
            "--members and --fit-on, or --shadows"
        )
    if inside(run.path, ADAPTED).exists():
        raise RunError(f"{run.path} is adapted, so shadow models cannot repeat its training; omit --shadows")


def estimated_seconds(run: Run, count: int) -> float:
    """Return about how long the shadow models take that are not trained yet, given the run's own time; NaN if unknown.

    Args:
        run: the audited run.
        count: number of shadow models.
    """
    trainings = [run.path, *refiner_folders(run.path, run.configuration).values()]
    try:
        logs = [read_regular(inside(folder, "timing.jsonl"), LONGEST_LOG) for folder in trainings]
        lines = [line for log in logs for line in log.splitlines()]
        seconds = sum(_TIMES.validate_json(line)["machine.seconds"] for line in lines)
    except (OSError, pydantic.ValidationError, KeyError):
        return math.nan
    return seconds * sum(not _is_done(inside(run.path, FOLDER, str(number))) for number in range(count))


_TIMES = pydantic.TypeAdapter(dict[str, float])


def shadow_scores(
    run: Run,
    sampler: Any,
    count: int,
    pool: MultimodalDataset,
    real: LabeledSamples,
    synthetic: Records,
    seed: int,
    refine: bool = True,
) -> dict[str, Tensor]:
    """Train shadow models, or resume or reopen them, and return scores of records by name, (N,) each.

    Each model is a run in ``shadows`` in the run's folder, trained by the run's recipe on one half of the patients; its
    partner is trained on the other half. So each record is in the training of half of the models. The other half is the
    validation set, which early stopping needs.

    ``shadows/distance`` scores by the logarithm of the distance to the nearest generated sample in the data, and
    ``shadows/reconstruction`` by the reconstruction losses of all modalities, as if they were independent.

    Args:
        run: the audited run.
        sampler: sampler of its densities and of the shadows'; None: the run's.
        count: number of models, even.
        pool: training and held-out records, complete and labeled.
        real: the run's training samples, which give the scales.
        synthetic: the audited samples; the shadows generate as many.
        seed: seed of the generated samples.
        refine: whether to refine the shadows' samples, if the run has refiners.

    Raises:
        TrainingInterrupted: on SIGTERM or Ctrl-C; the same call resumes.
    """
    require_seed(seed)
    trained_on = torch.zeros(count, len(pool), dtype=torch.bool)
    shadows = list[dict[str, Tensor]]()
    counts = {pool.classes[label]: number for label, number in synthetic.samples.counts().items()}
    for number in track(range(count), "shadow models"):
        halves = split_by_patient(pool.patients, pool.labels.tolist(), (0.5, 0.5), number // 2)
        rows, others = halves if number % 2 == 0 else halves[::-1]
        trained_on[number, torch.from_numpy(rows)] = True
        shadow = _trained(run, number, pool.subset(rows.tolist()), pool.subset(others.tolist()))
        generated = generate(shadow.synthesizer(sampler, refine=refine), counts, seed, real)
        shadows.append(_statistics(shadow, pool, real, generated))
    target = _statistics(run, pool, real, synthetic)
    ratios = {
        name: likelihood_ratio(torch.stack([each[name] for each in shadows]), trained_on, x)
        for name, x in target.items()
    }
    distance = ratios.pop("distance")
    return {"shadows/distance": distance, "shadows/reconstruction": torch.stack(list(ratios.values())).sum(0)}


def _trained(run: Run, number: int, data: MultimodalDataset, validation: MultimodalDataset) -> Run:
    make_folder(inside(run.path, FOLDER))
    path = inside(run.path, FOLDER, str(number))
    settings = run.configuration.with_data(split="passed").with_seed(number)
    if not _is_done(path):
        vae = settings.build(data.classes, data.covariate_types)
        fit(vae, data, validation, out=path, configuration=settings, show=False)
    return open_run(path, run.data)


def _is_done(path: Path) -> bool:
    return (path / "status.json").is_file() and open_run(path).status["state"] == "done"


def _statistics(run: Run, pool: MultimodalDataset, real: LabeledSamples, synthetic: Records) -> dict[str, Tensor]:
    """Return statistics of each record, higher for members: reconstruction per modality, and distance."""
    records = collect(run.model, real, pool)
    space = data_space(records.samples.values)
    distance = nearest(space(records), space(synthetic))[0][:, 0]
    scores = {name: x for name, x in records.scores.items() if "/" in name}
    return {"distance": -distance.clamp_min(1e-6 * float(distance.median())).log(), **scores}
