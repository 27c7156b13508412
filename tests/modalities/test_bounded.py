"""Files that wait, that claim more than they hold, or that hold more than a sample, are refused in one line."""

import io
import os
import resource
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae import tables
from multimodal_vae.data import reading
from multimodal_vae.modalities.base import LARGEST_FILE, MOST_ARRAYS, load_arrays

READERS = {
    ".npy": mv.Vector(size=3, cell="path"),
    ".npz": mv.Signal(length=3),
    ".csv": mv.Signal(length=3),
    ".png": mv.Image(size=(8, 8)),
    ".mat": mv.Modality.of("wbt"),
    ".edf": mv.Modality.of("ecg"),
    ".hea": mv.Modality.of("ecg"),
    ".jpg": mv.Modality.of("otoscopy"),
}


def read(modality: mv.Modality, path: Path) -> str:
    """Return why a file is refused, as a data set says it, and check the bound of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        sample = modality.read(path)
    except (mv.DataError, FileNotFoundError) as error:
        fault = str(error)
    else:
        pytest.fail(f"{path} was read, {sample.shape}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024
    assert "\n" not in fault
    assert len(fault) < 400
    return fault


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """Return the first bytes of an .npy file of a shape and type."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path, ending, kind):
    path = tmp_path / f"a{ending}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.chdir(tmp_path)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert read(READERS[ending], path)


