"""The folder of a study: its page, its key and its record."""

import datetime
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from multimodal_vae.bounds import require_seed
from multimodal_vae.checks import checked
from multimodal_vae.errors import ConfigurationError, RunError
from multimodal_vae.files import file_sha256, inside, new_folder, write_bytes
from multimodal_vae.run import Run
from multimodal_vae.study.items import choose_items
from multimodal_vae.study.key import PAGE, REAL, SYNTHETIC, Kind, Study, StudyRecord, write_key
from multimodal_vae.study.page import draw_items, draw_lesson, study_page
from multimodal_vae.study.teaching import prepare_lesson

MOST = 500
"""Maximum number of items of a study."""


@checked
def make_study(
    run: Run,
    out: Path,
    kind: Kind,
    count: int = 60,
    with_real: bool = False,
    teach: bool = False,
    split: str = "test",
    seed: int = 0,
    sampler: Any = None,
    refine: bool = True,
) -> Study:
    """Write a new folder with the page ``study.html``, its key ``key.csv`` and ``study.json``.

    Args:
        run: an opened run.
        out: the folder, new or empty.
        kind: the question, ``"turing"`` (real or synthetic) or ``"diagnosis"`` (which class).
        count: number of items, equally many of each class.
        with_real: whether half of the items are patients' samples; ``"turing"`` needs them. The page then holds them.
        teach: whether the page tells the truth after each answer; it then holds the truth.
        split: split of the real items, ``"test"`` or ``"validation"``.
        seed: seed of all random choices.
        sampler: sampler to generate with, an instance, a name or a table. Default: the run's.
        refine: whether to refine the generated samples, if the run has refiners.

    Raises:
        ConfigurationError: if a setting is out of range, or a Turing test is wanted without real items.
        RunError: if the folder exists, the run is not trained, or has too few real samples.
    """
    require_seed(seed)
    if not 2 <= count <= MOST:
        raise ConfigurationError(f"a study has 2 to {MOST} items, not {count}; set --count")
    if kind == "turing" and not with_real:
        raise ConfigurationError(
            "a Turing test shows patients' samples beside synthetic ones; allow them in the page with --with-real, or "
            "choose --kind diagnosis"
        )
    if split not in ("test", "validation"):
        raise RunError(f"real items are test or validation samples, not {split!r} ones; set --split")
    with new_folder(out) as folder:
        synthesizer = run.synthesizer(sampler, refine=refine)
        items = choose_items(synthesizer, run.splits[split] if with_real else None, count, seed)
        classes, modalities = run.model.classes, run.model.modalities
        pictures = draw_items(modalities, items)
        lesson = prepare_lesson(synthesizer, items, seed) if teach else None
        shown = {"kind": kind, "teach": teach, "items": pictures}
        record = StudyRecord(
            version=1,
            study=hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:12],
            kind=kind,
            classes=[classes[label] for label in items.samples.counts()],
            teach=teach,
            split=split if with_real else None,
            sampler=synthesizer.sampler.name,
            seed=seed,
            weights_sha256=file_sha256(inside(run.path, "model.safetensors")),
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            with_version=version("multimodal-vae"),
        )
        sources = [REAL if each else SYNTHETIC for each in items.real]
        study = Study(record, sources, [classes[label] for label in items.samples.labels.tolist()])
        drawn = draw_lesson(modalities, items, lesson) if lesson else None
        write_bytes(folder / PAGE, study_page(study, modalities, pictures, drawn).encode())
        write_key(folder, study)
    return study
