"""What the page of adapting says follows from its draws, and the other clinic is another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import energy_distance

from adapt import (
    CAMERAS,
    PER_EAR,
    PUBLIC,
    REAL,
    REAL_PUBLIC,
    Attacked,
    Draw,
    Measured,
    class_mean_difference,
    energy_terms,
    gain,
    page,
    samplers,
)
from multimodal_vae.evaluation.samples import LabeledSamples
from other_clinic import YOUNGEST, draw_other_patients, other_cameras, varied_cameras, write_varied_cohort
from simulator.otoscope import cameras

OTHERS = {"precision": 0.9, "recall": 0.8, "coherence": 0.7, "purity": 0.6, "class mean WBT": 0.0123}


def draw(*ears: float) -> Draw:
    return Draw(per_ear={name: list(ears) for name in PER_EAR}, others=OTHERS)


def test_terms_of_ears_average_to_the_energy_distance() -> None:
    rng = torch.Generator().manual_seed(0)
    made, real = (torch.randn(count, 1, generator=rng, dtype=torch.float64) for count in (3000, 2000))
    terms = energy_terms(0.5 + made, real)
    assert float(terms.mean()) == pytest.approx(energy_distance(0.5 + made[:, 0], real[:, 0]) ** 2, abs=2e-3)
    assert abs(float(energy_terms(made, real).mean())) < 2e-3  # 0 in expectation, also of few points


def test_class_means_are_compared_class_by_class() -> None:
    made, real = (
        LabeledSamples({"wbt": torch.tensor(x)[:, None]}, torch.tensor([0, 0, 1]))
        for x in ([1.0, 3.0, 5.0], [2.0, 2.0, 4.0])
    )
    assert class_mean_difference(made, real) == pytest.approx(0.5)


def test_a_gain_has_the_error_of_patients_and_of_fits() -> None:
    old, new = [draw(1.0, 1.0, 1.0, 1.0)] * 2, [draw(2.0, 4.0, 3.0, 3.0)] * 2
    assert gain(new, old, "TSTR", ["a", "b", "c", "d"]) == pytest.approx((2.0, 0.5**0.5 / 2))
    assert gain(new, old, "TSTR", ["a", "a", "c", "d"]) == pytest.approx((2.0, 0.0))  # differences cancel
    noisy = [draw(2.0, 2.0, 2.0, 2.0), draw(4.0, 4.0, 4.0, 4.0)]
    assert gain(noisy, old, "TSTR", ["a", "b", "c", "d"]) == pytest.approx((2.0, 1.0))


def test_the_page_has_a_row_per_generator_and_a_line_per_audit() -> None:
    draws = {name: [draw(0.5, 0.7)] for name in (*samplers("kde"), REAL, REAL_PUBLIC)} | {PUBLIC: [draw(1.0, 1.0)]}
    audit = Attacked(
        distance=(0.51, (0.48, 0.54)), strongest=("membership/distance in latent", 0.52, (0.49, 0.55)), attacks=9
    )
    measured = Measured(patients=["a", "b"], draws=draws, audits={"3": audit})
    text = page(dict.fromkeys(CAMERAS, measured), 64)
    assert text.count("## A public run of") == len(CAMERAS)
    assert "| private, ε = 3 | 0.6000 | 0.60 | 0.90 | 0.80 | 0.60 | 0.70 | 0.60 | 0.0123 | 0.4000 ± 0.0707 |" in text
    assert (
        "area under the curve 0.51 (0.48 to 0.54).\nThe strongest of 9 attacks, membership/distance in latent" in text
    )


def test_the_other_clinic_has_older_children_of_names_of_their_own_and_every_label() -> None:
    counts = {"NOE": 12, "OME": 9, "AOM": 6}
    visits = draw_other_patients(7, counts)
    assert {label: sum(visit.label == label for visit in visits) for label in counts} == counts
    assert min(visit.age for visit in visits) >= YOUNGEST
    assert all(visit.patient_id.startswith("7-p") for visit in visits)
    assert {visit.camera for visit in visits} == {0, 1}


def test_the_public_cohort_has_many_cameras_and_not_those_of_the_clinic(tmp_path: Path) -> None:
    drawn = varied_cameras(0)
    assert len({each.balance for each in drawn}) == len({each.name for each in drawn}) == 40
    assert not {each.balance for each in drawn} & {each.balance for each in (*other_cameras(), *cameras())}
    assert varied_cameras(0) == drawn != varied_cameras(1)
    manifest = write_varied_cohort(tmp_path, 0, {"NOE": 1, "OME": 1, "AOM": 1})
    assert [row.split(",")[2] for row in manifest.read_text("utf-8").splitlines()[1:]].count("NOE") == 1
