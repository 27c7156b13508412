"""Simulated ears in memory, exactly as the modality plugins read them from the cohort's files."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import landmarks
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae_otoscopy import Otoscopy
from multimodal_vae_wbt import WBT
from simulator import identity
from simulator.causes import CONDITIONS, COUNTS, Visit
from simulator.cohort import draw_cohort, sample_rng
from simulator.otoscope import cameras, render
from simulator.tympanometer import measure, probes, to_mat

CLASSES = list(CONDITIONS)
CAUSES = ("fill", "pressure", "viscosity", "inflammation", "bulge")
"""Causes of a middle ear's state that judges read; pressure is in daPa, the others are shares."""
CLEAN = "clean"
"""Name of the picture by a camera without noise and compression; its focus is that of the ear's own picture."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Ears:
    """A cohort in memory.

    Attributes:
        samples: ``otoscopy`` (N, 3, size, size), of 64 pixels unless others are wanted, and ``wbt`` (N, 1, 64, 64),
            with labels, patients and causes.
        others: (N, 3, size, size) by name, further pictures of the same ears: :data:`CLEAN`, or a landmark's name for
            :func:`landmarks.changed`.
    """

    samples: LabeledSamples
    others: Mapping[str, Tensor] = field(default_factory=dict)


def draw_ears(
    seed: int,
    counts: Mapping[str, int] = COUNTS,
    others: Sequence[str] = (),
    modalities: Sequence[str] = ("otoscopy", "wbt"),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    size: int = 64,
) -> Ears:
    """Draw the cohort of a seed: the samples that one would read from its files.

    Args:
        seed: as in :func:`simulator.cohort.write_cohort`.
        counts: number of ears by label.
        others: names of further pictures, see :class:`Ears`.
        modalities: modalities to draw; a sweep takes a fiftieth of a picture's time.
        workers: number of processes; the ears do not depend on it.
        progress: called with the numbers of ears drawn and of all ears.
        size: height and width of the pictures.
    """
    visits = draw_cohort(seed, counts)
    ears = []
    for ear in _map(partial(_draw_ear, seed, (*modalities, *others), size), list(enumerate(visits)), workers):
        ears.append(ear)
        if progress is not None:
            progress(len(ears), len(visits))
    columns = {name: torch.from_numpy(np.stack([ear[name] for ear in ears])) for name in ears[0]}
    samples = LabeledSamples(
        {name: columns.pop(name) for name in modalities},
        torch.tensor([CLASSES.index(visit.label) for visit in visits]),
        [visit.patient_id for visit in visits],
        {name: torch.tensor([getattr(visit.state, name) for visit in visits]) for name in CAUSES},
    )
    return Ears(samples, columns)


def load_or_draw_ears(
    folder: Path, seed: int, counts: Mapping[str, int], others: Sequence[str] = (CLEAN,), **settings: Any
) -> Ears:
    """Load the cohort of a seed from a folder, or draw it and save it there."""
    key = {**identity(), "seed": str(seed), "counts": json.dumps(dict(counts)), "others": json.dumps(list(others))}
    size = settings.get("size", 64)
    path = folder / (f"ears-{seed}.safetensors" if size == 64 else f"ears-{seed}-{size}.safetensors")
    if path.is_file():
        try:
            tensors, facts = read_tensors(path)
        except RunError:  # a damaged file is drawn again
            facts = {}
        if key.items() <= facts.items():
            samples = LabeledSamples(
                {name: tensors[name] for name in ("otoscopy", "wbt")},
                tensors["labels"],
                json.loads(facts["patients"]),
                {name: tensors[name] for name in CAUSES},
            )
            return Ears(samples, {name: tensors[name] for name in others})
    ears = draw_ears(seed, counts, others, **settings)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {**ears.samples.values, **ears.samples.causes, **ears.others, "labels": ears.samples.labels}
    write_tensors(path, tensors, {**key, "patients": json.dumps(ears.samples.groups)})
    return ears


def _draw_ear(seed: int, names: tuple[str, ...], size: int, numbered_visit: tuple[int, Visit]) -> dict[str, Array]:
    """Return one ear's arrays by name."""
    index, visit = numbered_visit
    camera = cameras()[visit.camera]

    def rng() -> np.random.Generator:
        """Return the random stream of this ear's picture, from its start."""
        return sample_rng(seed, index).spawn(2)[0]

    arrays: dict[str, Array] = {}
    for name in names:
        if name == "wbt":
            sound_rng = sample_rng(seed, index).spawn(2)[1]
            arrays[name] = _read_sweep(to_mat(measure(visit.ear, visit.state, probes()[visit.probe], sound_rng)))
            continue
        if name == "otoscopy":
            frame: NDArray[np.uint8] | None = render(visit.state, visit.ear, camera, rng())
        elif name == CLEAN:
            frame = render(visit.state, visit.ear, replace(camera, noise=0.0, quality=100), rng())
        else:
            frame = landmarks.changed(name, visit.state, visit.ear, camera, rng())
        arrays[name] = arrays["otoscopy"] if frame is None else _read_frame(frame, size)
    return arrays


@cache
def _readers(size: int = 64) -> tuple[Otoscopy, WBT]:
    return Otoscopy(size=size), WBT()


def _read_frame(frame: NDArray[np.uint8], size: int = 64) -> Array:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.bmp"  # the fastest lossless format
        Image.fromarray(frame).save(path)
        return _readers(size)[0].read(path)


def _read_sweep(content: bytes) -> Array:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.mat"
        path.write_bytes(content)
        return _readers()[1].read(path)


def _map(
    draw: Callable[[tuple[int, Visit]], dict[str, Array]], visits: Iterable[tuple[int, Visit]], workers: int
) -> Iterator[dict[str, Array]]:
    if workers <= 1:
        yield from map(draw, visits)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(draw, visits, chunksize=8)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
