from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from simulator.causes import Ear, State
from simulator.tympanometer import ADMITTANCE_FREQUENCIES, FREQUENCIES, Measurement, measure, probes, to_mat

EAR = Ear("right", 0, 4.0, 0.78, 0.57, 0.27, 1.8, 33.0)
DRY = State(fill=0.0, pressure=-50.0, viscosity=0.1, pus=0.0, thickness=1.0, inflammation=0.1, bulge=0.0)


def measured(seed: int, state: State = DRY) -> Measurement:
    return measure(EAR, state, probes()[seed % len(probes())], np.random.default_rng(seed))


def test_frequency_axis_is_the_instruments() -> None:
    assert FREQUENCIES.shape == (107,)
    assert FREQUENCIES[:6].tolist() == [226, 257.33, 280.62, 297.30, 324.21, 343.49]
    assert (np.diff(FREQUENCIES) > 0).all()
    assert (FREQUENCIES <= 4000).sum() == 83
    assert {2000.0, 4000.0, 8000.0} <= set(FREQUENCIES.tolist())


def test_pressure_axes_are_irregular_differ_and_cover_the_grid() -> None:
    axes = [measured(seed).pressure for seed in range(60)]
    for axis in axes:
        assert 45 <= len(axis) <= 70
        assert axis.max() >= 185
        assert axis.min() <= -285
        steps = np.diff(axis)
        assert (steps < 0).all() or (steps > 0).all()
        assert np.abs(steps).max() > 1.2 * np.abs(steps).min()
    assert len({len(axis) for axis in axes}) > 10
    assert {bool(axis[0] > 0) for axis in axes} == {True, False}


def test_noise_is_larger_at_low_frequencies_and_leaves_the_range_a_little() -> None:
    wet = replace(DRY, fill=0.95)
    values = [measured(seed, wet).absorbance for seed in range(40)]
    ripple = np.median([np.abs(np.diff(value, axis=0)).mean(0) for value in values], axis=0)
    assert ripple[:10].mean() > 1.5 * ripple[-40:].mean()
    everything = np.concatenate(values)
    assert -0.3 < everything.min() < 0
    assert everything.max() < 1.2


def test_peak_lags_behind_the_sweep() -> None:
    peaks: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(80):
        one = measured(seed)
        falling = bool(one.pressure[0] > one.pressure[-1])
        peaks[falling].append(float(one.pressure[np.argmax(one.admittance[:, 0])]))
    assert np.median(peaks[True]) < -50 < np.median(peaks[False])
    assert np.median(peaks[False]) - np.median(peaks[True]) < 40


def test_mat_holds_one_struct_with_the_instruments_fields(tmp_path: Path) -> None:
    one = measured(3)
    (tmp_path / "one.mat").write_bytes(to_mat(one))
    content = loadmat(tmp_path / "one.mat", squeeze_me=False, struct_as_record=False)
    names = [name for name in content if not name.startswith("__")]
    assert names == ["WBT"]
    struct = content["WBT"][0, 0]
    count = len(one.pressure)
    np.testing.assert_array_equal(struct.Pressure, one.pressure[:, None])
    np.testing.assert_array_equal(struct.Frequency, FREQUENCIES[None])
    np.testing.assert_array_equal(struct.Absorbance, one.absorbance)
    np.testing.assert_array_equal(struct.FrequencyAdmittance, ADMITTANCE_FREQUENCIES[None])
    assert struct.YAdmittance.shape == struct.PhaseAdmittance.shape == (count, 4)
    assert 0.3 < struct.YAdmittance[:, 0].max() < 3
    assert 0 < struct.PhaseAdmittance[:, 0].min() <= struct.PhaseAdmittance[:, 0].max() < 90


def test_equal_seeds_give_equal_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = to_mat(measured(5))
    monkeypatch.setattr("time.asctime", lambda: "another day")
    assert to_mat(measured(5)) == first
    assert to_mat(measured(6)) != first
    assert first.startswith(b"MATLAB 5.0 MAT-file")
