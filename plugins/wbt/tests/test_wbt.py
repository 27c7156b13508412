import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.interpolate import RegularGridInterpolator
from scipy.io import loadmat, savemat

from multimodal_vae import ConfigurationError, DataError
from multimodal_vae_wbt import WBT, Sweep, read_sweep
from multimodal_vae_wbt.grid import Grid
from multimodal_vae_wbt.sweep import NO_UNIT

FREQUENCIES = np.concatenate([[226.0, 257.33, 280.62, 297.30, 324.21], 343.49 * 2 ** (np.arange(102) * 4.5417 / 101)])


def sweep(seed=0, count=60, ends=(201.3, -298.4), low=0.0, high=1.0):
    """An unevenly spaced sweep with values at random."""
    rng = np.random.default_rng(seed)
    inner = np.sort(rng.uniform(0.02, 0.98, count - 2))
    pressure = ends[0] + (ends[1] - ends[0]) * np.concatenate([[0], inner, [1]])
    return Sweep(pressure, FREQUENCIES, rng.uniform(low, high, (count, len(FREQUENCIES))))


def fields(measured, **changed):
    return {
        "Pressure": measured.pressure[:, None],
        "Frequency": measured.frequency[None],
        "Absorbance": measured.absorbance,
        "Units": "daPa, Hz",
    } | changed


def as_mat(path, measured, **changed):
    savemat(path, {"WBT": fields(measured, **changed) | {"YAdmittance": np.ones((3, 4)), "Comment": "text"}})


def as_variables(path, measured, **changed):
    savemat(path, fields(measured, **changed), do_compression=True)


def as_version_4(path, measured, **changed):
    savemat(path, fields(measured, **changed), format="4")


def as_npz(path, measured, **changed):
    np.savez(
        path, **{name.lower(): value for name, value in fields(measured, **changed).items()}, note=np.array("text")
    )


def as_csv(path, measured, corner=r"pressure_daPa\frequency_Hz", **changed):
    given = fields(measured, **changed)
    rows = [[corner, *np.ravel(given["Frequency"])]]
    rows += [[p, *row] for p, row in zip(np.ravel(given["Pressure"]), given["Absorbance"], strict=True)]
    path.write_text("\n".join(",".join(str(cell) for cell in row) for row in rows) + "\n", encoding="utf-8")


WRITERS = {".mat": as_mat, ".MAT": as_variables, "4.mat": as_version_4, ".npz": as_npz, ".csv": as_csv}


def oracle(wbt, measured):
    """What scipy interpolates, in the coordinates of the grid."""
    coordinate = np.log if wbt.grid.frequency_axis == "log" else np.asarray
    order = np.argsort(measured.pressure)
    interpolate = RegularGridInterpolator(
        (measured.pressure[order], coordinate(measured.frequency)), measured.absorbance[order].clip(0, 1)
    )
    places = np.stack(np.meshgrid(wbt.pressures, coordinate(wbt.frequencies), indexing="ij"), axis=-1)
    return interpolate(places)


