"""What differs from what was released is found, by the standard library alone."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_vae.errors import RunError
from multimodal_vae.release.sums import read_sums, write_sums
from multimodal_vae.release.verification import verify_release
from multimodal_vae.synthesis.marks import NOTICE

HEADER = ["sample_id", "label", "photo", "blood", "origin"]
ROWS = [
    [f"{label}-{n}", label, f"photo/{label}-{n}.png", f"{n} 2", NOTICE] for label in ("ill", "=well") for n in (1, 2)
]


def write_table(folder, rows):
    with open(folder / "manifest.csv", "w", encoding="utf-8", newline="") as file:
        # As spreadsheets need it, before a cell that begins like a formula.
        csv.writer(file).writerows([f"'{x}" if x.startswith("=") else x for x in row] for row in [HEADER, *rows])


def write_release(folder):
    (folder / "photo").mkdir(parents=True)
    for row in ROWS:
        (folder / row[2]).write_bytes(f"picture {row[0]}".encode())
    write_table(folder, ROWS)
    facts = {"notice": NOTICE, "counts": {"ill": 2, "=well": 2}, "files": ["photo"]}
    (folder / "provenance.json").write_text(json.dumps(facts), "utf-8")
    (folder / "datasheet.md").write_text("| class | samples |\n|---|---|\n| ill | 2 |\n| =well | 2 |\n", "utf-8")
    return write_sums(folder)


@pytest.fixture
def released(tmp_path):
    write_release(tmp_path / "out")
    return tmp_path / "out"


def refused(folder, *arguments):
    with pytest.raises(RunError) as error:
        verify_release(folder, *arguments)
    return str(error.value)


def test_a_release_is_verified_with_the_digest_of_its_list(released):
    digest = hashlib.sha256((released / "SHA256SUMS").read_bytes()).hexdigest()
    found = verify_release(released, digest.upper())
    assert (found.digest, found.samples, found.files) == (digest, 4, 7)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_coreutils_agree(released):
    assert (
        subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=released, capture_output=True).returncode == 0
    )


def test_a_changed_byte_is_found(released):
    (released / "photo" / "ill-1.png").write_bytes(b"Picture ill-1")
    assert "it differs: 'photo/ill-1.png' was changed" in refused(released)


def test_exchanged_files_are_named(released):
    one, other = released / "photo" / "ill-1.png", released / "photo" / "ill-2.png"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert "it differs: 'photo/ill-1.png' and 'photo/ill-2.png' were exchanged" in refused(released)


@pytest.mark.parametrize("name", ["photo/patient.png", ".hidden", "photo/.DS_Store", "SHA256SUMS2"])
def test_a_file_more_is_found(released, name):
    (released / name).write_bytes(b"a patient")
    assert f"'{name}' is not in SHA256SUMS" in refused(released)


def test_a_file_less_is_found(released):
    (released / "photo" / "ill-1.png").unlink()
    assert "'photo/ill-1.png' is missing" in refused(released)


def test_links_pipes_and_empty_folders_are_found(released):
    shutil.copy(released / "photo" / "ill-1.png", released.parent / "copy.png")
    (released / "photo" / "ill-1.png").unlink()
    (released / "photo" / "ill-1.png").symlink_to(released.parent / "copy.png")
    assert "photo/ill-1.png is a link" in refused(released)
    os.mkfifo(released / "pipe")
    (released / "name of a patient").mkdir()
    assert (
        "4 faults, first: name of a patient is an empty folder; photo/ill-1.png is a link; pipe is no file"
        in refused(released)
    )


def test_a_linked_folder_is_found_and_not_read(released):
    (released / "photo").rename(released.parent / "photo")
    (released / "photo").symlink_to(released.parent / "photo", target_is_directory=True)
    assert "photo is a link" in refused(released)


def test_the_list_itself_must_be_a_file(released):
    (released / "SHA256SUMS").rename(released.parent / "sums")
    assert "is no release: it has no SHA256SUMS" in refused(released)
    (released / "SHA256SUMS").symlink_to(released.parent / "sums")
    assert "is no list of checksums" in refused(released)
    assert "is no release" in refused(released / "SHA256SUMS")


def test_checksums_computed_anew_are_found_by_the_digest(released):
    digest = verify_release(released).digest
    (released / "photo" / "ill-1.png").write_bytes(b"a patient")
    other = write_sums(released)
    assert verify_release(released).digest == other
    assert f"the digest is {other}, not {digest}, which was published" in refused(released, digest)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:-1], "no row of manifest.csv names 'photo/=well-2.png'"),
        (ROWS[:-1], "manifest.csv has 2 ill, 1 =well, but provenance.json has 2 ill, 2 =well"),
        ([*ROWS, ROWS[0]], "manifest.csv has 2 rows 'ill-1'"),
        ([*ROWS, ["new", *ROWS[0][1:]]], "2 rows of manifest.csv name 'photo/ill-1.png'"),
        ([[*ROWS[0][:-1], ""], *ROWS[1:]], "row 'ill-1' of manifest.csv lacks the notice"),
        (
            [[*ROWS[0][:2], "../patient.png", *ROWS[0][3:]], *ROWS[1:]],
            "names '../patient.png', which is no sample in the folder",
        ),
        ([ROWS[0][:-1], *ROWS[1:]], "line 2 has 4 cells, the header 5"),
    ],
)
def test_a_manifest_that_contradicts_the_files_is_found_whatever_its_checksum(released, rows, said):
    write_table(released, rows)
    write_sums(released)
    assert said in refused(released)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("datasheet.md", "| ill | 3 |\n| =well | 2 |\n", "datasheet.md does not give the counts of provenance.json"),
        ("provenance.json", "[]", "cannot be read"),
        ("provenance.json", "[" * 100_000, "cannot be read"),
        ("provenance.json", '{"counts": [], "files": [], "notice": ""}', "cannot be read"),
        (
            "provenance.json",
            json.dumps({"counts": {"ill": 2, "=well": 2}, "files": ["photo"], "notice": "real"}),
            "lacks",
        ),
        ("provenance.json", json.dumps({"counts": {"ill": "2"}, "files": [], "notice": ""}), "have another form"),
        ("manifest.csv", '"', "cannot be read"),
        ("manifest.csv", "", "no row of manifest.csv names"),
    ],
)
def test_damaged_records_are_found_whatever_their_checksum(released, name, content, said):
    (released / name).write_text(content, "utf-8")
    write_sums(released)
    assert said in refused(released)


@pytest.mark.parametrize("name", ["manifest.csv", "provenance.json", "datasheet.md"])
def test_a_release_without_a_record_is_none(released, name):
    (released / name).unlink()
    write_sums(released)
    assert f"SHA256SUMS lacks {name}" in refused(released)


@given(st.data())
def test_every_changed_byte_and_every_new_name_is_found(data):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "out")
        digest = write_release(folder)
        path = folder / data.draw(st.sampled_from([*read_sums(folder)[0], "SHA256SUMS"]))
        if data.draw(st.booleans()):
            content = bytearray(path.read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
            path.write_bytes(content)
        else:
            name = data.draw(st.text("ab.1-", min_size=1, max_size=4).filter(lambda name: name.strip(".")))
            path.rename(path.with_name(name))
        refused(folder)
        refused(folder, digest)


def test_the_command_needs_no_torch_and_says_one_line(released):
    (released / "photo" / "ill-1.png").write_bytes(b"")
    code = (
        "import sys; from multimodal_vae import cli\n"
        "try: cli.main()\n"
        "finally: assert not {'torch', 'numpy', 'jinja2'} & set(sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code, "verify", released]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"mmvae: {released} is not what was released: it differs: 'photo/ill-1.png' was changed\n"


def test_the_command_prints_the_digest(mmvae, released):
    digest = verify_release(released).digest
    assert mmvae("verify", released, "--digest", digest)[:2] == (
        0,
        f"verified: {released}, 4 samples in 7 files\ndigest: {digest}\n",
    )
    assert "not compared" in mmvae("verify", released)[1]
    assert mmvae("verify", released, "--digest", "0" * 64)[0] == 2