def test_a_manifest_with_a_pipe_names_it(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    (tmp_path / "m.csv").write_text("sample_id,label,x\ns,a,a.npy\n", "utf-8")
    with pytest.raises(mv.DataError, match=r"line 2.*a\.npy.*pipe"):
        mv.MultimodalDataset.from_manifest(tmp_path / "m.csv", {"x": mv.Vector(size=3, cell="path")}, cache=False)


CLAIMS = {
    "80 TB": header((10**13,)),
    "8 exabytes": header((10**18,)),
    "more than 64 bits": header((2**62, 2**62)),
    "beyond all numbers": header((10**30,)),
    "a negative axis": header((-1, 8)),
    "items of terabytes": header((1,), "|V1000000000000"),
    "many items of nothing": header((10**15,), "|S0"),
    "objects": header((2,), "|O"),
    "a header of 4 GB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1),
    "a header of blanks": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b", 'shape': (3,), }" + b" " * 9000,
    "a deep header": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000,
}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_claimed_size_is_not_believed(tmp_path, claim, ending):
    path = tmp_path / f"a{ending}"
    content = CLAIMS[claim] + b"\0" * 80
    if ending == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    assert read(READERS[ending], path)


def zeros(path: Path, size: int, compression: int = zipfile.ZIP_DEFLATED, names: int = 1) -> None:
    """Write archives of zeros, piece by piece."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for number in range(names):
            with archive.open(f"x{number}.npy", "w", force_zip64=True) as member:
                member.write(header((size,), "|u1"))
                for _ in range(size // 2**20):
                    member.write(b"\0" * 2**20)


def test_an_archive_that_unpacks_to_more_than_a_sample_is_not_unpacked(tmp_path):
    path = tmp_path / "a.npz"
    zeros(path, LARGEST_FILE // 4, names=5)
    assert "unpacks to" in read(READERS[".npz"], path)
    zeros(path, 100 * 2**20)  # within the bound, but not as float32
    assert "as float32" in read(READERS[".npz"], path)


def test_an_archive_of_many_arrays_or_other_compressions_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    zeros(path, 1, names=MOST_ARRAYS + 1)
    assert "1,001 arrays" in read(READERS[".npz"], path)
    for compression in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("x.npy", header((1,)) + b"\0" * 8)
        assert "savez_compressed" in read(READERS[".npz"], path)


def test_an_encrypted_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    zeros(path, 1)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in read(READERS[".npz"], path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".mat", ".edf"])
def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(header((2**37,)))
    os.truncate(path, 2**40)
    assert read(READERS[ending], path)


def test_a_data_set_may_be_larger_than_a_sample_but_not_than_its_file_allows(tmp_path):
    path = tmp_path / "a.npz"
    zeros(path, 2**27, names=5)
    with pytest.raises(mv.DataError, match=r"a\.npz: unpacks to 671,0"):
        mv.MultimodalDataset.from_npz(path, {"x0": mv.Vector(size=3)})
    zeros(path, 2**27, zipfile.ZIP_STORED, names=3)
    with pytest.raises(mv.DataError, match="no array 'label'"):
        mv.MultimodalDataset.from_npz(path, {"x0": mv.Vector(size=3)})


def test_large_arrays_within_the_bound_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2**20), y=np.ones((3, 2**10), dtype=np.uint8))
    assert load_arrays(tmp_path / "a.npz")["x"].sum() == 2**20


def webp(kind: bytes, facts: bytes) -> bytes:
    """Return the start of a WebP picture of 16,383 x 16,383 pixels."""
    chunk = kind + struct.pack("<I", len(facts) + 40) + facts + b"\0" * 40
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


@pytest.mark.parametrize(
    "content",
    [
        webp(b"VP8X", b"\0\0\0\0" + 2 * (16_382).to_bytes(3, "little")),
        webp(b"VP8L", b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14)),
        webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)),
    ],
    ids=["extended", "lossless", "lossy"],
)
def test_a_picture_that_claims_many_pixels_takes_no_memory(tmp_path, content):
    (tmp_path / "a.webp").write_bytes(content)
    assert "16383 x 16383 pixels" in read(READERS[".png"], tmp_path / "a.webp")


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_small_webp_picture_is_read(tmp_path, lossless, mode):
    Pillow.new(mode, (8, 8), (200, 100, 50, 255)[: len(mode)]).save(tmp_path / "a.webp", lossless=lossless)
    assert READERS[".png"].read(tmp_path / "a.webp").shape == (3, 8, 8)


def test_a_table_of_too_many_numbers_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("1,2\n" * 60, "utf-8")
    monkeypatch.setattr(tables, "MOST_NUMBERS", 100)
    assert "more than 100 numbers" in read(mv.Signal(length=3), path)
    path.write_text("1\n" * 2 + "\n" * 200 + "1\n", "utf-8")  # blank rows of a column are missing numbers
    assert "more than 100 numbers" in read(mv.Signal(length=3), path)
    monkeypatch.setattr(tables, "LARGEST_TABLE", 100)
    assert "at most 100 are read" in read(mv.Signal(length=3), path)


@pytest.mark.parametrize(
    "header",
    [
        "record 1 100 " + "9" * 5000 + "\nrecord.dat 16 200/mV 16 0 0 0 0 II\n",
        "record 1 100 400\nrecord.dat 16:1000000000 200/mV 16 0 0 0 0 II\n",
        "record 1 100 400\nrecord.dat 16+1000000000000000 200/mV 16 0 0 0 0 II\n",
        "record 1000000000 100 400\nrecord.dat 16 200/mV 16 0 0 0 0 II\n",
        "record 20000 100 400\n" + "record.dat 16 200/mV 16 0 0 0 0 II\n" * 20_000,
        "record/1000000000 1 100 400\nrecord 400\n",
    ],
    ids=["length", "skew", "offset", "signals stated", "signals", "segments"],
)
def test_a_record_that_claims_too_much_is_refused(tmp_path, header):
    (tmp_path / "record.hea").write_text(header, "utf-8")
    np.zeros(400, "<i2").tofile(tmp_path / "record.dat")
    assert read(READERS[".hea"], tmp_path / "record.hea")


def test_a_picture_of_another_size_is_not_decoded(tmp_path):
    Pillow.new("RGB", (4800, 4900)).save(tmp_path / "a.png")
    assert "(3, 4900, 4800)" in read(READERS[".png"], tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"1,2\n" * 62 + b"1,1e308\n1,1e999\n"),
        ("b.csv", b"-1e308,2\n" * 2 + b"0,2\n" * 60 + b"1e308,2\n" * 2),
        ("a.npy", header((3,)) + struct.pack("<3Q", 0x7FF0000000000001, 0, 2**63)),  # a signaling NaN
        ("a.gif", b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + b",\0\0\0\0"),
    ],
)
def test_infinite_values_and_frames_cut_short_give_no_warning(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    readers = {".csv": mv.Signal(length=64, channels=2), ".gif": READERS[".png"], ".npy": READERS[".npy"]}
    modality = readers[Path(name).suffix]
    result = reading.read(modality, tmp_path / name)
    assert result.fault or result.sample is not None