@pytest.mark.parametrize("axis", ["log", "linear"])
@pytest.mark.parametrize("ending", WRITERS)
def test_reads_every_format_like_scipy_interpolates(tmp_path, ending, axis):
    wbt, measured, path = WBT(frequency_axis=axis), sweep(), tmp_path / f"sweep{ending}"
    WRITERS[ending](path, measured)
    sample = wbt.read(path)
    assert sample.shape == wbt.shape == (1, 64, 64)
    assert sample.dtype == np.float32
    np.testing.assert_allclose(sample[0], oracle(wbt, measured), atol=1e-6)
    assert not wbt.notes


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(2, 80),
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    axis=st.sampled_from(["log", "linear"]),
    upwards=st.booleans(),
    low=st.floats(-1, 0),
)
def test_resamples_like_scipy_on_any_grid(seed, count, rows, columns, axis, upwards, low):
    grid = (150.0, -250.0) if not upwards else (-250.0, 150.0)
    wbt = WBT(size=(rows, columns), pressure=grid, frequency=(300.0, 5000.0), frequency_axis=axis, width=4)
    measured = sweep(seed, count, low=low)
    np.testing.assert_allclose(wbt.grid.resample(measured).absorbance, oracle(wbt, measured), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(*[st.floats(-0.1, 0.1)] * 3, st.integers(0, 10**6), st.sampled_from(["log", "linear"]))
def test_reproduces_what_is_bilinear(a, b, c, seed, axis):
    wbt = WBT(frequency_axis=axis)
    coordinate = (
        (lambda f: np.log(f / 226) / np.log(4000 / 226)) if axis == "log" else (lambda f: (f - 226) / (4000 - 226))
    )

    def surface(pressure, frequency):
        x, y = pressure[:, None] / 300, coordinate(frequency)[None]
        return 0.5 + a * x + b * y + c * x * y

    measured = sweep(seed)
    measured = Sweep(measured.pressure, FREQUENCIES, surface(measured.pressure, FREQUENCIES))
    expected = surface(wbt.pressures, wbt.frequencies)
    np.testing.assert_allclose(wbt.grid.resample(measured).absorbance, expected, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_order_of_the_samples_does_not_matter(seed, random):
    wbt, measured = WBT(), sweep(seed)
    order = list(range(len(measured.pressure)))
    expected = wbt.grid.resample(measured).absorbance
    backwards = Sweep(measured.pressure[::-1], measured.frequency[::-1], measured.absorbance[::-1, ::-1])
    assert (wbt.grid.resample(backwards).absorbance == expected).all()
    random.shuffle(order)
    shuffled = Sweep(measured.pressure[order], measured.frequency, measured.absorbance[order])
    assert (wbt.grid.resample(shuffled).absorbance == expected).all()


def test_repeated_pressures_are_averaged():
    once = sweep(low=0.2, high=0.8)
    apart = np.tile([0.1, -0.1], 60)[:, None]
    twice = Sweep(np.repeat(once.pressure, 2), once.frequency, np.repeat(once.absorbance, 2, axis=0) + apart)
    grid = WBT().grid
    np.testing.assert_allclose(grid.resample(twice).absorbance, grid.resample(once).absorbance, atol=1e-12)


def test_the_axes_are_the_papers():
    wbt = WBT()
    assert wbt.pressures[0] == 180
    assert wbt.pressures[-1] == -280
    np.testing.assert_allclose(np.diff(wbt.pressures), -460 / 63)
    assert wbt.frequencies[0] == 226
    assert wbt.frequencies[-1] == 4000
    np.testing.assert_allclose(np.diff(np.log(wbt.frequencies)), np.log(4000 / 226) / 63)
    np.testing.assert_allclose(np.diff(WBT(frequency_axis="linear").frequencies), (4000 - 226) / 63)


def test_pressure_lies_along_rows_and_frequency_along_columns(tmp_path):
    measured = sweep()
    rising = np.broadcast_to((measured.pressure[:, None] + 300) / 600, measured.absorbance.shape)
    as_mat(tmp_path / "a.mat", Sweep(measured.pressure, measured.frequency, rising))
    sample = WBT().read(tmp_path / "a.mat")[0]
    np.testing.assert_allclose(sample[0], 480 / 600, atol=1e-6)
    np.testing.assert_allclose(sample[-1], 20 / 600, atol=1e-6)


def test_values_outside_are_clipped_before_they_spread_and_counted(tmp_path):
    measured = sweep(low=0.4, high=0.6)
    measured.absorbance[30, 40] = -249
    measured.absorbance[31, 41] = 1.2
    measured.absorbance[:, -1] = 7  # 8 kHz: beyond the grid, so of no concern
    as_npz(tmp_path / "a.npz", measured)
    wbt = WBT()
    for times in (1, 2):
        sample = wbt.read(tmp_path / "a.npz")
        assert wbt.notes == {"values clipped to [0, 1]": 2 * times}
    assert sample.min() >= 0
    assert sample.max() <= 1
    np.testing.assert_allclose(sample[0], oracle(wbt, measured), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    pressure=st.tuples(st.floats(1, 900), st.floats(-900, -1)),
    frequency=st.tuples(st.floats(10, 1000), st.floats(1001, 30000)),
    axis=st.sampled_from(["log", "linear"]),
    upwards=st.booleans(),
)
def test_what_is_written_is_read_back(tmp_path_factory, seed, size, pressure, frequency, axis, upwards):
    wbt = WBT(size, pressure[::-1] if upwards else pressure, frequency, axis)
    sample = torch.rand(wbt.shape, generator=torch.Generator().manual_seed(seed))
    path = tmp_path_factory.mktemp("written") / f"sample{wbt.suffix}"
    wbt.write(sample, path)
    np.testing.assert_allclose(wbt.read(path), sample, atol=1e-6)
    assert not wbt.notes


def test_the_ends_of_the_range_are_written_and_read(tmp_path):
    wbt = WBT()
    sample = torch.rand(wbt.shape).round()
    wbt.write(sample, tmp_path / "a.csv")
    np.testing.assert_allclose(wbt.read(tmp_path / "a.csv"), sample, atol=1e-6)
    assert not wbt.notes
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0].startswith(r"pressure_daPa\frequency_Hz,226,")
    assert lines[0].endswith(",4000")
    assert lines[1].startswith("180,")
    assert lines[64].startswith("-280,")


@pytest.mark.parametrize("corner", ["", "daPa", "7", "\ufeffPressure", "p / f", "Pressure [daPa] x Frequency [Hz]"])
def test_a_csv_may_have_a_label_of_known_words_in_its_corner(tmp_path, corner):
    measured = sweep()
    as_csv(tmp_path / "a.csv", measured, corner)
    read = read_sweep(tmp_path / "a.csv")
    assert (read.frequency == measured.frequency).all()
    assert read.notes == (() if "Hz" in corner else (NO_UNIT,))


UNKNOWN = ["kPa", "Pa", "hPa", "mbar", "mmH2O", "cmH2O", "mmHg", "psi", "kHz", "octaves", "dB", "percent", "%", "ml"]
UNKNOWN += ["mmho", "reflectance", "Energy Reflectance", "admittance", "compliance", "phase"]


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("word", UNKNOWN)
def test_an_unknown_unit_is_refused_by_name(tmp_path, ending, word):
    measured, path = sweep(), tmp_path / f"a{ending}"
    stated = f"pressure (daPa), frequency (Hz), absorbance ({word})"
    if ending == ".csv":
        as_csv(path, measured, f'"{stated}"')
    else:
        WRITERS[ending](path, measured, Units=stated)
    with pytest.raises(DataError, match=f"states '{word.split()[-1].lower()}|states '{word.split()[0].lower()}"):
        WBT().read(path)


@pytest.mark.parametrize("ending", [".mat", ".MAT", "4.mat", ".npz"])
@pytest.mark.parametrize("name", ["Units", "unit", "PressureUnit", "frequency_units"])
def test_units_are_found_by_name_and_what_is_not_stated_is_noted(tmp_path, ending, name):
    measured, path = sweep(), tmp_path / f"a{ending}"
    given = {key: value for key, value in fields(measured).items() if key != "Units"}

    def save(**stated):
        np.savez(path, **given, **stated) if ending == ".npz" else savemat(
            path, {**given, **stated}, format="4" if ending == "4.mat" else "5"
        )

    wbt = WBT()
    for stated in ({}, {name: "daPa"}, {name: "Hz"}, {name: "absorbance as a ratio"}):
        save(**{key: np.array(value) if ending == ".npz" else value for key, value in stated.items()})
        wbt.read(path)
    assert wbt.notes == {NO_UNIT: 4}
    save(**{name: np.array("daPa; Hz; 1") if ending == ".npz" else "daPa; Hz; 1"})
    wbt.read(path)
    assert wbt.notes == {NO_UNIT: 4}
    save(**{name: np.array([1.0, 2.0])})
    with pytest.raises(DataError, match=f"states units in '{name}', which is not text"):
        wbt.read(path)


def test_units_beside_or_within_a_struct_count(tmp_path):
    measured = sweep()
    for content in (
        {"WBT": fields(measured, Units="kPa")},
        {"WBT": fields(measured), "PressureUnit": "kPa"},
        {"WBT": fields(measured, PressureUnit={"text": "daPa"})},
        {"WBT": fields(measured), "AllUnits": np.array(["kPa", "Hz"], dtype=object)},
    ):
        savemat(tmp_path / "a.mat", content)
        with pytest.raises(DataError, match="states"):
            WBT().read(tmp_path / "a.mat")


@pytest.mark.parametrize("axis", ["Pressure", "Frequency", "Absorbance"])
@pytest.mark.parametrize("code", [-999, 999, -9999, 9999, -99, -32768, 32767, 65535])
@pytest.mark.parametrize("ending", [".mat", ".npz", ".csv"])
def test_codes_of_missing_measurements_are_refused(tmp_path, ending, code, axis):
    measured, path = sweep(), tmp_path / f"a{ending}"
    values = {"Pressure": measured.pressure, "Frequency": measured.frequency, "Absorbance": measured.absorbance}
    changed = values[axis].copy()
    changed.flat[-1 if axis == "Frequency" else 5] = code
    WRITERS[ending](path, measured, **{axis: changed})
    if axis == "Pressure" and code == -99:  # a pressure of a sweep
        WBT().read(path)
    elif axis == "Frequency" and code > 0:  # frequencies, though in an odd order
        WBT(frequency=(226, 900)).read(path)
    else:
        with pytest.raises(DataError, match=r"codes of a missing measurement|goes down to"):
            WBT().read(path)


def test_pressures_of_whole_numbers_are_no_codes(tmp_path):
    pressure = np.arange(200.0, -301.0, -1.0)
    values = np.full((len(pressure), len(FREQUENCIES)), 0.5)
    as_csv(tmp_path / "a.csv", Sweep(pressure, FREQUENCIES, values))
    assert WBT().read(tmp_path / "a.csv").shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda s: {"Pressure": s.pressure / 10}, "seems to be in hPa; multiply it by 10"),
        (lambda s: {"Pressure": s.pressure / 13.3322}, "seems to be in mmHg; multiply it by 13.3322"),
        (lambda s: {"Pressure": s.pressure / 100}, "seems to be in kPa; multiply it by 100"),
        (lambda s: {"Frequency": s.frequency / 1000}, "seems to be in kHz; multiply it by 1000"),
        (lambda _: {"Frequency": np.arange(107)}, "goes down to 0"),
        (lambda _: {"Frequency": np.arange(1, 108)}, "never extrapolated"),
        (lambda s: {"Frequency": np.log10(s.frequency)}, "never extrapolated"),
        (lambda s: {"Absorbance": 100 * s.absorbance**8}, "percent"),
        (lambda s: {"Absorbance": 10 * np.log10(s.absorbance + 1e-3)}, "in dB"),
        (lambda s: {"Absorbance": -30 - 10 * s.absorbance}, "in dB"),
    ],
)
def test_implausible_axes_and_values_name_their_unit(tmp_path, changed, message):
    measured = sweep()
    as_csv(tmp_path / "a.csv", measured, **changed(measured))
    with pytest.raises(DataError, match=message):
        WBT().read(tmp_path / "a.csv")


