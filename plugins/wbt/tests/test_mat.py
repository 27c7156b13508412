"""MATLAB files of strangers: other variables do not matter, and no size that a file claims is believed."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import eye_array

from multimodal_vae import DataError
from multimodal_vae_wbt import read_sweep
from multimodal_vae_wbt.mat import load_mat

NAMES = ("pressure", "frequency", "absorbance")
PRESSURE, FREQUENCY = np.linspace(-300, 200, 5), np.geomspace(226, 8000, 7)
ABSORBANCE = np.random.default_rng(0).random((5, 7))
SWEEP = {"Pressure": PRESSURE, "Frequency": FREQUENCY, "Absorbance": ABSORBANCE}
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, name, *parts, shape=(1, 1)):
    sizes = element(5, struct.pack(f"<{len(shape)}i", *shape)) if shape else b""
    return element(14, element(6, struct.pack("<II", kind, 0)) + sizes + element(1, name) + b"".join(parts))


def numbers(name, values, shape):
    return matrix(6, name, element(9, np.asarray(values, "<f8").tobytes()), shape=shape)


def sweep_as_variables():
    return (
        numbers(b"Pressure", PRESSURE, (5, 1))
        + numbers(b"Frequency", FREQUENCY, (1, 7))
        + numbers(b"Absorbance", ABSORBANCE.ravel("F"), (5, 7))
    )


def fields(length, *names):
    return element(5, struct.pack("<i", length)) + element(1, b"".join(name.ljust(length, b"\0") for name in names))


def packed(content):
    data = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(data)) + data


def mat(folder, content):
    (folder / "a.mat").write_bytes(HEADER + content)
    return folder / "a.mat"


def same(sweep):
    np.testing.assert_array_equal(sweep.pressure, PRESSURE)
    np.testing.assert_array_equal(sweep.frequency, FREQUENCY)
    np.testing.assert_array_equal(sweep.absorbance, ABSORBANCE)


def nested(levels):
    value = 1.0
    for _ in range(levels):
        value = {"a": value}
    return value


SAVED = {
    "text": "left ear",
    "texts": np.array(["a", "bcd"]),
    "cells": np.array([1.0, "a", {"b": 1}], dtype=object),
    "empty cell": np.empty((0, 0), object),
    "empty": np.zeros((0, 0)),
    "sparse": eye_array(3, format="csc"),
    "logical": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "many dimensions": np.zeros((2, 1, 3, 1, 2)),
    "struct": {"inner": {"word": "text", "value": 1}},
    "deep": nested(20),
    "records": np.array([[(1.0, "a")], [(2.0, "b")]], dtype=[("first", object), ("second", object)]),
    "characters": "Größe µ",
}


def beside(value):
    """Return the variables of a sweep with another one before and after."""
    return {"Other": value, **SWEEP}, {**SWEEP, "Other": value}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", SAVED)
def test_other_variables_do_not_matter(tmp_path, kind, compressed):
    for variables in beside(SAVED[kind]):
        for content in (variables, {"WBT": variables, "Other": SAVED[kind]}):
            savemat(tmp_path / "a.mat", content, do_compression=compressed)
            same(read_sweep(tmp_path / "a.mat"))


@pytest.mark.parametrize("kind", ["text", "texts", "empty", "sparse", "complex", "characters"])
def test_other_variables_of_version_4_do_not_matter(tmp_path, kind):
    for variables in beside(SAVED[kind]):
        savemat(tmp_path / "a.mat", variables, format="4")
        same(read_sweep(tmp_path / "a.mat"))


RAW = {
    # As MATLAB writes strings, tables and other new classes: no sizes, and data in a variable without a name.
    "opaque": matrix(17, b"s", element(1, b"MCOS"), element(1, b"string"), numbers(b"", [1.0], (1, 1)), shape=())
    + matrix(9, b"", element(2, bytes(64)), shape=(1, 64)),
    "function": matrix(16, b"f", matrix(4, b"", element(4, b"a\0"))),
    "object": matrix(3, b"o", element(1, b"inline"), fields(8, b"a"), numbers(b"", [1.0], (1, 1))),
    "unknown class": matrix(99, b"u", element(2, bytes(8))),
    "empty field": matrix(2, b"e", fields(8, b"a", b"b"), element(14, b""), numbers(b"", [1.0], (1, 1))),
    "no fields": matrix(2, b"n", element(5, struct.pack("<i", 8)), element(1, b"")),
    "a million empty records": matrix(2, b"m", fields(8, b""), shape=(1000, 1000)),
    "other elements": element(1, b"no variable") + element(9, bytes(80)),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", RAW)
def test_variables_that_only_matlab_writes_do_not_matter(tmp_path, kind, compressed):
    pack = packed if compressed and kind not in ("opaque", "other elements") else bytes
    for content in (pack(RAW[kind]) + sweep_as_variables(), sweep_as_variables() + pack(RAW[kind])):
        same(read_sweep(mat(tmp_path, content)))


def records(name, count, *parts):
    return matrix(2, name, fields(11, *(each.encode() for each in NAMES)), *parts, shape=(1, count))


def deep(levels):
    content = numbers(b"", [1.0], (1, 1))
    for _ in range(levels):
        content = matrix(2, b"", fields(8, b"a"), content)
    return matrix(2, b"d", fields(8, b"a"), content)


HOSTILE = {
    "a struct of 2^31 records": records(b"s", 2**31 - 1),
    "a struct of 2^62 records": matrix(2, b"s", fields(11, b"Pressure"), shape=(2**31 - 1, 2**31 - 1)),
    "a struct of records below none": matrix(2, b"s", fields(11, b"Pressure"), shape=(-1, 2**31 - 1)),
    "a struct whose names have no length": matrix(2, b"s", fields(0, b""), shape=(1, 2**31 - 1)),
    "many structs": matrix(2, b"s", fields(1, *[b"a"] * 20), *[element(14, b"")] * 20_000, shape=(1, 1000)) * 3,
    "an array of 2^31 numbers": matrix(6, b"Pressure", element(9, bytes(8)), shape=(2**31 - 1, 1)),
    "an array below none": matrix(6, b"Pressure", element(9, bytes(8)), shape=(-1, -1)),
    "an array of many dimensions": matrix(6, b"Pressure", element(9, bytes(8)), shape=(1,) * 100),
    "an element of 4 GB": struct.pack("<II", 14, 2**32 - 1),
    "an element within itself": struct.pack("<II", 14, 8) * 1000,
    "200,000 levels": deep(12) * 20,
    "a bomb": packed(matrix(6, b"Pressure", element(9, bytes(1 << 27)), shape=(1 << 24, 1))),
    "many bombs": packed(matrix(6, b"x", element(9, bytes(1 << 24)), shape=(1 << 21, 1))) * 9,
    "a bomb of a bomb": packed(packed(bytes(1 << 26))),
    "many numbers": packed(matrix(9, b"Pressure", element(2, bytes((1 << 21) + 1)), shape=(1, (1 << 21) + 1))),
    "many variables": matrix(6, b"x", element(9, b"")) * 40_000,
    "many elements": element(1, b"") * 40_000,
    "an unknown type of numbers": matrix(6, b"Pressure", element(77, bytes(8))),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_claimed_size_is_believed(tmp_path, kind):
    with pytest.raises(DataError, match=r"damaged MATLAB file|more than|has no Pressure"):
        read_sweep(mat(tmp_path, HOSTILE[kind]))


@pytest.mark.parametrize(
    ("form", "rows", "columns", "length"),
    [(0, 2**31 - 1, 2**31 - 1, 2), (0, -1, 5, 2), (0, 1, 1, 2**31 - 1), (0, 1, 1, 0), (60, 1, 1, 2), (3, 1, 1, 2)],
)
def test_no_size_in_version_4_is_believed(tmp_path, form, rows, columns, length):
    (tmp_path / "a.mat").write_bytes(struct.pack("<5i", form, rows, columns, 0, length) + b"P\0" + bytes(64))
    with pytest.raises(DataError, match=r"damaged MATLAB file"):
        read_sweep(tmp_path / "a.mat")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("code", "dtype"), [(0, "f8"), (10, "f4"), (20, "i4"), (30, "i2"), (40, "u2"), (50, "u1")])
def test_every_type_and_byte_order_of_version_4(tmp_path, order, code, dtype):
    values = np.arange(12).reshape(3, 4)
    form = code + (0 if order == "<" else 1000)
    head = struct.pack(f"{order}5i", form, 3, 4, 0, 2)
    (tmp_path / "a.mat").write_bytes(head + b"P\0" + values.astype(order + dtype).tobytes(order="F"))
    np.testing.assert_array_equal(load_mat(tmp_path / "a.mat")["P"], values)


PARTS = st.one_of(
    st.binary(max_size=40),
    st.builds(element, st.integers(0, 20), st.binary(max_size=40)),
    st.builds(numbers, st.sampled_from([b"Pressure", b"x", b""]), st.just([1.0, 2.0]), st.just((1, 2))),
    st.builds(fields, st.integers(-1, 12), st.just(b"a")),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda kind, shape, parts, compressed: (packed if compressed else bytes)(
                matrix(kind, b"Pressure", *parts, shape=shape)
            ),
            st.integers(0, 20),
            st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
            st.lists(PARTS, max_size=4),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_any_file_is_read_or_refused(tmp_path_factory, variables):
    path = mat(tmp_path_factory.getbasetemp(), b"".join(variables))
    try:
        read = load_mat(path, lambda name: name.lower() in NAMES)
    except DataError:
        return
    assert all(value is None or isinstance(value, (list, str, np.ndarray)) for value in read.values())
