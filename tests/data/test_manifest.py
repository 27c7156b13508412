"""Errors in a manifest: each is one line that names file, line and fix."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae.data.manifest import INDEPENDENT

GOOD = """sample_id,patient_id,label,photo,blood,site
a,p1,ill,a.png,1 2 3,north
b,p1,well,b.png,4 5 6,south
c,p2,ill,,7 8 9,north
d,,,d.png,,south
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "manifest.csv").write_text(GOOD, "utf-8")
    for number, name in enumerate("abd"):
        Pillow.fromarray(np.full((4, 4), 40 * number, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


COLUMNS = {
    "photo": {"name": "image", "size": [4, 4], "channels": 1, "width": 8},
    "blood": {"name": "vector", "size": 3},
}


def read(folder, columns=COLUMNS, **arguments):
    return mv.MultimodalDataset.from_manifest(folder / "manifest.csv", columns, **arguments)


def refused(folder, *words, columns=COLUMNS, **arguments):
    with pytest.raises(mv.DataError) as caught:
        read(folder, columns, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert all(str(word) in message for word in (folder / "manifest.csv", *words)), message


def write(folder, text):
    (folder / "manifest.csv").write_text(text, "utf-8")


def test_a_manifest_becomes_samples_labels_and_patients(folder):
    data = read(folder)
    assert data.ids == ["a", "b", "c", "d"]
    assert data.patients == ["p1", "p1", "p2", "d"]  # without a patient, each sample is its own
    assert data.classes == ["ill", "well"]
    assert data.labels.tolist() == [0, 1, 0, -1]
    assert data.present.tolist() == [[True, True], [True, True], [False, True], [True, False]]
    assert data.metadata == {"site": ["north", "south", "north", "south"]}
    assert data.samples["blood"][1].tolist() == [4, 5, 6]
    assert data.samples["photo"][1, 0, 0, 0].item() == pytest.approx(40 / 255)
    assert data.source == folder / "manifest.csv"


def test_what_is_absent_is_zero_and_left_out_of_an_item(folder):
    data = read(folder)
    assert (data.samples["photo"][2] == 0).all()
    assert (data.samples["blood"][3] == 0).all()
    assert set(data[2]) == {"sample_id", "label", "blood"}
    assert set(data[3]) == {"sample_id", "label", "photo"}
    assert data[3]["label"] == -1


def test_a_column_may_be_left_unread(folder):
    data = read(folder, {"blood": COLUMNS["blood"]} | {"photo": COLUMNS["photo"]})
    assert list(data.modalities) == ["blood", "photo"]
    write(folder, GOOD.replace("d,,,d.png,,south\n", ""))
    assert read(folder, {"blood": COLUMNS["blood"]}).metadata.keys() == {"site", "photo"}


def test_columns_may_stand_in_any_order_with_blank_lines_and_a_byte_order_mark(folder):
    write(folder, "\ufefflabel,blood,sample_id\n\nill, 1 2 3 ,a\n\nwell,4 5 6,b\n")
    data = read(folder, {"blood": COLUMNS["blood"]})
    assert data.ids == ["a", "b"]
    assert data.patients == ["a", "b"]


def test_classes_may_be_given_in_their_order(folder):
    assert read(folder, classes=["well", "ill", "other"]).labels.tolist() == [1, 0, 1, -1]


def test_there_is_no_manifest(folder):
    (folder / "manifest.csv").unlink()
    refused(folder, "there is no manifest")


@pytest.mark.parametrize("column", ["sample_id", "label", "blood"])
def test_a_column_is_missing(folder, column):
    write(folder, GOOD.replace(column, column + "s", 1))
    refused(folder, f"no column '{column}'", f"did you mean '{column}s'")


def test_a_column_is_doubled(folder):
    write(folder, GOOD.replace("site", "blood"))
    refused(folder, "two columns called 'blood'")


def test_an_id_is_repeated(folder):
    write(folder, GOOD.replace("c,p2", "a,p2"))
    refused(folder, "line 4", "'a'", "line 2")


def test_an_id_is_empty(folder):
    write(folder, GOOD.replace("c,p2", ",p2"))
    refused(folder, "line 4", "no sample_id")


@pytest.mark.parametrize(("row", "cells"), [("c,p2,ill,7 8 9,north", 5), ("c,p2,ill,,7,8,9,north", 8)])
def test_a_row_has_too_few_or_too_many_cells(folder, row, cells):
    write(folder, GOOD.replace("c,p2,ill,,7 8 9,north", row))
    refused(folder, "line 4", f"{cells} cells", "header has 6")


def test_a_label_is_unknown(folder):
    write(folder, GOOD.replace("c,p2,ill", "c,p2,il"))
    refused(folder, "line 4", "unknown class 'il'", "did you mean 'ill'", classes=["ill", "well"])


def test_a_sample_has_no_modality(folder):
    write(folder, GOOD.replace("7 8 9", ""))
    refused(folder, "line 4", "'c'", "no modality")


@pytest.mark.parametrize("text", ["", "sample_id,label,photo,blood\n"])
def test_there_are_no_samples(folder, text):
    write(folder, text)
    refused(folder)


def test_a_file_is_missing(folder):
    (folder / "b.png").unlink()
    refused(folder, "line 3", "'b'", "photo", folder / "b.png", "no such file")


def test_a_picture_is_damaged(folder):
    noise = np.random.default_rng(0).integers(0, 256, (4, 4)).astype(np.uint8)
    Pillow.fromarray(noise).save(folder / "b.png")
    content = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(content[:50])  # cut within the pixels
    refused(folder, "line 3", "'b'", folder / "b.png", "damaged")


def test_a_cell_names_a_folder(folder):
    (folder / "b.png").unlink()
    (folder / "b.png").mkdir()
    refused(folder, "line 3", folder / "b.png", "folder")


def test_a_picture_has_another_size(folder):
    Pillow.fromarray(np.zeros((4, 5), dtype=np.uint8)).save(folder / "b.png")
    refused(folder, "line 3", "(1, 4, 5)", "(1, 4, 4)")


def test_a_value_is_no_number(folder):
    write(folder, GOOD.replace("4 5 6", "4 five 6"))
    refused(folder, "line 3", "'b'", "blood", "4 five 6")


def test_there_are_too_many_values(folder):
    write(folder, GOOD.replace("4 5 6", "4 5 6 7"))
    refused(folder, "line 3", "(4,)", "(3,)")


@pytest.mark.parametrize("value", ["nan", "inf", "1e39", "1e400"])
def test_a_value_is_not_finite(folder, value):
    write(folder, GOOD.replace("4 5 6", f"4 {value} 6"))
    refused(folder, "line 3", "not finite", "(1,)")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((1, 4, 4), np.nan), ["16 values", "not finite", "(0, 0, 0)"]),
        (np.full((1, 4, 4), 255.0), ["255", "0 to 1", "divide by 255"]),
        (np.full((1, 4, 4), -1.0), ["-1", "0 to 1"]),
        (np.zeros((4, 4)), ["(4, 4)", "(1, 4, 4)"]),
        (np.array([["x"]]), ["numbers"]),
    ],
    ids=["nan", "bytes", "negative", "shape", "words"],
)
def test_an_array_is_not_what_the_modality_takes(folder, array, words):
    np.save(folder / "b.npy", array)
    write(folder, GOOD.replace("b.png", "b.npy"))
    refused(folder, "line 3", "'b'", folder / "b.npy", *words)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'sample_id,label,photo,blood\na,"ill,x,1 2 3\n'])
