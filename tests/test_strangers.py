"""Untrusted files: refused in one line, without running their code, in bounded memory."""

import csv
import os
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae import files
from multimodal_vae.files import bounded_lines, read_tensors, write_tensors
from multimodal_vae.modalities.pictures import MOST_PIXELS


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch boom",))


@pytest.mark.parametrize("name", ["model.safetensors", "samplers/kde.safetensors"])
def test_a_pickle_in_place_of_tensors_is_refused_unread(trained, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (trained / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(mv.RunError, match="is not a complete safetensors file"):
        mv.open_run(trained).synthesizer().sample("ill", 1)
    assert not (tmp_path / "boom").exists()


def test_objects_in_arrays_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "a.npz", x=np.array([Bomb()], dtype=object), label=np.array([0]))
    with pytest.raises(mv.DataError, match="plain arrays"):
        mv.MultimodalDataset.from_npz(tmp_path / "a.npz", {"x": mv.Vector(size=1)})
    assert not (tmp_path / "boom").exists()


TENSORS = {"weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor(3), "none": torch.zeros(0, 2)}


@settings(max_examples=200)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path_factory, place, bit):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    write_tensors(path, TENSORS, {"fact": "kept"})
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        tensors, facts = read_tensors(path)
    except mv.RunError as error:
        said = str(error)
    else:  # a changed space in the header has no effect
        said = ""
        assert facts == {"fact": "kept"}
        assert all(torch.equal(x, tensors[name]) for name, x in TENSORS.items())
    assert "\n" not in said


@pytest.mark.parametrize("cell", ["../secret.png", "/etc/passwd", "a/../../secret.png", ".."])
def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path, cell):
    (tmp_path / "secret.png").write_bytes(b"")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "manifest.csv").write_text(f"sample_id,label,photo\ns1,a,{cell}\n", "utf-8")
    with pytest.raises(mv.DataError, match=r"line 2, sample 's1', photo.*leads out of the manifest's folder") as caught:
        mv.MultimodalDataset.from_manifest(
            tmp_path / "cohort" / "manifest.csv", {"photo": mv.Image(size=(8, 8), width=4)}
        )
    assert "\n" not in str(caught.value)


def test_a_path_may_wander_within_the_folder(tmp_path):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "x.npy", np.zeros(3, np.float32))
    (tmp_path / "manifest.csv").write_text("sample_id,label,x\ns1,a,a/../x.npy\n", "utf-8")
    assert (
        len(mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", {"x": mv.Vector(size=3, cell="path")})) == 1
    )


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_picture_of_fifty_thousand_pixels_a_side_is_refused_unread(tmp_path):
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    with pytest.raises(mv.DataError, match=f"the limit is {MOST_PIXELS:,}"):
        mv.Image(size=(8, 8), width=4).read(tmp_path / "a.png")


HUGE = """
import resource, sys, pathlib
import multimodal_vae as mv
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (
    lambda path: mv.MultimodalDataset.from_manifest(path, {"x": mv.Vector(size=1)}),
    mv.Signal(length=4).read,
):
    try:
        read(pathlib.Path(sys.argv[1]))
    except mv.DataError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("letter", ["\0", "1"])
def test_a_line_of_a_gigabyte_takes_no_gigabyte(tmp_path, letter):
    path = tmp_path / "a.csv"
    with open(path, "wb") as file:
        if letter == "\0":
            file.truncate(2**30)  # sparse, so it takes no disk space
        else:
            file.write(letter.encode() * 2**26)
    ran = subprocess.run([sys.executable, "-c", HUGE, str(path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    *said, megabytes = ran.stdout.splitlines()
    assert len(said) == 2
    refusals = ("characters, so this is not a table", "field", "NUL", "are read")
    assert all(any(refusal in line for refusal in refusals) for line in said)
    # 16 MiB of text at up to 4 bytes per character, a copy or two, and the imports of the readers.
    assert int(megabytes) < 400


def test_lines_up_to_the_bound_come_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 8)
    (tmp_path / "a").write_text("1234567\n123456\n\nabc", "utf-8")
    with open(tmp_path / "a", encoding="utf-8") as file, pytest.raises(csv.Error, match="line 1 has more than 8"):
        list(bounded_lines(file))
    (tmp_path / "a").write_text("123456\n\nabc", "utf-8")
    with open(tmp_path / "a", encoding="utf-8") as file:
        assert list(bounded_lines(file)) == ["123456\n", "\n", "abc"]
