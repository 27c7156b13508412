import csv
import io
import json
import os
import pickle
import socket
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.files import (
    csv_row,
    csv_text,
    is_reserved_name,
    new_folder,
    open_regular,
    read_json,
    read_regular,
    read_tensors,
    require_vacant,
    split_csv_row,
    write_bytes,
    write_json,
    write_tensors,
)
from multimodal_vae.formulas import quote_formula, unquote_formula

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.tensor(3), "empty": torch.zeros(0, 2)}


def test_tensors_and_their_facts_come_back(tmp_path):
    write_tensors(tmp_path / "x.safetensors", TENSORS, {"fact": "ä"})
    tensors, facts = read_tensors(tmp_path / "x.safetensors")
    assert facts == {"fact": "ä"}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], x) and tensors[name].dtype == x.dtype for name, x in TENSORS.items())


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    for name in ("x", "y"):
        write_tensors(tmp_path / name, TENSORS, {"fact": "1"})
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_tensors_that_are_views_transposed_or_need_gradients_are_written(tmp_path):
    whole = torch.arange(6.0).reshape(2, 3).requires_grad_()
    write_tensors(tmp_path / "x", {"row": whole[1], "turned": whole.T, "whole": whole}, {})
    tensors, _ = read_tensors(tmp_path / "x")
    assert torch.equal(tensors["turned"], whole.T)
    assert torch.equal(tensors["row"], whole[1])


