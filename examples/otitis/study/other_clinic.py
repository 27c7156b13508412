"""Another simulated clinic, and a public cohort as varied as one can think of when one does not know the clinic.

The clinic has other cameras, older children, and effusions that are thicker and amber. The public cohort has the
patients of the simulated cohort and many cameras. The simulator is that of the cohort; only whom it draws and which
cameras look at them differ.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from simulator.causes import CONDITIONS, COUNTS, Visit, draw_patient, draw_visits
from simulator.cohort import COMPRESSION, sample_id, sample_rng
from simulator.otoscope import Camera, cameras, render
from simulator.tympanometer import measure, probes, to_mat

YOUNGEST = 5.0
"""Years of the youngest child; of the cohort, a third are as old."""


def other_cameras() -> tuple[Camera, ...]:
    """Return two cameras that the cohort's clinic does not have: a warm, dim endoscope, and a cold, sharp telephone."""
    _, halogen, _, phone = cameras()
    return (
        replace(halogen, name="warm", balance=(1.22, 0.95, 0.68), gain=0.78, radius=196, vignette=0.45),
        replace(phone, name="cold", balance=(0.88, 1.02, 1.16), saturation=0.9, gain=1.1, sharpening=140, radius=238),
    )


def varied_cameras(seed: int, count: int = 40) -> tuple[Camera, ...]:
    """Return cameras whose light, color, sharpness and view are drawn at random around those of the cohort."""
    rng = np.random.default_rng([seed, 3])
    drawn = []
    for index in range(count):
        like = cameras()[index % len(cameras())]
        red, green, blue = (value * float(np.exp(0.15 * rng.normal())) for value in like.balance)
        drawn.append(
            replace(
                like,
                name=f"camera{index + 1}",
                balance=(red, green, blue),
                saturation=float(rng.uniform(0.7, 1.1)),
                gain=like.gain * float(np.exp(0.15 * rng.normal())),
                sharpening=float(rng.choice([0, rng.uniform(0, 160)])),
                radius=float(rng.uniform(190, 240)),
                vignette=float(rng.uniform(0.1, 0.5)),
            )
        )
    return tuple(drawn)


def draw_other_patients(seed: int, counts: Mapping[str, int] = COUNTS) -> list[Visit]:
    """Return the visits of the clinic's patients, as many per label as told; names begin with the seed."""
    rng = np.random.default_rng([seed, 2])
    missing, visits, number = dict(counts), list[Visit](), 0
    for _ in range(100 * sum(counts.values())):
        if not (total := sum(missing.values())):
            break
        weights = np.array([missing.get(each, 0) for each in CONDITIONS]) / total
        first = CONDITIONS[int(rng.choice(len(CONDITIONS), p=weights))]
        drawn = draw_patient(rng, f"{seed}-p{number + 1:04d}", first, len(other_cameras()), len(probes()))
        labels = [visit.label for visit in drawn]
        if drawn[0].age < YOUNGEST or any(labels.count(each) > missing.get(each, 0) for each in set(labels)):
            continue
        number += 1
        visits += [_with_thick_effusion(visit) for visit in drawn]
        missing = {each: count - labels.count(each) for each, count in missing.items()}
    return visits


def _with_thick_effusion(visit: Visit) -> Visit:
    """Return a visit with a more viscous fluid of a stronger color; a dry ear stays as it is."""
    state = visit.state
    return replace(visit, state=replace(state, viscosity=state.viscosity**0.5, stain=state.stain**0.5))


def write_other_clinic(folder: Path, seed: int, counts: Mapping[str, int] = COUNTS) -> Path:
    """Write the clinic's samples into a folder, unless they are there, and return their manifest."""
    return _write(folder, seed, other_cameras(), lambda: draw_other_patients(seed, counts))


def write_varied_cohort(folder: Path, seed: int, counts: Mapping[str, int] = COUNTS) -> Path:
    """Write the samples of the public cohort into a folder, unless they are there, and return their manifest."""
    devices = varied_cameras(seed)
    rng = np.random.default_rng([seed, 4])
    return _write(folder, seed, devices, lambda: draw_visits(rng, counts, len(devices), len(probes())))


def _write(folder: Path, seed: int, devices: Sequence[Camera], draw: Callable[[], Sequence[Visit]]) -> Path:
    manifest = folder / "manifest.csv"
    if manifest.exists():
        return manifest
    rows = []
    for name in ("otoscopy", "wbt"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, visit in enumerate(draw()):
        for_image, for_sound = sample_rng(seed, index).spawn(2)
        name = sample_id(visit)
        image = render(visit.state, visit.ear, devices[visit.camera], for_image)
        Image.fromarray(image).save(folder / "otoscopy" / f"{name}.png", compress_level=COMPRESSION)
        sweep = measure(visit.ear, visit.state, probes()[visit.probe], for_sound)
        (folder / "wbt" / f"{name}.mat").write_bytes(to_mat(sweep))
        rows.append([name, visit.patient_id, visit.label, f"otoscopy/{name}.png", f"wbt/{name}.mat"])
    with manifest.open("w", encoding="utf-8", newline="") as file:  # last: it says that all is there
        csv.writer(file, lineterminator="\n").writerows(
            [["sample_id", "patient_id", "label", "otoscopy", "wbt"], *rows]
        )
    return manifest