def test_a_faint_sweep_is_noted(tmp_path):
    as_csv(tmp_path / "a.csv", sweep(high=0.01))
    wbt = WBT()
    wbt.read(tmp_path / "a.csv")
    assert wbt.notes == {"absorbance below 0.05 everywhere": 1}


def test_reads_arrays_on_the_grid(tmp_path):
    sample = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    np.save(tmp_path / "a.npy", sample)
    assert (WBT().read(tmp_path / "a.npy") == sample).all()


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8", "i8", "u8"])
@pytest.mark.parametrize("compressed", [False, True])
def test_reads_matlab_numbers_like_scipy(tmp_path, dtype, compressed):
    from multimodal_vae_wbt.mat import load_mat

    rng = np.random.default_rng(0)
    arrays = {
        "A": (100 * rng.random((3, 5))).astype(dtype),
        "B": np.arange(3, dtype=dtype),
        "C": np.zeros((0, 4), dtype),
        "word": "text",
        "cells": np.array([1, "a"], dtype=object),
        "complex": rng.random(3) + 1j,
        "nested": {"inner": {"value": np.eye(2)}},
        "records": np.array([[(1.0, 2.0)], [(3.0, 4.0)]], dtype=[("first", object), ("second", object)]),
    }
    savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    ours, theirs = load_mat(tmp_path / "a.mat"), loadmat(tmp_path / "a.mat")
    for name in "ABC":
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].dtype == np.float64
    assert ours["cells"] is ours["complex"] is None
    assert ours["word"] == "text"
    np.testing.assert_array_equal(ours["nested"][0]["inner"][0]["value"], np.eye(2))
    assert [record["second"].item() for record in ours["records"]] == [2.0, 4.0]