@pytest.mark.parametrize("damage", ["cut", "header", "pickle", "empty", "text", "folder", "missing"])
def test_a_damaged_file_of_tensors_is_one_line(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {})
    content = path.read_bytes()
    if damage in ("folder", "missing"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    else:
        ruin = {
            "cut": content[:-4],
            "header": content[:20],
            "pickle": pickle.dumps({"a": 1}),
            "empty": b"",
            "text": b"weights",
        }
        path.write_bytes(ruin[damage])
    with pytest.raises(mv.RunError, match=r"x\.safetensors") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_reading_runs_no_code_from_a_file(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    torch.save({"a": Bomb()}, tmp_path / "x.safetensors")
    with pytest.raises(mv.RunError):
        read_tensors(tmp_path / "x.safetensors")
    assert not (tmp_path / "boom").exists()


def test_json_comes_back_and_damage_is_one_line(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"ä": [1, 2]})
    assert read_json(path, dict[str, list[int]]) == {"ä": [1, 2]}
    for content in ("{", "", "[]", '{"ä": 1}', '{"ä": [1, "two"]}'):
        path.write_text(content, "utf-8")
        with pytest.raises(mv.RunError, match=r"x\.json is damaged") as caught:
            read_json(path, dict[str, list[int]])
        assert "\n" not in str(caught.value)
    with pytest.raises(mv.RunError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json", dict)


def test_writing_replaces_and_leaves_nothing_beside(tmp_path):
    for content in (b"one", b"two"):
        write_bytes(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_place_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    for write in (lambda path: write_bytes(path, b""), lambda path: new_folder(path).__enter__()):
        with pytest.raises(mv.RunError, match="cannot be written"):
            write(tmp_path / "file" / "x" / "y")


def test_a_new_folder_takes_its_place_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "x").write_text("1", "utf-8")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "x").read_text("utf-8") == "1"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_new_folder_vanishes_if_its_block_fails(tmp_path):
    def fail():
        with new_folder(tmp_path / "b") as folder:
            (folder / "x").write_text("1", "utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_new_folder_may_take_the_place_of_an_empty_one(tmp_path):
    (tmp_path / "b").mkdir()
    with new_folder(tmp_path / "b") as folder:
        (folder / "x").write_text("1", "utf-8")
    assert (tmp_path / "b" / "x").exists()


def test_a_taken_place_is_refused(tmp_path):
    require_vacant(tmp_path)
    require_vacant(tmp_path / "nothing")
    (tmp_path / "x").write_text("", "utf-8")
    for taken in (tmp_path, tmp_path / "x"):
        with pytest.raises(mv.RunError, match="already exists"):
            require_vacant(taken)


def test_a_regular_file_is_read_also_through_a_link(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "link").symlink_to("x")
    for name in ("x", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
        assert read_regular(tmp_path / name, 7) == b"content"


def test_a_place_without_a_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to a pipe").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, words in (
            ("pipe", "it is a pipe, not a file"),
            ("to a pipe", "it is a pipe, not a file"),
            ("folder", "it is a folder, not a file"),
            ("device", "it is a device, not a file"),
            ("socket", "it is a socket, not a file"),
            ("dangling", "No such file"),
            ("none", "No such file"),
        ):
            with pytest.raises(OSError, match=words):
                open_regular(tmp_path / name)


def test_a_file_above_the_limit_is_refused_unread(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**40)  # takes no disk space
    with pytest.raises(OSError, match=r"1,099,511,627,776 bytes; at most 10 are read"):
        read_regular(tmp_path / "sparse", 10)


@pytest.mark.parametrize("size", [2**32, 2**40])
def test_tensors_that_claim_terabytes_of_holes_are_refused_unread(tmp_path, size):
    header = json.dumps({"x": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with open(tmp_path / "x", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    with pytest.raises(mv.RunError, match=r"cannot be read: only [\d,]+ of its [\d,]+ bytes are on the disk"):
        read_tensors(tmp_path / "x")


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "outside").write_bytes(b"kept")
    (tmp_path / "x").symlink_to("outside")
    write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert not (tmp_path / "x").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"new"


def test_the_name_of_a_temporary_file_cannot_be_guessed(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(os, "replace", lambda source, _: names.append(os.path.basename(source)))
    for _ in range(2):
        write_bytes(tmp_path / "x", b"")
    assert len({*names}) == 2
    assert all(name.startswith(".x.") and len(name) == 3 + 16 for name in names)
    assert not list(tmp_path.iterdir())


STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""Characters with which a cell may become a formula."""


@given(st.text(alphabet=st.sampled_from("=+-@'\t\r\n \uff1d1.5eAx\u00e9")) | st.text())
def test_a_cell_is_no_formula_to_a_spreadsheet_and_comes_back(cell):
    written = quote_formula(cell)
    assert unquote_formula(written) == cell
    if written[:1] and written[0] in STARTS:
        assert all(float(number) < float("inf") for number in written.split())
    (row,) = csv.reader(io.StringIO(csv_text([[cell, "x"]]), newline=""))
    assert unquote_formula(row[0]) == cell


@pytest.mark.parametrize("cell", ["-1.5", "+2", "-1.5 2 -3e-7", "-.5", "1", "", "AOM", "'tis", "o'-x", "a=b", "1-2"])
def test_numbers_and_plain_text_stay_as_they_are(cell):
    assert quote_formula(cell) == unquote_formula(cell) == cell


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "-inf", "-", "-x/1.png"]
)
def test_formulas_become_text(cell):
    assert quote_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("name", ["con", "NUL", "nul.txt", "Com1", "LPT9.tar.gz", "aux ", "COM\u00b9", "CONIN$"])
def test_names_of_devices_are_known(name):
    assert is_reserved_name(name)
    assert not is_reserved_name(f"_{name}")
    assert not is_reserved_name(name.strip().replace(".", "x") + "x")


def test_a_path_without_a_name_is_refused():
    with pytest.raises(mv.RunError, match="is a folder; name a file"):
        write_bytes(Path("/"), b"")


@given(cells=st.lists(st.text(alphabet='a,;" \r\n', max_size=4), min_size=1, max_size=4))
def test_a_csv_row_is_that_of_the_csv_module(cells):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(cells)
    row = csv_row(cells)
    assert row == (text.getvalue() if any(cells) else "")
    assert split_csv_row(row) == next(csv.reader(io.StringIO(row, newline="")), [""])