def test_it_is_no_csv_file(folder, content):
    (folder / "manifest.csv").write_bytes(content)
    refused(folder, "cannot be read as a CSV file")


def test_a_split_is_misspelt(folder):
    write(folder, GOOD.replace("site", "split"))
    refused(folder, "line 2", "'north'", "train, validation, test")


def with_split(folder, *splits):
    lines = GOOD.replace("site", "split").splitlines()
    rows = [line.rsplit(",", 1)[0] + f",{split}" for line, split in zip(lines[1:], splits, strict=True)]
    write(folder, "\n".join([lines[0], *rows]) + "\n")
    return read(folder)


def test_a_given_split_is_kept_to(folder):
    parts = with_split(folder, "train", "train", "test", "validation").split_as_given()
    assert [part.ids for part in parts] == [["a", "b"], ["d"], ["c"]]


def test_a_given_split_with_a_patient_on_two_sides_is_refused(folder):
    with pytest.raises(mv.DataError, match=r"manifest\.csv: patient 'p1' is in train and in test"):
        with_split(folder, "train", "test", "test", "train").split_as_given()


def test_a_given_split_with_a_gap_is_refused(folder):
    with pytest.raises(mv.DataError, match="'c' has no split"):
        with_split(folder, "train", "train", "", "test").split_as_given()
    write(folder, GOOD)
    with pytest.raises(mv.DataError, match="'a' has no split"):
        read(folder).split_as_given()


def test_progress_goes_to_standard_error_and_only_where_it_is_wanted(folder, capfd):
    read(folder, progress=False)
    read(folder)  # not a terminal
    assert capfd.readouterr() == ("", "")


def test_what_reading_did_is_counted(folder, monkeypatch):
    class Clipping(mv.Vector):
        def read(self, cell):
            values = super().read(cell)
            self.notes["clipped"] += int((values > 4).sum())
            return values.clip(max=4)

    notes = {"patient_id": {INDEPENDENT: 1}}
    assert read(folder, COLUMNS | {"blood": Clipping(size=3)}).notes == {"blood": {"clipped": 5}, **notes}
    assert read(folder).notes == notes


def test_torchs_loader_takes_it(folder):
    loader = torch.utils.data.DataLoader(read(folder).subset([0, 1]), batch_size=2)
    (batch,) = loader
    assert batch["photo"].shape == (2, 1, 4, 4)
    assert batch["label"].tolist() == [0, 1]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_manifest_of_100_000_columns_is_read(folder, mark):
    names = [f"column {number}" for number in range(100_000)]
    rows = [["sample_id", "label", "blood", *names], ["a", "ill", "1 2 3", *["x"] * len(names)]]
    write(folder, "\n".join(map(mark.join, rows)))
    data = read(folder, {"blood": COLUMNS["blood"]})
    assert len(data.metadata) == 100_000
    assert data.metadata["column 99999"] == ["x"]


def test_a_column_is_sought_among_many(folder):
    write(folder, "sample_id,label," + ",".join(f"c{number}" for number in range(30_000)) + "\n")
    refused(folder, "no column 'photo'", "and 29,9")
