"""Writes a cohort to disk as a clinic would hand it over, and the true causes beside it."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from simulator import identity
from simulator.causes import CONDITIONS, COUNTS, PREFIX, Visit, draw_visits
from simulator.otoscope import cameras, render
from simulator.tympanometer import measure, probes, to_mat

MANIFEST = (
    "sample_id", "patient_id", "label", "otoscopy", "wbt", "ear", "visit", "age_months", "camera", "probe",
)  # fmt: skip
STATE = ("fill", "pressure", "viscosity", "pus", "thickness", "inflammation", "bulge", "stain")
EAR = (
    "appearance_seed", "compliance", "cavity", "canal_area", "canal_length", "pressure_width", "damping", "mass",
)  # fmt: skip
COMPRESSION = 1
"""Of PNG: a fifth larger than the usual level 6, in a third of its time."""


class CohortError(Exception):
    """The cohort cannot be written there; the message says why in one sentence."""


def write_cohort(
    out: Path,
    seed: int,
    counts: Mapping[str, int] = COUNTS,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    prefix: str = PREFIX,
) -> bool:
    """Writes the cohort of this seed into the folder `out`, whole or not at all.

    `progress(done, total)` is called after each sample. Patients' names begin with `prefix`. Returns False, and
    writes nothing, where the same cohort is there already.
    """
    wanted = {"simulated": True, **identity(), "seed": seed, "counts": _complete(counts)}
    if prefix != PREFIX:
        wanted["prefix"] = prefix
    if _holds(out, wanted):
        return False
    visits = draw_cohort(seed, counts, prefix)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        beside.chmod(0o755)
        for name in ("otoscopy", "wbt"):
            (beside / name).mkdir()
        _write_samples(beside, seed, visits, workers, progress)
        _write_tables(beside, visits)
        facts = {"samples": len(visits), "patients": len({visit.patient_id for visit in visits})}
        text = json.dumps({**wanted, **facts, "note": "Simulated; not for diagnosis."}, indent=2)
        (beside / "cohort.json").write_text(text + "\n", encoding="utf-8")
        # Replaces an empty folder, and fails on one that somebody has filled meanwhile.
        os.replace(beside, out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return True


def draw_cohort(seed: int, counts: Mapping[str, int] = COUNTS, prefix: str = PREFIX) -> list[Visit]:
    """The visits of this seed, without picture or sound."""
    return draw_visits(np.random.default_rng([seed, 0]), counts, len(cameras()), len(probes()), prefix)


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """The random stream of one sample, its own, so that no sample depends on who drew the others."""
    return np.random.default_rng([seed, 1, index])


def sample_id(visit: Visit) -> str:
    """A name such as `p0012-L2`: patient, ear, visit."""
    return f"{visit.patient_id}-{visit.ear.side[0].upper()}{visit.number}"


def write_sample(out: Path, seed: int, numbered: tuple[int, Visit]) -> None:
    """Draws and writes both modalities of one visit."""
    index, visit = numbered
    for_image, for_sound = sample_rng(seed, index).spawn(2)
    name = sample_id(visit)
    image = render(visit.state, visit.ear, cameras()[visit.camera], for_image)
    Image.fromarray(image).save(out / "otoscopy" / f"{name}.png", compress_level=COMPRESSION)
    measurement = measure(visit.ear, visit.state, probes()[visit.probe], for_sound)
    (out / "wbt" / f"{name}.mat").write_bytes(to_mat(measurement))


def _write_samples(
    out: Path, seed: int, visits: list[Visit], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    write = partial(write_sample, out, seed)
    if workers <= 1:
        _count(map(write, enumerate(visits)), len(visits), progress)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            _count(pool.map(write, enumerate(visits), chunksize=8), len(visits), progress)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _count(done: Iterable[None], total: int, progress: Callable[[int, int], None] | None) -> None:
    for number, _ in enumerate(done, start=1):
        if progress is not None:
            progress(number, total)


def _write_tables(out: Path, visits: list[Visit]) -> None:
    _write_csv(out / "manifest.csv", MANIFEST, map(_manifest_row, visits))
    _write_csv(out / "causes.csv", ("sample_id", "condition", *STATE, *EAR), map(_causes_row, visits))


def _manifest_row(visit: Visit) -> list[object]:
    name = sample_id(visit)
    return [
        name, visit.patient_id, visit.label, f"otoscopy/{name}.png", f"wbt/{name}.mat",
        visit.ear.side, visit.number, round(visit.age * 12), f"camera{visit.camera + 1}", f"probe{visit.probe + 1}",
    ]  # fmt: skip


def _causes_row(visit: Visit) -> list[object]:
    state = [round(getattr(visit.state, name), 5) for name in STATE]
    ear = [round(getattr(visit.ear, name), 5) for name in EAR]
    return [sample_id(visit), visit.condition, *state, *ear]


def _write_csv(path: Path, header: Iterable[str], rows: Iterator[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _complete(counts: Mapping[str, int]) -> dict[str, int]:
    return {condition: counts.get(condition, 0) for condition in CONDITIONS}


def _holds(out: Path, wanted: Mapping[str, object]) -> bool:
    """Whether `out` holds this cohort already; refuses where it holds anything else."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise CohortError(f"{out} is a file: give a folder that is empty or not there yet.")
    if not any(out.iterdir()):
        return False
    try:
        there = json.loads((out / "cohort.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CohortError(f"{out} holds something else: give a folder that is empty or not there yet.") from None
    if isinstance(there, dict) and all(there.get(key) == value for key, value in wanted.items()):
        return True
    raise CohortError(f"{out} holds another cohort (other seed, counts or simulator): give another folder.")
