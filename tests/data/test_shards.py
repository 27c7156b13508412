"""Shards give the samples of the manifest that they were made from; each fault is one line with file and sample."""

import csv
import io
import tarfile

import numpy as np
import polars
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import multimodal_vae as mv

PARTS = {
    "photo": {"name": "image", "size": [4, 4], "channels": 1, "width": 8},
    "photo.back": {"name": "vector", "size": 2, "cell": "path"},
    "blood": {"name": "vector", "size": 3},
    "facts": {"name": "table", "columns": {"age": "count", "sex": {"type": "binary", "words": ["f", "m"]}}},
}
FIELDS = ("photo", "photo.back", "blood")


def png(level):
    file = io.BytesIO()
    Pillow.fromarray(np.full((4, 4), level, np.uint8)).save(file, "png")
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, np.float32(values))
    return file.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def members_of(row):
    """Return the members of a sample, given as the cells of a manifest's row with contents in place of paths."""
    suffix = {"photo": ".photo.png", "photo.back": ".photo.back.npy", "label": ".label", "blood": ".blood.txt"}
    cells = {name: row[name] for name in ("photo", "photo.back", "label", "patient_id", "blood") if row[name]}
    if row["age"] or row["sex"]:
        cells["facts"] = f"{row['age']},{row['sex']}"
    return [
        (row["sample_id"] + suffix.get(name, f".{name}"), cell if isinstance(cell, bytes) else cell.encode())
        for name, cell in cells.items()
    ]


rows = st.fixed_dictionaries(
    {
        "patient_id": st.sampled_from(["", "p1", "p2"]),
        "label": st.sampled_from(["", "ill", "wéll"]),
        "photo": st.none() | st.integers(0, 255).map(png),
        "photo.back": st.none() | st.tuples(*[st.integers(-9, 9)] * 2).map(npy),
        "blood": st.none() | st.tuples(*[st.integers(-9, 9)] * 3).map(lambda x: " ".join(map(str, x))),
        "age": st.just("") | st.integers(0, 99).map(str),
        "sex": st.sampled_from(["", "f", "m"]),
    }
).filter(lambda row: any(row[name] for name in (*FIELDS, "age", "sex")))


def write_manifest(folder, samples):
    columns = ["sample_id", "patient_id", "label", *FIELDS, "age", "sex"]
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for row in samples:
            cells = {name: "" if row[name] is None else row[name] for name in columns}
            for name, suffix in ("photo", "png"), ("photo.back", "npy"):
                if row[name]:
                    cells[name] = f"{row['sample_id']}.{suffix}"
                    (folder / cells[name]).write_bytes(row[name])
            table.writerow(cells)


def same(one, other):
    assert one.ids == other.ids
    assert one.patients == other.patients
    assert one.classes == other.classes
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.present, other.present)
    assert one.notes == other.notes
    for name, x in one.samples.items():
        assert torch.equal(x.nan_to_num(-1e9), other.samples[name].nan_to_num(-1e9)), name


@given(contents=st.lists(rows, min_size=1, max_size=6), shards=st.integers(1, 3))
def test_shards_give_what_the_manifest_gives(tmp_path_factory, contents, shards):
    folder = tmp_path_factory.mktemp("shards")
    samples = [{"sample_id": f"s{number}", **row} for number, row in enumerate(contents)]
    write_manifest(folder, samples)
    expected = mv.MultimodalDataset.from_manifest(folder / "manifest.csv", PARTS, cache=False, workers=0)
    parts = np.array_split(np.arange(len(samples)), shards)
    for number, part in enumerate(parts):
        own = [samples[row] for row in part]
        write_tar(folder / f"{number}.tar", [each for row in own for each in members_of(row)])
        types = dict.fromkeys(("sample_id", "patient_id", "label", "blood", "age", "sex"), polars.String)
        types |= dict.fromkeys(["photo", "photo.back"], polars.Binary)
        frame = polars.DataFrame([{name: row[name] or None for name in types} for row in own], schema=types)
        frame.write_parquet(folder / f"{number}.parquet", row_group_size=2)
    for kind in ("tar", "parquet"):
        pattern = f"{folder}/{{0..{shards - 1}}}.{kind}"
        # A suffix that a Parquet file cannot tell is the modality's own.
        same(mv.MultimodalDataset.from_shards(pattern, PARTS), expected)


def read(path, parts=PARTS, **arguments):
    return mv.MultimodalDataset.from_shards(path, parts, **arguments)


BLOOD = {"blood": PARTS["blood"]}


def test_a_class_may_be_the_index_that_webdataset_writes(tmp_path):
    write_tar(tmp_path / "a.tar", [("x/0001.cls", b"1\n"), ("x/0001.blood.txt", b"1 2 3"), ("x/0001.json", b"{}")])
    data = read(tmp_path / "a.tar", BLOOD, classes=["cat", "dog"], label="cls")
    assert data.ids == ["x/0001"]
    assert data.labels.tolist() == [1]