def test_reads_matlab_files_of_the_other_byte_order(tmp_path):
    from multimodal_vae_wbt.mat import load_mat

    def element(kind, data):
        return np.array([kind, len(data)], ">u4").tobytes() + data + bytes(-len(data) % 8)

    numbers = np.array([1.5, -2.0, 3.25], ">f8").tobytes()
    name = np.array([1 << 16 | 1], ">u4").tobytes() + b"P\0\0\0"  # a short element
    matrix = element(6, np.array([6, 0], ">u4").tobytes()) + element(5, np.array([3, 1], ">i4").tobytes()) + name
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\1\0MI" + element(14, matrix + element(9, numbers)))
    assert load_mat(tmp_path / "a.mat")["P"].tolist() == [[1.5], [-2.0], [3.25]]


@pytest.mark.parametrize("ending", [".mat", ".MAT", ".npz", ".csv"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda s: {"Frequency": s.frequency[None] / 1000}, "Frequency .* 0.226 to .*seems to be in kHz.*by 1000"),
        (lambda s: {"Pressure": s.pressure[:, None] / 100}, "Pressure .* 2.013 daPa .*seems to be in kPa.*by 100"),
        (lambda s: {"Pressure": s.pressure[:, None] * 10}, "Pressure ranges.*if it is in Pa, divide it by 10"),
        (lambda s: {"Pressure": s.pressure[:, None] / 2}, "from -149.2 to 100.65 daPa .* -280 to 180 .*set pressure"),
        (lambda s: {"Frequency": s.frequency[None] * 2}, "Frequency .*from 452 .* 226 to 4000 Hz.*set frequency"),
        (lambda s: {"Frequency": s.frequency[None] - 400}, "Frequency goes down to -174.*exchange the axes"),
        (
            lambda s: {"Absorbance": s.absorbance * 100},
            "Absorbance has 5 % of its values above .*percent, divide it by 100",
        ),
        (lambda s: {"Absorbance": np.where(s.absorbance > 0.999, np.nan, s.absorbance)}, "not finite, the first at"),
        (lambda s: {"Pressure": np.where(s.pressure > 200, np.inf, s.pressure)[:, None]}, "Pressure holds 1 value"),
    ],
)
def test_wrong_values_are_explained(tmp_path, ending, changed, message):
    measured, path = sweep(), tmp_path / f"a{ending}"
    WRITERS[ending](path, measured, **changed(measured))
    with pytest.raises(DataError, match=message):
        WBT().read(path)


