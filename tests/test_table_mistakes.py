"""Mistakes with tables: each is an error of one line that says where it is and how to fix it."""

import pytest

import multimodal_vae as mv

ROWS = 6
TYPED = {"hb": "positive", "sat": "share", "visits": "count", "site": {"type": "categorical", "words": ["A", "B"]}}


def manifest(**columns):
    """Return a manifest of six samples; a column is given by its cells, or by one cell among good ones."""
    header = ["sample_id", "label", "patient_id", *columns]
    good = {"hb": "13.{}", "sat": "0.9{}", "visits": "1{}", "site": "A"}
    lines = [",".join(header)]
    for row in range(ROWS):
        cells = [
            values[row] if isinstance(values, list) else values if row == 3 else good.get(name, "{}.5").format(row + 1)
            for name, values in columns.items()
        ]
        lines.append(",".join([f"s{row}", "ab"[row % 2], f"p{row}", *cells]))
    return "\n".join(lines) + "\n"


def blood(rows=ROWS, key="patient_id", keys="p{}", extra=""):
    return f"{key},hb\n" + "".join(f"{keys.format(row)},{12 + row / 4}\n" for row in range(rows)) + extra


GUESSED, PATTERN, KNOWN = ["hb"], ["b_*"], {name: TYPED[name] for name in ("hb",)}
MISTAKES = {
    "text in a column of numbers": (
        manifest(hb="high"),
        GUESSED,
        None,
        ["'hb' has 'high', which is not a number; correct it, leave it empty"],
    ),
    "text in a typed column of numbers": (
        manifest(hb="high"),
        KNOWN,
        None,
        ["line 5", "'s3'", "in column 'hb' 'high', which is not a number; correct it"],
    ),
    "a category unseen in training": (
        manifest(site="D"),
        {"site": TYPED["site"]},
        None,
        ["line 5", "'D', which is none of its words; correct it, or add it"],
    ),
    "a date": (
        manifest(hb=[f"2021-03-0{day}" for day in range(1, 7)]),
        GUESSED,
        None,
        ["'2021-03-01'", "give dates as numbers, such as days"],
    ),
    "a date among numbers": (manifest(hb="3/4/2021"), KNOWN, None, ["line 5", "give dates as numbers"]),
    "a duplicate join key": (
        manifest(x="1"),
        GUESSED,
        blood(extra="p2,13\n"),
        ["blood.csv, line 8 repeats the patient_id 'p2' of line 4; keep one row"],
    ),
    "a constant column": (
        manifest(hb=["1.5"] * ROWS),
        GUESSED,
        None,
        ["'hb' has the value '1.5' throughout; leave it out"],
    ),
    "an empty column": (
        manifest(hb=["", "NA", "", "", "", ""], x="1"),
        ["hb", "x"],
        None,
        ["'hb' is empty; leave it out, or fill it"],
    ),
    "decimal commas": (
        manifest(hb=[f'"13,{row}"' for row in range(ROWS)]),
        GUESSED,
        None,
        ["'13,0'", "write decimal points, as in '13.0'"],
    ),
    "a negative value in a positive column": (
        manifest(hb="-13"),
        KNOWN,
        None,
        ["line 5", "'hb' -13, which a column of type 'positive' cannot hold; correct it"],
    ),
    "shares in percent": (
        manifest(sat="97"),
        {"sat": "share"},
        None,
        ["line 5", "'sat' 97, which", "divide by 100 if in percent"],
    ),
    "a percent sign": (
        manifest(sat="97 %"),
        {"sat": "share"},
        None,
        ["'97 %'", "give shares from 0 to 1, without the"],
    ),
    "half a visit": (
        manifest(visits="2.5"),
        {"visits": "count"},
        None,
        ["'visits' 2.5", "set the column's type to 'positive'"],
    ),
    "a limit of detection": (
        manifest(hb="<0.5"),
        GUESSED,
        None,
        ["'<0.5'", "write '0.5' for results at a limit of detection"],
    ),
    "a pattern without a match": (
        manifest(hb="13"),
        PATTERN,
        None,
        ["no column matches the pattern 'b_*'; there are: hb"],
    ),
    "a column that is not there": (manifest(hb="13"), ["hbb"], None, ["no column is called 'hbb'; did you mean 'hb'?"]),
    "a typed column that is not there": (
        manifest(hb="13"),
        {"hbb": "positive"},
        None,
        ["has no column 'hbb'; did you mean 'hb'?"],
    ),
    "no join key that matches": (
        manifest(x="1"),
        GUESSED,
        blood(keys="case-{}"),
        ["no patient_id of", "'case-0'", "'p0'; write both in the same way"],
    ),
    "a join key in another form": (
        manifest(x="1"),
        GUESSED,
        blood(keys="P{}"),
        ["has the patient_id 'P0'", "has 'p0'; write both in the same way"],
    ),
    "a file without a key": (
        manifest(x="1"),
        GUESSED,
        blood(key="number"),
        ["has neither sample_id nor patient_id to join it by; add one"],
    ),
    "a join key that is empty": (manifest(x="1"), GUESSED, blood(extra=",13\n"), ["line 8 has no patient_id"]),
    "a column in both files": (manifest(hb="13"), GUESSED, blood(), ["both have a column 'hb'; rename or remove one"]),
    "a word in two forms": (
        manifest(site=["A", "B", "a", "B", "A", "B"]),
        ["site"],
        None,
        ["'A' (cell 1) and 'a' (cell 3) differ only in form"],
    ),
    "a column of names": (
        manifest(site=[f"Jo{letter}" for letter in "abcdef"]),
        ["site"],
        None,
        ["has 6 different words in 6 cells", "leave it out, or"],
    ),
    "a binary column of three words": (
        manifest(site=["x", "y", "z"] * 2),
        {"site": "binary"},
        None,
        ["'site' has 3 words, not two: x, y, z; set its type to"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained_in_one_line(mistake, tmp_path):
    text, columns, joined, words = MISTAKES[mistake]
    (tmp_path / "manifest.csv").write_text(text, "utf-8")
    if joined:
        (tmp_path / "blood.csv").write_text(joined, "utf-8")
    with pytest.raises(mv.DataError) as caught:
        mv.MultimodalDataset.from_manifest(
            tmp_path / "manifest.csv",
            {"table": mv.Table(columns=columns)},
            join=["blood.csv"] if joined else [],
            cache=False,
        )
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert all(word in message for word in words), message


def test_a_file_to_join_must_be_there_and_beside_the_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text(manifest(hb="13"), "utf-8")
    for name, words in (("none.csv", "there is no file"), ("../none.csv", "leads out of the manifest's folder")):
        with pytest.raises(mv.DataError, match=words):
            mv.MultimodalDataset.from_manifest(
                tmp_path / "manifest.csv", {"x": mv.Table(columns=["hb"])}, join=[name], cache=False
            )


def test_a_column_belongs_to_one_modality(tmp_path):
    (tmp_path / "manifest.csv").write_text(manifest(hb="13", sat="0.5"), "utf-8")
    tables = {"one": mv.Table(columns={"h*": "real"}), "two": mv.Table(columns={"*": "real"})}
    with pytest.raises(mv.DataError, match="the column 'hb' belongs to 'one' and to 'two'; choose one"):
        mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", tables, cache=False)