def test_a_field_may_have_another_name(tmp_path):
    write_tar(tmp_path / "a.tar", [("1.png", png(51)), ("1.label", b"ill")])
    data = read(tmp_path / "a.tar", {"photo": PARTS["photo"]}, fields={"photo": "png"})
    assert data.samples["photo"].flatten()[0].item() == pytest.approx(0.2)


def test_cells_of_parquet_may_be_numbers_and_arrays(tmp_path):
    arrays = polars.Series("blood", [[1.0, 2, 3], [4, 5, 6]], dtype=polars.Array(polars.Float32, 3))
    lists = [[[[0.5] * 4] * 4], None]
    frame = polars.DataFrame({"sample_id": [1, 2], "label": ["ill", None], "photo": lists, "age": [61, None]})
    frame.with_columns(arrays).write_parquet(tmp_path / "a.parquet")
    facts = {"name": "table", "columns": {"age": "count"}}
    data = read(tmp_path / "a.parquet", {"photo": PARTS["photo"], **BLOOD, "facts": facts})
    assert data.ids == ["1", "2"]
    assert data.present.tolist() == [[True, True, True], [False, True, False]]
    assert data.samples["blood"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.samples["facts"][0].tolist() == [61]
    assert (data.samples["photo"][0] == 0.5).all()


GOOD = [("s1.label", b"ill"), ("s1.blood", b"1 2 3"), ("s2.label", b"well"), ("s2.blood", b"4 5 6")]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], ["holds no samples"]),
        ([*GOOD, ("s3.label", b"ill")], ["'s3'", "none of the modalities"]),
        ([*GOOD, ("s1.blood", b"1 2 3")], ["'s1'", "2 samples"]),
        ([*GOOD, ("s2.blood.txt", b"1 2 3")], ["'s2'", "two members of 'blood'"]),
        ([*GOOD, ("s3.blood.pth", b"")], ["'s3.blood.pth'", "pickle", ".npy"]),
        ([*GOOD, ("s3.blood", b"1 2")], ["'s3'", "blood", "shape"]),
        ([*GOOD, ("s3.blood", b"\xff")], ["'s3'", "blood", "UTF-8"]),
        ([*GOOD, ("s3.label", b"NA"), ("s3.blood", b"1 2 3")], ["'s3'", "missing value"]),
        ([*GOOD, ("S1.label", b"ill"), ("S1.blood", b"1 2 3")], ["'S1'", "'s1'", "form"]),
    ],
)
def test_a_fault_names_shard_and_sample(tmp_path, members, words):
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(mv.DataError) as caught:
        read(tmp_path / "a.tar", BLOOD)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in (str(tmp_path / "a.tar"), *words)), str(caught.value)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_that_is_cut_anywhere_is_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "tar":
        write_tar(path, GOOD)
    else:
        polars.DataFrame({"sample_id": ["a"], "label": ["ill"], "blood": ["1 2 3"]}).write_parquet(path)
    content = path.read_bytes()
    end = 8 * 512 if kind == "tar" else len(content)  # a header and a block per member; then zeros
    for length in (0, 100, 512, 700, 1024, 2048, 3000, end - 1):
        path.write_bytes(content[: min(length, end - 1)])
        with pytest.raises(mv.DataError, match=f"a.{kind}"):
            read(path, BLOOD)


def test_links_and_compressed_files_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("s1.blood")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(mv.DataError, match=r"'s1.blood' is a link"):
        read(tmp_path / "a.tar", BLOOD)
    with tarfile.open(tmp_path / "b.tar", "w:gz"):
        pass
    with pytest.raises(mv.DataError, match=r"b.tar is truncated or no uncompressed tar file"):
        read(tmp_path / "b.tar", BLOOD)


def test_paths_that_lead_nowhere_are_refused(tmp_path):
    with pytest.raises(mv.DataError, match=r"there is no shard .*a-01.tar"):
        read(tmp_path / "a-{01..02}.tar", BLOOD)
    with pytest.raises(mv.DataError, match=r"there is no shard .*a.parquet"):
        read([tmp_path / "a.parquet"], BLOOD)
    with pytest.raises(
        mv.DataError, match=r"'{0..999999999}.tar' means 1,000,000,000 shards, of 1,000,000 at most; shorten"
    ):
        read("{0..999999999}.tar", BLOOD)
    with pytest.raises(mv.DataError, match=r"a.zip is neither .tar nor .parquet"):
        read(tmp_path / "a.zip", BLOOD)
    with pytest.raises(mv.DataError, match="no shards are given"):
        read([], BLOOD)


def test_a_column_is_missing(tmp_path):
    polars.DataFrame({"sample_id": ["a"], "label": ["ill"], "blod": ["1 2 3"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(mv.DataError, match="no column 'blood'; did you mean 'blod'"):
        read(tmp_path / "a.parquet", BLOOD)