@pytest.mark.parametrize("ending", [".mat", ".MAT", "4.mat", ".npz"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda s: {"Absorbance": s.absorbance.T}, r"Absorbance has the shape \(107, 60\).*\(60, 107\); transpose it"),
        (lambda s: {"Absorbance": s.absorbance[:50]}, r"Absorbance has the shape \(50, 107\).*\(60, 107\)$"),
        (lambda s: {"Pressure": s.pressure[:1]}, "Pressure has 1 value; a sweep has at least 2 pressures"),
        (lambda s: {"Frequency": s.frequency[:1]}, "Frequency has 1 value; a sweep has at least 2 frequencies"),
        (lambda s: {"Pressure": s.pressure.reshape(6, 10)}, r"Pressure has the shape \(6, 10\)"),
        (lambda s: {"Pressure": s.pressure[:, None] + 1j}, "Pressure is not an array of real numbers"),
        (lambda s: {"Pressure": s.pressure[:0, None]}, "Pressure has 0 values"),
    ],
)
def test_wrong_shapes_are_explained(tmp_path, ending, changed, message):
    measured, path = sweep(), tmp_path / f"a{ending}"
    WRITERS[ending](path, measured, **changed(measured))
    with pytest.raises(DataError, match=message):
        WBT().read(path)


@pytest.mark.parametrize("missing", ["Pressure", "Frequency", "Absorbance"])
def test_a_missing_field_is_named(tmp_path, missing):
    given = {name: value for name, value in fields(sweep()).items() if name != missing}
    savemat(tmp_path / "struct.mat", {"WBT": given})
    savemat(tmp_path / "variables.mat", given)
    np.savez(tmp_path / "arrays.npz", **given)
    for path in tmp_path.iterdir():
        with pytest.raises(DataError, match=rf"has no {missing}; a sweep has .* this file has "):
            WBT().read(path)


