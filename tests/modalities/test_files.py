"""Reading arrays, tables and cells, valid and damaged."""

import io
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import multimodal_vae as mv
from multimodal_vae.modalities.base import load_arrays, read_table


@pytest.fixture
def signal():
    return mv.Signal(length=4, channels=2, width=8)


@pytest.fixture
def values():
    return np.arange(8, dtype=np.float32).reshape(2, 4)


def test_a_signal_comes_from_npy_npz_and_csv_alike(signal, values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", anything=values)
    np.savetxt(tmp_path / "a.csv", values.T, delimiter=",")
    np.savetxt(tmp_path / "b.csv", values.T, delimiter=",", header="left,right", comments="")
    for name in ("a.npy", "a.npz", "a.csv", "b.csv"):
        read = signal.read(tmp_path / name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)


def damaged(folder):
    whole = folder / "whole.npz"
    np.savez(whole, x=np.zeros((2, 4)))
    zipped = whole.read_bytes()
    np.save(folder / "whole.npy", np.zeros((2, 4)))
    plain = (folder / "whole.npy").read_bytes()
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "words.npy", np.array(["a", "b"]))
    np.savez(folder / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(folder / "empty.npz", "w"):
        pass
    with zipfile.ZipFile(folder / "foreign.npz", "w") as archive:
        archive.writestr("x.npy", "no array")
    files = {
        "cut.npz": zipped[: len(zipped) // 2],
        "altered.npz": zipped.replace(b"\0" * 16, b"\1" * 16, 1),
        "plain.npz": plain,
        "nothing.npz": b"",
        "cut.npy": plain[:-8],
        "short.npy": plain[:20],
        "zipped.npy": zipped,
        "cut zip.npy": zipped[: len(zipped) // 2],
        "nothing.npy": b"",
        "text.npy": b"1,2,3",
        "latin.csv": "température\n1\n2\n".encode("latin-1"),
        "words.csv": b"a,b\n1,2\nthree,4\n",
        "ragged.csv": b"1,2\n3\n",
        "header.csv": b"a,b\n",
        "nothing.csv": b"",
        "quote.csv": b'1,"2\n3,4\n',
        "nul.csv": b"1,2\n\0,4\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted([*files, "objects.npy", "words.npy", "objects.npz", "empty.npz", "foreign.npz"])


NAMES = [
    "altered.npz", "cut zip.npy", "cut.npy", "cut.npz", "empty.npz", "foreign.npz", "header.csv", "latin.csv",
    "nothing.csv", "nothing.npy", "nothing.npz", "nul.csv", "objects.npy", "objects.npz", "plain.npz", "quote.csv",
    "ragged.csv", "short.npy", "text.npy", "words.csv", "words.npy", "zipped.npy",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_a_data_error_in_one_line(signal, tmp_path, name):
    assert damaged(tmp_path) == NAMES
    with pytest.raises(mv.DataError) as caught:
        signal.read(tmp_path / name)
    assert "\n" not in str(caught.value)


whole = io.BytesIO()
np.save(whole, np.arange(8.0).reshape(2, 4))
packed = io.BytesIO()
np.savez_compressed(packed, signal=np.arange(8.0).reshape(2, 4))


@settings(max_examples=300)
@given(
    st.sampled_from([("a.npy", whole.getvalue()), ("a.npz", packed.getvalue())]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
def test_bytes_that_were_altered_are_a_sample_or_a_data_error(tmp_path_factory, file, wrong, kept):
    name, content = file
    altered = bytearray(content)
    for place, value in wrong:
        altered[int(place * len(altered))] = value
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(altered[: round(kept * len(altered))] if kept < 0.5 else altered)
    signal, said = mv.Signal(length=4, channels=2), ""
    try:
        with np.errstate(over="ignore"):  # as the caller does, which then refuses infinite values
            assert signal.read(path).dtype == np.float32
    except mv.DataError as error:
        said = str(error)
    assert "\n" not in said


def test_complex_numbers_do_not_lose_a_half_in_silence(signal, tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 4), 1 + 2j))
    with pytest.raises(mv.DataError):
        signal.read(tmp_path / "a.npy")


def test_a_table_names_the_line_at_fault(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,four\n", "utf-8")
    with pytest.raises(mv.DataError, match=r"line 3.*four"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("1,2\n3\n", "utf-8")
    with pytest.raises(mv.DataError, match="line 2 has 1 cells, but the lines above have 2"):
        read_table(tmp_path / "a.csv")


def test_a_table_may_have_a_byte_order_mark_blank_lines_and_empty_cells(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffx,y\n\n1,\n3,4\n", "utf-8")
    np.testing.assert_array_equal(read_table(tmp_path / "a.csv"), [[1, np.nan], [3, 4]])


def test_arrays_of_an_npz_come_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.ones(2), b=np.array(["x"]))
    assert set(load_arrays(tmp_path / "a.npz")) == {"a", "b"}


@pytest.mark.parametrize("kind", ["read_table", "load_arrays"])
def test_a_missing_file_stays_a_missing_file(tmp_path, kind):
    with pytest.raises(FileNotFoundError):
        {"read_table": read_table, "load_arrays": load_arrays}[kind](tmp_path / "nothing")


@pytest.mark.parametrize("cell", ["1 2 three", "1,2,3", "x"])
def test_a_vectors_cell_that_is_not_all_numbers_is_quoted(cell):
    with pytest.raises(mv.DataError, match=f"'{cell}'.*3 numbers with decimal points, separated by spaces"):
        mv.Vector(size=3).read(cell)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_a_vectors_cell_keeps_the_digits_of_float32_in_any_unit(scale):
    part = mv.Vector(size=3)
    sample = torch.tensor([1.2345678, -9.8765432, 0.0]) * scale
    torch.testing.assert_close(torch.as_tensor(part.read(part.format(sample))), sample, rtol=1e-6, atol=0)


def test_a_category_is_a_row_with_a_single_one():
    part = mv.Categorical(categories=["left", "right", "both"])
    assert part.read("right").tolist() == [0, 1, 0]
    assert part.format(torch.tensor([0.2, 0.3, 0.5])) == "both"


def test_an_unknown_category_is_answered_with_the_near_one():
    with pytest.raises(mv.DataError, match=r"'rihgt'.*did you mean 'right'"):
        mv.Categorical(categories=["left", "right"]).read("rihgt")


def test_the_noise_of_a_signal_starts_as_the_deviation_of_each_channel():
    # One channel is in millivolts, the other in volts.
    part = mv.Signal(length=50, channels=2, width=8)
    encoder, decoder = part.encoder(), part.decoder(3)
    torch.manual_seed(0)
    samples = torch.randn(30, 2, 50) * torch.tensor([[1000.0], [1.0]])
    part.calibrate(encoder, decoder, samples)
    value, deviation = decoder(torch.zeros(30, 3)).unbind(1)
    torch.testing.assert_close(deviation, samples.std((0, 2), correction=0)[:, None].expand_as(samples))
    expected = -stats.norm.logpdf(samples, value.detach(), deviation.detach()).mean((1, 2))
    loss = part.reconstruction_loss(torch.stack([value, deviation], 1), samples)
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-5)
