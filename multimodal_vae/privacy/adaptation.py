"""Adapt a run to patients whom its networks have never seen: only a private density learns from them.

The samples are then differentially private from end to end: they follow from the run and from the density alone.
"""

import datetime
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked, require_whole
from multimodal_vae.configuration import Configuration, DensitySettings
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import INDEPENDENT, SPLITS, SplitName
from multimodal_vae.data.split import split_independently
from multimodal_vae.errors import ConfigurationError, DataError, MultimodalVAEWarning, RunError, listing
from multimodal_vae.files import (
    RESULT,
    claimed,
    file_sha256,
    inside,
    make_folder,
    move_into_place,
    read_json,
    write_bytes,
    write_json,
)
from multimodal_vae.names import form
from multimodal_vae.privacy.budget import Total, spend
from multimodal_vae.privacy.twins import find_twins
from multimodal_vae.provenance import register_instances
from multimodal_vae.run import Run, open_run
from multimodal_vae.run_folder import (
    ADAPTED,
    REFINER,
    AdaptationRecord,
    EnvironmentRecord,
    density_file,
    refiner_folders,
    relative_to,
    write_description,
)
from multimodal_vae.samplers.base import DensitySampler
from multimodal_vae.synthesis.generation import write_samples
from multimodal_vae.synthesis.synthesizer import Synthesizer

SAMPLES = "samples"
"""Folder of the samples within the adapted run."""

_WEIGHTS = "model.safetensors"
_REFUSED = "no epsilon can be given:"
_CHECKED = (
    "no patient of the manifest is among those of the run's manifest, from whom networks, scaling and early stopping "
    "learned",
    "no sample of the manifest equals one of the run's in a modality that tells patients apart",
    "classes, settings and bounds of the density are the run's, the command's, or learned from the run's patients",
    "whether a patient is in the training split depends on that patient alone",
)

Parts = Mapping[SplitName, MultimodalDataset]


@checked
def adapt_run(run: Run, manifest: Path, sampler: Any, out: Path, count: int = 100, seed: int = 0) -> Run:
    """Fit a private density of other patients to a run's latents, and write both as a run, with samples.

    The split by patient has the run's shares (see :func:`~multimodal_vae.data.split.split_independently`), and the
    density learns from its training patients. Every adaptation is recorded in the ledger beside the manifest; a
    finished one is only opened. An interrupted one resumes from the hidden folder ``.NAME.partial`` beside ``out``.

    Args:
        run: an opened run whose data, from which it learned, are at hand.
        manifest: manifest of the patients to protect.
        sampler: a private sampler, such as ``{"name": "private_gaussian", "epsilon": 3}``.
        out: run folder to create.
        count: number of samples per class, in the folder ``samples``.
        seed: seed of the split and of the samples, but not of the density's noise.

    Returns:
        The adapted run, opened. Samples of its own densities have the guarantee.

    Raises:
        RunError: if the run has covariates, is adapted itself, or its data are not at hand; or if ``out`` holds
            something else.
        DataError: if a patient or a sample is one of the run's, or rows have no patient.
        ConfigurationError: if the sampler gives no guarantee.

    Warns:
        MultimodalVAEWarning: if samples are left out, since the run does not know their class.
    """
    sampler = DensitySampler.of(sampler)
    if sampler.guarantee is None:
        raise ConfigurationError(f"the sampler {sampler.name!r} gives no guarantee; give a private one")
    register_instances(sampler)
    require_seed(seed)
    require_whole("the number of samples per class", count, 1)
    known = _known_data(run)
    configuration = _configuration(run, manifest, sampler, seed)
    data = configuration.read_data()
    configuration = configuration.settled(data)
    _require_other_people(run, known, manifest, data)
    _warn_of_unlisted(run, manifest, data)
    rows = split_independently(data.patients, _shares(run), seed)
    parts: Parts = {name: data.subset(part) for name, part in zip(SPLITS, rows, strict=True)}
    weights = file_sha256(inside(run.path, _WEIGHTS))
    request = {"weights": weights, "sampler": sampler.configuration, "count": count, "seed": seed}
    if inside(out, ADAPTED).is_file():
        _require_same(out, request, parts)
        return open_run(out, data)
    with claimed(out) as hidden:
        folder = inside(hidden, RESULT)
        if inside(folder, ADAPTED).is_file():
            _require_same(folder, request, parts)
        else:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)
            _write_run(folder, run, manifest, relative_to(out, configuration), parts, request)
        adapted = Run(folder, data)
        synthesizer = adapted.synthesizer()
        counts = dict.fromkeys(synthesizer.densities, count)
        write_samples(inside(folder, SAMPLES), synthesizer, counts, seed, adapted.origin)
        move_into_place(folder, out)
    return open_run(out, data)


def spent_by(run: Run) -> Total:
    """Return what an adapted run and all earlier adaptations of its patients have spent together.

    Raises:
        RunError: if the run is not adapted.
    """
    return read_json(inside(run.path, ADAPTED), _Record)["spent"]


def adaptation_words(run: Run) -> list[str]:
    """Return what an adapted run guarantees, and what its patients have spent, as sentences."""
    spent, guarantee = spent_by(run), run.synthesizer().guarantee
    assert guarantee is not None  # noqa: S101  (adapt_run checks it)
    return [
        guarantee.sentence,
        f"Adaptations recorded beside {run.configuration.data.manifest}, this one included: {spent['adaptations']}; "
        f"together they spend epsilon = {spent['epsilon']:g} and delta = {spent['delta']:g}.",
    ]


class _Record(AdaptationRecord):
    spent: Total