def test_several_sweeps_in_a_file_are_refused(tmp_path):
    given = fields(sweep())
    record = np.array([tuple(given.values())], dtype=[(name, object) for name in given])
    savemat(tmp_path / "a.mat", {"WBT": np.concatenate([record] * 5)})
    with pytest.raises(DataError, match="holds 5 sweeps in the struct array 'WBT'; save each in its own file"):
        WBT().read(tmp_path / "a.mat")
    savemat(tmp_path / "a.mat", {"Left": given, "Right": given})
    with pytest.raises(DataError, match=r"holds 2 sweeps \(Left, Right\); save each in its own file"):
        WBT().read(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no numbers"),
        (b"p,226,4000\n180,0.5\n", "has 3 names in its first row and 2 columns below"),
        (b"p,226,4000\n180,0.5,high\n", "line 2 has 'high', which is not a number"),
        (b"p,226,4000\n180,,0.5\n-280,1,1\n", "Absorbance holds 1 value that is not finite, .* at 180 daPa and 226 Hz"),
        (b"p,226,4000\n", "holds no numbers"),
        (b"p,226,4000\n180,0.5,0.5\n", "Pressure has 1 value"),
        (b"p\n180\n-280\n", "Frequency has 0 values"),
        (b"p,180,-280\n226,0.5,0.5\n4000,0.5,0.5\n", "Frequency goes down to -280 .*exchange the axes"),
        (b"\xff\xfe\x00\x01", "holds no numbers"),
    ],
)
def test_wrong_csv_is_explained(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=message):
        WBT().read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"ends in '.txt'; a sweep is read from .mat, .csv, .npz"),
        ("a.mat", b"", "is no MATLAB file"),
        ("a.mat", b"PK\3\4" + bytes(500), "is no MATLAB file"),
        ("a.mat", bytes(500), "damaged MATLAB file"),
        ("a.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(500), "version 7.3.*'-v7'"),
        ("a.npz", b"text", "npz"),
        ("a.npz", b"PK\3\4", "npz"),
        ("a.npz", b"", "npz"),
    ],
)
def test_foreign_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        WBT().read(tmp_path / name)


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **fields(sweep(), Pressure=np.array([{"an": "object"}], dtype=object)))
    with pytest.raises(DataError, match="npz"):
        WBT().read(tmp_path / "a.npz")


@pytest.mark.parametrize("ending", [".mat", ".csv", ".npz"])
def test_a_missing_file_is_left_to_the_caller(tmp_path, ending):
    with pytest.raises(FileNotFoundError):
        WBT().read(tmp_path / f"nowhere{ending}")


DAMAGED = {}
for _ending, _writer in WRITERS.items():
    _file = io.BytesIO()
    if _writer is not as_csv:
        _writer(_file, sweep(count=5))
        DAMAGED[_ending] = _file.getvalue()


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(DAMAGED)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from([1, 0.05]),
)
def test_a_damaged_file_is_an_error_or_a_sample(tmp_path_factory, ending, wrong, cut, reach):
    content = bytearray(DAMAGED[ending])
    for place, byte in wrong:
        content[int(place * reach * len(content))] = byte
    path = tmp_path_factory.getbasetemp() / f"damaged{ending}"
    path.write_bytes(content[: int(cut * len(content))] if cut is not None else content)
    try:
        sample = WBT().read(path)
    except DataError:
        return
    assert sample.shape == (1, 64, 64)
    assert np.isfinite(sample).all()


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    import multimodal_vae_wbt.mat

    as_variables(tmp_path / "a.mat", sweep(low=0.5, high=0.5))
    monkeypatch.setattr(multimodal_vae_wbt.mat, "MOST_BYTES", 20_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        WBT().read(tmp_path / "a.mat")


@pytest.fixture
def batch():
    return 0.1 + 0.9 * torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("erase_target", "method"), [(False, "corrupt"), (True, "augment")])
