"""Signals and vectors hold measurements: no index, no clock, no code, and one order of channels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.measurements import CODES, check_order, gaps_as_nan, is_clock, order_note

WAVES = np.stack([np.sin(np.arange(32) / 3), np.cos(np.arange(32) / 5)])


def table(path, header, columns, separator=","):
    rows = [separator.join(f"{value:.12g}" for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header] * bool(header) + rows) + "\n", "utf-8")
    return path


@pytest.mark.parametrize("header", ["", "time_s,a", ",a", "Unnamed: 0,a", "index,a", "t,a", "a,b", '"",a', "Zeit,a"])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (1, 1), (0, 0.002), (1e9, 2), (5, 1 / 3)])
def test_an_index_or_a_clock_is_no_channel(tmp_path, header, start, step):
    clock = start + step * np.arange(32)
    with pytest.raises(mv.DataError, match=r"a first column .* as an index or a clock does; remove it"):
        mv.Signal(length=32, channels=2).read(table(tmp_path / "a.csv", header, [clock, WAVES[0]]))


def test_a_column_without_a_name_is_no_channel(tmp_path):
    path = table(tmp_path / "a.csv", ",a", WAVES)
    with pytest.raises(mv.DataError, match="a first column without a name"):
        mv.Signal(length=32, channels=2).read(path)


@pytest.mark.parametrize("columns", [[np.arange(32.0)], [np.arange(32.0), 3 * np.arange(32.0)], list(WAVES)])
def test_signals_that_rise_are_read(tmp_path, columns):
    for header in ("", ",".join("ab"[: len(columns)])):
        path = table(tmp_path / "a.csv", header, columns)
        np.testing.assert_allclose(mv.Signal(length=32, channels=len(columns)).read(path), columns, atol=1e-6)


def saved(path, array):
    if path.suffix == ".csv":
        table(path, "a,b", array)
    elif path.suffix == ".npz":
        np.savez(path, x=array)
    else:
        np.save(path, array)
    return path


@pytest.mark.parametrize("ending", ["csv", "npz", "npy"])
@pytest.mark.parametrize("code", [sign * code for code in CODES for sign in (1, -1)])
@pytest.mark.parametrize("place", [slice(4, 9), slice(0, 1), slice(31, 32), slice(0, 32)])
def test_codes_of_missing_samples_are_refused(tmp_path, ending, code, place):
    signal = WAVES.copy()
    signal[1, place] = code
    with pytest.raises(mv.DataError, match=r"jumps to .* and back, a code of missing samples"):
        mv.Signal(length=32, channels=2).read(saved(tmp_path / f"a.{ending}", signal))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(CODES))
def test_a_signal_that_passes_a_code_is_read(seed, code):
    walk = np.cumsum(np.random.default_rng(seed).normal(0, code / 100, 400))
    walk += code - walk[200]
    np.testing.assert_array_equal(gaps_as_nan(walk[None]), walk[None])


def manifest(folder, names):
    rows = ["sample_id,label,x", *(f"{n},{'ab'[n % 2]},{name}" for n, name in enumerate(names))]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "manifest.csv"


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("other", ["b,a", "a,c", "a [mV],b", "b", ""])
def test_columns_have_one_order(tmp_path, other, cache):
    table(tmp_path / "a.csv", "a,b", WAVES)
    table(tmp_path / "b.csv", other if "," in other else "", WAVES)
    path, signal = manifest(tmp_path, ["a.csv", "b.csv", "a.csv"]), mv.Signal(length=32, channels=2, width=4)
    if "," in other:
        with pytest.raises(mv.DataError, match=r"the first columns differ between files: a, b \(2 samples\)"):
            mv.MultimodalDataset.from_manifest(path, {"x": signal}, cache=cache)
    else:  # a file that names no columns agrees with every other
        data = mv.MultimodalDataset.from_manifest(path, {"x": signal}, cache=cache)
        assert data.notes["x"] == {"columns by their order in the file: a, b": 2}


def test_many_names_make_a_short_note():
    note = order_note("columns", [f"{n}" * 100 for n in range(1000)])
    assert len(note) < 9000
    assert note.endswith(" and 900 more")
    check_order({note: 3, "another note": 1}, "columns", "advice")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_short_column_is_no_clock(count):
    assert not is_clock(np.arange(float(count)))


@pytest.mark.parametrize("code", [-999, 999, -9999, 32767, -32768])
def test_codes_in_a_vector_are_noted(tmp_path, code):
    values, path = mv.Vector(size=2), mv.Vector(size=2, cell="path")
    np.save(tmp_path / "a.npy", np.array([1.5, code]))
    for vector, cell in ((values, f"1.5 {code}"), (path, tmp_path / "a.npy"), (values, "1 2")):
        vector.read(cell)
    note = "numbers that may be codes of missing measurements, such as -999"
    assert (values.notes, path.notes) == ({note: 1}, {note: 1})


@pytest.mark.parametrize("cell", ["1,5 2", "1;2", "5 mg", "1.5.2020 3", "1/2 3", "\N{VULGAR FRACTION ONE HALF} 1"])
def test_words_are_no_numbers(cell):
    with pytest.raises(mv.DataError, match="2 numbers with decimal points, separated by spaces"):
        mv.Vector(size=2).read(cell)


@pytest.mark.parametrize("number", ["1e39", "-1e300", "1e999"])
def test_numbers_beyond_32_bits_are_not_finite(tmp_path, number):
    (tmp_path / "a.csv").write_text(f"{number}\n1\n", "utf-8")
    np.save(tmp_path / "a.npy", np.array([float(number), 1.0]))
    read = [mv.Vector(size=2).read(f"{number} 1"), mv.Signal(length=2).read(tmp_path / "a.csv")[0]]
    read += [mv.Signal(length=2).read(tmp_path / "a.npy")[0]]
    assert not any(np.isfinite(values[0]) for values in read)