def _known_data(run: Run) -> MultimodalDataset:
    """Return all samples that the run may have learned from; refuse a run of which this is not known."""
    if run.is_adapted:
        raise RunError(f"{_REFUSED} {run.path} is adapted itself; adapt the run that it was adapted from")
    if run.configuration.data.covariates:
        raise RunError(
            f"{_REFUSED} {run.path} has covariates, whose frequencies are not private; adapt a run without covariates"
        )
    try:
        data = run.data
        len(run.splits)  # raises if a sample is missing or has changed
    except (RunError, DataError) as error:
        raise RunError(
            f"{_REFUSED} the patients that {run.path} learned from must be compared with yours, but {error}"
        ) from error
    return data


def _configuration(run: Run, manifest: Path, sampler: DensitySampler, seed: int) -> Configuration:
    """Return the run's configuration with the new data and sampler, and without what is about its own data alone."""
    configuration = run.configuration.with_manifest(manifest, run.model.classes).with_data(
        split="passed", seed=seed, cache=None, unreadable="refuse", unlisted="skip"
    )
    return configuration.model_copy(
        update={"license": None, "tune": None, "density": DensitySettings(sampler=sampler, fit_on="train")}
    )


def _shares(run: Run) -> Sequence[float]:
    """Return the shares of the run's training, validation and test patients."""
    if isinstance(run.configuration.data.split, tuple):
        return run.configuration.data.split
    patients = [len(set(run.splits[name].patients)) for name in SPLITS]
    return [number / sum(patients) for number in patients]


def _require_other_people(run: Run, known: MultimodalDataset, manifest: Path, data: MultimodalDataset) -> None:
    """Refuse patients from whom the run may have learned, by their name or by their samples.

    Raises:
        DataError: naming the first ones.
    """
    nameless = data.notes.get("patient_id", {}).get(INDEPENDENT, 0)
    if nameless:
        raise DataError(
            f"{_REFUSED} it protects a patient, but {nameless} rows of {manifest} have no patient_id; fill the column"
        )
    names = {form(patient) for patient in known.patients}
    shared = sorted({patient for patient in data.patients if form(patient) in names})
    if shared:
        raise DataError(
            f"{_REFUSED} {len(shared)} patients of {manifest} are among those of {run.path}, from whom its networks "
            f"learned: {listing(shared, 3)}; leave them out, rename them if they are other people, or adapt another run"
        )
    for name, twins in find_twins(data, known).items():
        pairs = sorted(f"{data.patients[row]} as {patient}" for row, patient in twins)
        raise DataError(
            f"{_REFUSED} {len(twins)} samples of {manifest} are identical to samples of {run.path} in {name!r}: the "
            f"patients {listing(pairs, 3)}; leave these patients out, or adapt another run"
        )


def _warn_of_unlisted(run: Run, manifest: Path, data: MultimodalDataset) -> None:
    left_out = int((data.labels < 0).sum())
    if left_out:
        warnings.warn(
            f"{left_out} of {len(data)} samples of {manifest} are left out: their label is none of the classes of "
            f"{run.path}, {listing(data.classes)}",
            MultimodalVAEWarning,
            stacklevel=3,
        )


def _require_same(folder: Path, request: Mapping[str, Any], parts: Parts) -> None:
    """Raise RunError unless a folder holds the adaptation that is requested, of the same samples."""
    before = read_json(inside(folder, ADAPTED), AdaptationRecord)["request"]
    changed = [key for key in {**before, **request} if before.get(key) != request.get(key)]
    recorded = read_json(inside(folder, "environment.json"), EnvironmentRecord)["data"]
    changed += [
        f"{name} samples"
        for name, part in parts.items()
        if len(part) and recorded.get(name) != {"sha256": part.fingerprint()}
    ]
    if changed:
        raise RunError(
            f"{folder} holds an adaptation with other {changed[0]}; choose another folder, which spends more of the "
            "patients' privacy"
        )


def _write_run(
    folder: Path, run: Run, manifest: Path, configuration: Configuration, parts: Parts, request: Mapping[str, Any]
) -> None:
    """Write the run folder but for its samples; the record of the guarantee is written last."""
    density = density_file(folder, configuration.density.sampler.name)
    make_folder(density.parent)
    write_description(folder, configuration, {name: part if len(part) else None for name, part in parts.items()})
    write_json(folder / "status.json", run.status)
    write_bytes(folder / _WEIGHTS, inside(run.path, _WEIGHTS).read_bytes())
    copied = [folder / _WEIGHTS]
    for name in run.refiners:  # raises if one is not trained
        of_run, own = (refiner_folders(path, configuration)[name] for path in (run.path, folder))
        make_folder(own)
        write_bytes(own / REFINER, inside(of_run, REFINER).read_bytes())
        copied.append(own / REFINER)
    synthesizer = Synthesizer(run.model, configuration.density.sampler)
    guarantee = synthesizer.sampler.guarantee
    assert guarantee is not None  # noqa: S101  (adapt_run checks it)
    synthesizer.end_to_end = True
    spent = spend(manifest, guarantee, request["weights"])
    synthesizer.fit(parts["train"], reference=run.splits["train"]).save(density)
    write_json(
        folder / ADAPTED,
        {
            "version": 1,
            "guarantee": replace(guarantee, covers="samples").record(),
            "spent": spent,
            "checked": _CHECKED,
            "hand_on": [SAMPLES],
            "keep": "All else in this folder stays with the patients' data. Evaluations and audits of this run are "
            "computed from the patients, and no guarantee covers them.",
            "run": str(run.path.resolve()),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "request": request,
            "sha256": {path.relative_to(folder).as_posix(): file_sha256(path) for path in (*copied, density)},
        },
    )