def test_erases_by_seed_and_leaves_its_input(batch, erase_target, method):
    wbt = WBT(size=(32, 32), erase=0.5, erase_target=erase_target)
    change, other = getattr(wbt, method), getattr(wbt, {"corrupt": "augment", "augment": "corrupt"}[method])
    assert other(batch) is batch
    before, results = batch.clone(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(change(batch))
    assert torch.equal(batch, before)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    erased = (results[0] != batch).flatten(1).any(1)
    assert 15 < erased.sum() < 49
    assert ((results[0] == batch) | (results[0] == 0)).all()
    assert change(batch[:0]).shape == (0, 1, 32, 32)


@pytest.mark.parametrize("erase_target", [False, True])
def test_probability_zero_changes_nothing_and_one_everything(batch, erase_target):
    for erase in (0, 1):
        wbt = WBT(size=(32, 32), erase=erase, erase_target=erase_target)
        changed = wbt.corrupt(wbt.augment(batch))
        assert ((changed == 0).flatten(1).any(1) == bool(erase)).all()


def test_plot_says_what_it_shows(tmp_path):
    mpl.use("agg")
    for wbt in (WBT(), WBT(frequency_axis="linear"), WBT(size=(5, 4), frequency=(1100, 1900))):
        figure = Figure()
        ax = figure.add_subplot()
        wbt.plot(torch.rand(wbt.shape), ax)
        figure.savefig(tmp_path / "plot.png")
        assert ax.get_xlabel() == "frequency (Hz)"
        assert ax.get_ylabel() == "pressure (daPa)"
        assert ax.get_xscale() == "log"
        assert ax.get_ylim() == (min(wbt.grid.pressure), max(wbt.grid.pressure))
        assert ax.collections[0].get_clim() == (0, 1)
        labels = [label.get_text() for label in ax.get_xticklabels()]
        assert labels == (["226", "500", "1000", "2000", "4000"] if wbt.shape[1] == 64 else ["1100", "1900"])


def test_has_the_papers_networks():
    wbt = WBT()
    assert sum(p.numel() for p in wbt.encoder().parameters()) == 8_616_704
    assert sum(p.numel() for p in wbt.decoder(128).parameters()) == 9_533_297


@pytest.mark.parametrize("network", ["residual", "compact"])
def test_networks_fit_the_shape(network):
    wbt = WBT(size=(32, 20), width=4, network=network)
    decoded = wbt.decoder(5)(torch.zeros(2, 5))
    assert wbt.encoder()(torch.zeros(2, *wbt.shape)).shape[0] == 2
    assert wbt.observe(decoded).shape == (2, 1, 32, 20)
    target = torch.rand(2, 1, 32, 20)
    loss = wbt.reconstruction_loss(decoded, target)
    expected = torch.nn.functional.binary_cross_entropy(torch.sigmoid(decoded), target, reduction="none")
    torch.testing.assert_close(loss, expected.mean((1, 2, 3)))


def test_configuration_is_complete_and_comes_back(batch):
    wbt = WBT()
    assert wbt.configuration == {
        "name": "wbt",
        "size": [64, 64],
        "pressure": [180.0, -280.0],
        "frequency": [226.0, 4000.0],
        "frequency_axis": "log",
        "width": 64,
        "network": "residual",
        "loss": {"bce": 1.0},
        "erase": 0.5,
        "erase_target": False,
    }
    wbt.corrupt(batch)  # a copy must survive what erasing keeps
    assert WBT.of(wbt.configuration).configuration == WBT.of(wbt).configuration == wbt.configuration


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pressure": (10, 10)}, "'wbt': pressure runs from 10 to itself"),
        ({"frequency": (4000, 226)}, "'wbt': frequency runs from 4000 to 226"),
        ({"frequency": (0, 226)}, "'wbt': frequency runs from 0"),
        ({"pressure": (float("nan"), 1)}, "'pressure'"),
        ({"size": (1, 64)}, "'size'"),
        ({"frequency_axis": "octaves"}, "'frequency_axis'"),
        ({"erase": 2}, "'erase'"),
        ({"pressures": 64}, "no setting 'pressures'; did you mean 'pressure'"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        WBT(**wrong)


def test_importing_and_training_raise_no_warning():
    code = (
        "import sys, torch; from multimodal_vae_wbt import WBT; w = WBT(size=(16, 16));"
        "assert 'scipy.io' not in sys.modules;"
        "torch.set_num_threads(1); w.corrupt(w.augment(torch.rand(2, 1, 16, 16)))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_a_grid_reads_its_own_ends_only():
    grid = Grid((2, 2), (1.0, -1.0), (100.0, 1000.0), "log")
    assert grid.pressures.tolist() == [1, -1]
    with pytest.raises(DataError, match="never extrapolated"):
        grid.resample(Sweep(np.array([0.99, -1]), np.array([100.0, 1000]), np.zeros((2, 2))))
    assert grid.resample(Sweep(np.array([1 - 1e-7, -1]), np.array([100.0, 1000]), np.ones((2, 2)))).absorbance.all()
