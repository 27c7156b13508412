from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from simulator.causes import CONDITIONS, COUNTS, Visit, draw_visits


@pytest.fixture(scope="module")
def visits() -> list[Visit]:
    return draw_visits(np.random.default_rng(0), COUNTS)


def by_patient(visits: list[Visit]) -> dict[str, list[Visit]]:
    patients = defaultdict(list)
    for visit in visits:
        patients[visit.patient_id].append(visit)
    return patients


def test_counts_by_label_are_met(visits: list[Visit]) -> None:
    assert Counter(visit.label for visit in visits) == COUNTS


@pytest.mark.parametrize("counts", [{"NOE": 1}, {"AOM": 30}, {"NOE": 2, "OME": 40}, {"NOE": 0, "OME": 1, "AOM": 1}, {}])
def test_any_counts_are_met(counts: dict[str, int]) -> None:
    drawn = Counter(visit.label for visit in draw_visits(np.random.default_rng(1), counts))
    assert drawn == Counter(counts)


@pytest.mark.parametrize("counts", [{"COM": 3}, {"NOE": -1}])
def test_impossible_counts_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="NOE, OME, AOM"):
        draw_visits(np.random.default_rng(0), counts)


def test_equal_seeds_draw_equal_cohorts(visits: list[Visit]) -> None:
    assert draw_visits(np.random.default_rng(0), COUNTS) == visits
    assert draw_visits(np.random.default_rng(1), COUNTS) != visits


def test_patients_have_one_or_two_ears_and_up_to_three_visits(visits: list[Visit]) -> None:
    patients = by_patient(visits)
    ears: Counter[int] = Counter()
    numbers: Counter[int] = Counter()
    for samples in patients.values():
        of_patient = {visit.ear for visit in samples}
        times = {visit.number for visit in samples}
        assert len(of_patient) == len({ear.side for ear in of_patient}) <= 2
        assert len(samples) == len(of_patient) * len(times)
        assert times == set(range(1, max(times) + 1))
        ears[len(of_patient)] += 1
        numbers[max(times)] += 1
    assert set(ears) == {1, 2}
    assert set(numbers) == {1, 2, 3}


def test_causes_stay_in_their_ranges(visits: list[Visit]) -> None:
    for visit in visits:
        state = visit.state
        for value in (state.fill, state.viscosity, state.pus, state.inflammation, state.bulge):
            assert 0 <= value <= 1
        assert 0.2 <= visit.ear.age <= visit.age <= 12
        assert visit.condition != "NOE" or (state.fill < 0.45 and state.bulge == 0 and state.pus == 0)


def test_the_specialist_errs_as_often_as_said() -> None:
    many = draw_visits(np.random.default_rng(3), {"NOE": 6000, "OME": 5000, "AOM": 2500})
    written: Counter[tuple[str, str]] = Counter((visit.condition, visit.label) for visit in many)
    for condition, label, share in (
        ("NOE", "OME", 0.04),
        ("OME", "NOE", 0.03),
        ("OME", "AOM", 0.05),
        ("AOM", "OME", 0.10),
    ):
        total = sum(written[condition, other] for other in CONDITIONS)
        assert written[condition, label] / total == pytest.approx(share, abs=0.012)
    assert written["NOE", "AOM"] == written["AOM", "NOE"] == 0


def test_ears_and_visits_of_a_patient_resemble_each_other(visits: list[Visit]) -> None:
    sides, successive = [], []
    for samples in by_patient(visits).values():
        at = {(visit.number, visit.ear.side): visit for visit in samples}
        for (number, side), visit in at.items():
            if side == "left" and (number, "right") in at:
                sides.append((visit, at[number, "right"]))
            if (number + 1, side) in at:
                successive.append((visit, at[number + 1, side]))

    def correlation(pairs: list[tuple[Visit, Visit]], cause: str) -> float:
        kept = [(a, b) for a, b in pairs if a.condition == b.condition == "OME"]
        values = np.array([[getattr(visit.state, cause) for visit in pair] for pair in kept])
        return float(np.corrcoef(values.T)[0, 1])

    for cause in ("fill", "pressure", "viscosity", "thickness"):
        assert 0.35 < correlation(sides, cause) < 0.85
        assert 0.35 < correlation(successive, cause) < 0.9
    anatomy = np.log([[a.ear.compliance, b.ear.compliance] for a, b in sides])
    assert np.corrcoef(anatomy.T)[0, 1] > 0.7
    assert all(a.ear == b.ear and a.age < b.age for a, b in successive if b.age < 12)


def test_effusion_is_mostly_bilateral_and_persists(visits: list[Visit]) -> None:
    both: Counter[str] = Counter()
    next_one: Counter[str] = Counter()
    for samples in by_patient(visits).values():
        at = {(visit.number, visit.ear.side): visit.condition for visit in samples}
        for (number, side), condition in at.items():
            other = at.get((number, "right" if side == "left" else "left"))
            later = at.get((number + 1, side))
            if condition == "OME" and other:
                both[other] += 1
            if condition == "OME" and later:
                next_one[later] += 1
    assert both["OME"] / both.total() > 0.5
    assert next_one["OME"] / next_one.total() > 0.5


def test_camera_and_probe_know_nothing_of_the_condition() -> None:
    many = draw_visits(np.random.default_rng(5), {"NOE": 3000, "OME": 3000, "AOM": 3000})
    for condition in CONDITIONS:
        devices = [(visit.camera, visit.probe) for visit in many if visit.label == condition]
        cameras, probes = (np.bincount(column) / len(devices) for column in np.array(devices).T)
        np.testing.assert_allclose(cameras, 1 / 4, atol=0.05)
        np.testing.assert_allclose(probes, 1 / 3, atol=0.05)
