"""Names, words and arrays of doubtful meaning, on every way into a data set."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.data.manifest import INDEPENDENT
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.names import MISSING
from multimodal_vae.privacy.records import Records, require_disjoint

VECTOR = {"x": {"name": "vector", "size": 2}}
ROWS = 4


def from_tensors(tmp_path, **columns):
    label, ids, patients = (columns.get(name) for name in ("label", "sample_id", "patient_id"))
    x = columns.get("x", np.ones((ROWS, 2)))
    return mv.MultimodalDataset.from_tensors(
        {"x": x}, label or list("abab"), VECTOR, columns.get("classes"), ids=ids, patients=patients
    )


def from_npz(tmp_path, **columns):
    classes = columns.pop("classes", None)
    arrays = {"label": list("abab"), "x": np.ones((ROWS, 2)), **columns}
    np.savez(tmp_path / "data.npz", **{name: np.array(values) for name, values in arrays.items()})
    return mv.MultimodalDataset.from_npz(tmp_path / "data.npz", VECTOR, classes)


def from_dataset(tmp_path, **columns):
    classes = columns.pop("classes", None)
    table = {"sample_id": list("pqrs"), "label": list("abab"), "x": np.ones((ROWS, 2)), **columns}
    items = [{name: values[row] for name, values in table.items()} for row in range(ROWS)]
    return mv.MultimodalDataset.from_dataset(items, VECTOR, classes, tmp_path)


def from_manifest(tmp_path, **columns):
    classes = columns.pop("classes", None)
    table = {"sample_id": list("pqrs"), "label": list("abab"), "x": ["1 1"] * ROWS, **columns}
    lines = [",".join(table)] + [",".join(str(values[row]) for values in table.values()) for row in range(ROWS)]
    (tmp_path / "manifest.csv").write_text("\n".join(lines), "utf-8")
    return mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", VECTOR, classes, cache=False)


WAYS = pytest.mark.parametrize("way", [from_tensors, from_npz, from_dataset, from_manifest])
ARRAYS = pytest.mark.parametrize("way", [from_tensors, from_dataset])


@WAYS
@pytest.mark.parametrize("column", ["label", "patient_id", "sample_id"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("7", "007"),
        ("7", "7.0"),
        ("ear", "Ear"),
        ("M\u00e9ni\u00e8re", "Me\u0301nie\u0300re"),
        ("otitis media", "otitis\u00a0media"),
        ("ear", "ear\u200b"),
        ("100000", "1e+05"),
        ("7", "b'7'"),
    ],
)
def test_names_that_differ_only_in_form_are_refused(way, column, first, second, tmp_path):
    with pytest.raises(mv.DataError, match="only in form") as caught:
        way(tmp_path, **{column: [first, "x", second, "y"]})
    message = str(caught.value)
    assert repr(first) in message
    assert repr(second) in message
    assert "\n" not in message


@WAYS
@pytest.mark.parametrize("column", ["label", "patient_id", "sample_id"])
@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "nan", "None", "null", "NULL", "<NA>", "NaT", "#N/A", "?"])
def test_words_for_missing_values_are_no_names(way, column, word, tmp_path):
    with pytest.raises(mv.DataError, match=r"word for a missing value.*leave it empty") as caught:
        way(tmp_path, **{column: ["p1", "p2", word, "p3"]})
    places = ("line 4", "row 2", "item 2", "number")
    assert any(place in str(caught.value) for place in places)


@WAYS
def test_a_word_that_the_classes_name_is_a_class(way, tmp_path):
    data = way(tmp_path, label=["ill", "NA", "ill", "None"], classes=["ill", "NA", "None"])
    assert data.labels.tolist() == [0, 1, 0, 2]
    with pytest.raises(mv.DataError, match=r"'NA'.*word for a missing value"):
        way(tmp_path, label=["ill", "NA", "ill", "ill"], classes=["ill", "well"])


@pytest.mark.parametrize("way", [from_tensors, from_npz, from_manifest])
@pytest.mark.parametrize("labels", [[0, 1, -1, 0], [2, 1, 3, -1], [-1, 0, -1, 0], [-1, -1, -1, -1]])
def test_minus_one_beside_other_numbers_is_asked_about(way, labels, tmp_path):
    with pytest.raises(mv.DataError, match="-1 may mean no class"):
        way(tmp_path, label=labels)
    classes = sorted({*labels})
    assert way(tmp_path, label=labels, classes=classes).classes == [str(name) for name in classes]


@WAYS
def test_minus_one_and_one_are_classes(way, tmp_path):
    assert way(tmp_path, label=["1", "-1", "1", "-1"]).labels.tolist() == [1, 0, 1, 0]


@WAYS
@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["a", "A"], "only in form"),
        (["1", "01"], "only in form"),
        (["a", "a"], "not distinct"),
        (["a", ""], "not distinct"),
        (["a", None], "not distinct"),
        (["a", ["b"]], "not a name"),
        ([" B", "A"], "'a' and the class 'A'"),
    ],
)
def test_given_classes_are_distinct(way, classes, words, tmp_path):
    with pytest.raises(mv.DataError, match=words):
        way(tmp_path, classes=classes)


@WAYS
def test_empty_labels_and_patients_are_missing(way, tmp_path):
    data = way(tmp_path, label=["a", "", " ", "b"], patient_id=["p", "", "p", " "])
    assert data.labels.tolist() == [0, -1, -1, 1]
    assert data.patients == [data.patients[0], data.ids[1], data.patients[0], data.ids[3]]
    assert data.notes == {"patient_id": {INDEPENDENT: 2}}


@ARRAYS
@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), np.datetime64("NaT"), np.ma.masked], ids=str)
def test_values_that_are_missing_are_no_names(way, missing, tmp_path):
    data = way(tmp_path, label=["a", missing, "b", missing], patient_id=[7, missing, 7, missing])
    assert data.classes == ["a", "b"]
    assert data.labels.tolist() == [0, -1, 1, -1]
    assert len({*data.patients}) == 3
    with pytest.raises(mv.DataError, match="no id"):
        way(tmp_path, sample_id=["a", missing, "b", "c"])


@WAYS
def test_whole_numbers_are_names_without_a_decimal_point(way, tmp_path):
    if way is from_manifest:
        pytest.skip("text stays as it is written")
    data = way(tmp_path, label=[0.0, 1.0, np.nan, 1.0], patient_id=[1.0, 1.0, np.nan, 2.0])
    assert data.classes == ["0", "1"]
    assert data.labels.tolist() == [0, 1, -1, 1]
    assert [data.patients[row] for row in (0, 1, 3)] == ["1", "1", "2"]


@pytest.mark.parametrize("way", [from_tensors, from_npz, from_dataset])
def test_bytes_are_text(way, tmp_path):
    data = way(tmp_path, label=[b"ill", b"well", b"", b"ill"], patient_id=[b"7", b"7", b"8", b"9"])
    assert data.classes == ["ill", "well"]
    assert data.labels.tolist() == [0, 1, -1, 0]
    assert data.patients == ["7", "7", "8", "9"]


@pytest.mark.parametrize("way", [from_npz, from_dataset, from_manifest])
@pytest.mark.parametrize("column", ["PatientID", "subject_id", "participant", "Split"])
def test_a_column_that_is_nearly_a_known_one_is_refused(way, column, tmp_path):
    with pytest.raises(mv.DataError, match=f"'{column}' seems to be '(patient_id|split)'"):
        way(tmp_path, **{column: ["1", "1", "2", "2"]})


@pytest.mark.parametrize(
    "header", [" patient_id", "patient_id ", "\ufeffpatient_id", "patient_id\u200b", '"patient_id"']
)
def test_blanks_and_invisible_letters_in_a_header_do_not_count(header, tmp_path):
    data = from_manifest(tmp_path, **{header: ["1", "1", "2", "2"]})
    assert data.patients == ["1", "1", "2", "2"]
    assert data.notes == {}


def test_a_modality_may_be_named_in_another_unicode_form(tmp_path):
    (tmp_path / "manifest.csv").write_text("sample_id,label,patient_id,me\u0301l\na,ill,p,1 2\n", "utf-8")
    for name in ("me\u0301l", "m\u00e9l"):
        data = mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", {name: VECTOR["x"]}, cache=False)
        assert data.samples[name].tolist() == [[1, 2]]


@WAYS
def test_rows_without_patients_are_noted(way, tmp_path):
    assert way(tmp_path).notes == {"patient_id": {INDEPENDENT: ROWS}}
    assert way(tmp_path, patient_id=["1", "1", "2", "2"]).notes == {}


@pytest.mark.parametrize("cell", ["1_0 2", "1 NA", "1 None", "1;2", "1 0x10"])
def test_a_number_is_written_with_digits(cell, tmp_path):
    with pytest.raises(mv.DataError, match=r"line 3.*2 numbers"):
        from_manifest(tmp_path, x=["1 1", cell, "1 1", "1 1"])


def test_a_word_for_missing_in_a_cell_is_explained(tmp_path):
    with pytest.raises(mv.DataError, match=r"line 3.*'NA' is a word for a missing value; leave the cell empty"):
        from_manifest(tmp_path, x=["1 1", "NA", "1 1", "1 1"])
    kinds = {"kind": {"name": "categorical", "categories": ["left", "None"]}}
    (tmp_path / "manifest.csv").write_text("sample_id,label,kind\na,ill,left\nb,ill,None\nc,well,NA\n")
    with pytest.raises(mv.DataError, match=r"line 4.*'NA' is a word for a missing value"):
        mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", kinds, cache=False)
    (tmp_path / "manifest.csv").write_text("sample_id,label,kind\na,ill,left\nb,ill,None\nc,well,left\n")
    data = mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", kinds, cache=False)
    assert data.samples["kind"].tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("categories", [["a", "A"], ["1", "01"], ["a", "a"], ["a b", "a  b"]])
def test_categories_are_distinct(categories):
    with pytest.raises(mv.ConfigurationError, match="only in form"):
        mv.Categorical(categories=categories)


X = np.arange(2.0 * ROWS).reshape(ROWS, 2)


@ARRAYS
@pytest.mark.parametrize(
    "x",
    [
        X[::-1][::-1],
        X.astype(">f4"),
        X.astype(">i2"),
        X.astype(np.uint16),
        np.asfortranarray(X),
        np.concatenate([X, X], 1)[:, :2],
        X.tolist(),
        torch.tensor(X).requires_grad_(),
        torch.tensor(X.T.copy()).T,
        torch.tensor(X).bfloat16(),
        [torch.tensor(row) for row in X],
        np.ma.masked_array(X),
    ],
    ids=["flipped", "big-endian", "integers", "unsigned", "columns first", "strided", "lists", "gradient", "transposed",
         "bfloat16", "tensors", "nothing masked"],
)  # fmt: skip
def test_arrays_of_any_layout_are_read(way, x, tmp_path):
    assert way(tmp_path, x=x).samples["x"].tolist() == X.tolist()


def test_an_array_that_may_not_be_written_is_read_and_stays(tmp_path):
    x = X.astype(np.float32)
    x.setflags(write=False)
    data = from_tensors(tmp_path, x=x)
    data.samples["x"][0] = 9
    assert x[0].tolist() == [0, 1]


@ARRAYS
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X + 1j, "complex"),
        (torch.tensor(X) + 1j, "complex"),
        ((X + 1j).tolist(), "complex"),
        (np.ma.masked_array(X, X == 2), "not finite"),
        ([np.ma.masked_array(row, row == 2) for row in X], "not finite"),
        (X.astype(object), "type object"),
        (X.astype(str), "type <U"),
        ([[1.0, None]] * ROWS, "type object"),
        ([[1.0, np.nan]] * ROWS, "not finite"),
        ([[1.0, 1e39]] * ROWS, "not finite"),
        ([[10**400, 1]] * ROWS, "object|numbers"),
        (np.zeros((ROWS, 2), "datetime64[s]"), "type datetime64"),
        (np.zeros(ROWS, [("a", float), ("b", float)]), "type"),
        ([[1, "a"]] * ROWS, "type"),
    ],
    ids=["complex", "complex tensor", "complex numbers", "masked", "masked rows", "objects", "texts", "None", "NaN",
         "float64", "huge", "dates", "records", "mixed"],
)  # fmt: skip
def test_values_that_are_no_real_numbers_are_refused(way, x, words, tmp_path):
    with pytest.raises(mv.DataError, match=f"modality 'x'.*({words})"):
        way(tmp_path, x=x)


@pytest.mark.parametrize(
    "x",
    [[[1, 2], [1]] * 2, torch.eye(ROWS, 2).to_sparse(), 5, torch.tensor(5), object(), {"a": 1}, None,
     torch.zeros(ROWS, 2, device="meta")],
    ids=["ragged", "sparse", "number", "scalar", "object", "table", "none", "without data"],
)  # fmt: skip
def test_what_is_no_array_is_refused(x):
    with pytest.raises(mv.DataError, match="'x'"):
        mv.MultimodalDataset.from_tensors({"x": x}, list("abab"), VECTOR)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_a_masked_tensor_is_refused():
    x = torch.masked.masked_tensor(torch.tensor(X).float(), torch.tensor(X) > 2)
    with pytest.raises(mv.DataError, match=r"'x'.*MaskedTensor"):
        mv.MultimodalDataset.from_tensors({"x": x}, list("abab"), VECTOR)


@pytest.mark.parametrize("item", [(1, 2), None, torch.zeros(2), "text"])
def test_an_item_is_a_dictionary(item):
    with pytest.raises(mv.DataError, match=r"item 0 is a .*dictionary"):
        mv.MultimodalDataset.from_dataset([item], VECTOR)


@pytest.mark.parametrize(
    ("present", "words"),
    [
        (np.ones((ROWS, 1))[::-1], ""),
        (np.ma.masked_array(np.ones((ROWS, 1)), [[True], [False]] * 2), "True and False"),
        ([[np.nan]] * ROWS, "True and False"),
        ([[2]] * ROWS, "True and False"),
        ([[None]] * ROWS, "object"),
        (np.ones((ROWS, 1), complex), "complex"),
    ],
)
def test_presence_is_true_or_false(present, words):
    arguments = {"samples": {"x": X}, "labels": list("abab"), "modalities": VECTOR, "present": present}
    if not words:
        assert mv.MultimodalDataset.from_tensors(**arguments).present.all()
        return
    with pytest.raises(mv.DataError, match=f"'present'.*{words}"):
        mv.MultimodalDataset.from_tensors(**arguments)


def test_masked_rows_of_absent_samples_are_not_read():
    x = np.ma.masked_array(X, [[True, True], *[[False, False]] * 3])
    present = [[False], [True], [True], [True]]
    data = mv.MultimodalDataset.from_tensors({"x": x}, list("abab"), VECTOR, present=present)
    assert data.samples["x"].tolist() == [[0, 0], *X[1:].tolist()]


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.array([1 + 1j, 2]), "complex"), (np.ma.masked_array([1.0, 2.0], [False, True]), "not finite"), ("ab", "type")],
)
def test_what_a_modality_reads_is_checked_too(value, words, tmp_path):
    class Careless(mv.Vector):
        def read(self, cell):
            return value

    (tmp_path / "manifest.csv").write_text("sample_id,label,x\na,ill,1 2\n")
    with pytest.raises(mv.DataError, match=f"line 2.*{words}"):
        mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", {"x": Careless(size=2)}, cache=False)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return mv.MultimodalDataset.from_manifest(path, VECTOR, cache=False)


TABLE = [["sample_id", "patient_id", "label", "x"], ["a", "p1", "Ménière", "1 2"], ["c", "p2", "well", "3 4"]]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("form", ["plain", "sep line", "blank rows", "right edge", "quoted"])
def test_a_manifest_is_read_as_people_save_it(separator, encoding, end, form, tmp_path):
    rows = [[*row] for row in TABLE]
    if form == "quoted":
        rows = [[f'"{cell}"' for cell in row] for row in rows]
    if form == "right edge":
        rows = [[*row, "", ""] for row in rows]
    if form == "blank rows":
        rows = [[""], rows[0], ["", "", "", ""], *rows[1:], ["", "", "", ""], [""]]
    lines = [separator.join(row) for row in rows]
    if form == "sep line":
        lines = [f"sep={separator}", *lines]
    data = write(tmp_path / "manifest.csv", end.join(lines) + end, encoding)
    assert data.ids == ["a", "c"]
    assert data.patients == ["p1", "p2"]
    assert data.classes == ["Ménière", "well"]
    assert data.samples["x"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("encoding", ["cp1252", "mac-roman", "utf-16-le", "utf-32"])
def test_a_manifest_in_an_uncertain_encoding_is_refused(encoding, tmp_path):
    text = "\n".join(",".join(row) for row in TABLE)
    with pytest.raises(mv.DataError, match="save it as UTF-8"):
        write(tmp_path / "manifest.csv", text, encoding)


def test_the_lines_of_errors_count_blank_rows_and_the_separator(tmp_path):
    with pytest.raises(mv.DataError, match=r"line 5 has 3 cells"):
        write(tmp_path / "manifest.csv", "sep=;\n\nsample_id;label;x;site\n;;;\na;ill;1 2\n")
    with pytest.raises(mv.DataError, match=r"line 3 has 5 cells"):
        write(tmp_path / "manifest.csv", "sample_id;label;x\na;ill;1 2\nb;ill;1 2;;late\n")


@pytest.mark.parametrize("cell", ["im\\0.npy", "im/0.npy", ".\\im\\0.npy", "im\\..\\im\\0.npy"])
def test_paths_may_be_written_as_windows_does(cell, tmp_path):
    (tmp_path / "im").mkdir()
    np.save(tmp_path / "im" / "0.npy", np.array([1.0, 2.0]))
    (tmp_path / "manifest.csv").write_text(f"sample_id,label,x\na,ill,{cell}\n")
    files = {"x": {"name": "vector", "size": 2, "cell": "path"}}
    data = mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", files, cache=False)
    assert data.samples["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "cell", ["..\\0.npy", "im\\..\\..\\0.npy", "C:\\0.npy", "c:/0.npy", "\\0.npy", "\\\\server\\0.npy"]
)
def test_no_path_of_windows_leads_out(cell, tmp_path):
    (tmp_path / "manifest.csv").write_text(f"sample_id,label,x\na,ill,{cell}\n")
    with pytest.raises(mv.DataError, match="leads out"):
        mv.MultimodalDataset.from_manifest(
            tmp_path / "manifest.csv", {"x": {"name": "vector", "size": 2, "cell": "path"}}, cache=False
        )


@given(
    names=st.lists(st.text(min_size=1, max_size=4), min_size=ROWS, max_size=ROWS),
    column=st.sampled_from(["label", "patient_id", "sample_id"]),
)
def test_any_names_are_accepted_or_refused_and_never_a_word_for_missing(names, column, tmp_path_factory):
    try:
        data = from_tensors(None, **{column: names})
    except mv.DataError:
        return
    assert not {name.lower() for name in (*data.classes, *data.patients, *data.ids)} & MISSING


def records(patients):
    return Records(LabeledSamples({"x": torch.zeros(ROWS, 2)}, torch.zeros(ROWS, dtype=torch.int64), patients))


def test_a_holdout_with_the_same_patients_in_another_form_is_refused():
    with pytest.raises(mv.DataError, match=r"shares 1 patients.*'007'"):
        require_disjoint(records(["7", "8", "9", "10"]), records(["007", "11", "12", "13"]), "the training")


@pytest.fixture(scope="module")
def vae():
    return mv.MultimodalVAE(VECTOR, ["a", "b"], fusion="poe", latent_dim=3).eval()


@pytest.mark.parametrize("x", [X.tolist(), X[::-1][::-1], X.astype(">f4"), torch.tensor(X).requires_grad_()])
def test_a_model_takes_arrays_of_any_layout(vae, x):
    assert torch.equal(vae.encode({"x": x}).mean, vae.encode({"x": torch.tensor(X).float()}).mean)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X + 1j, "complex"),
        (torch.tensor(X) + 1j, "complex"),
        (np.ma.masked_array(X, X == 2), "not finite"),
        (X.astype(object), "object"),
        (X.astype(str), "type"),
        (5, "shape"),
        ("text", "type"),
        (None, "type"),
        (torch.tensor(X).to_sparse(), "sparse"),
    ],
)
def test_a_model_takes_real_numbers_only(vae, x, words):
    for method in (vae.encode, vae.reconstruct, lambda samples: vae.translate(samples, "x"), vae.interpolate):
        with pytest.raises(mv.DataError, match=f"modality 'x'.*{words}"):
            method({"x": x})
    if words != "shape":
        with pytest.raises(mv.DataError, match="latents must be finite"):
            vae.generate(np.ma.masked_array(np.ones((2, 3)), True) if words == "not finite" else x)


@pytest.mark.parametrize("latents", [np.ones((2, 3))[::-1], np.ones((2, 3), ">f4"), np.ones((2, 3)).tolist()])
def test_latents_may_be_arrays_of_any_layout(vae, latents):
    assert torch.equal(vae.generate(latents)["x"], vae.generate(torch.ones(2, 3))["x"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (X + 1j, "complex"),
        (torch.tensor(X) + 1j, "complex"),
        (np.ma.masked_array(X, X == 2), "finite"),
        (X.astype(str), "type"),
    ],
)
def test_metrics_take_real_numbers_only(values, words):
    labels = torch.zeros(ROWS, dtype=torch.int64)
    with pytest.raises(mv.DataError, match=f"'x'.*{words}"):
        LabeledSamples({"x": values}, labels)
    assert LabeledSamples({"x": X[::-1]}, labels).values["x"].tolist() == X[::-1].tolist()


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), min_size=2, max_size=5),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_names_in_a_manifest_are_read_as_they_are_written_or_refused(names, separator, encoding, tmp_path_factory):
    path = tmp_path_factory.mktemp("names") / "manifest.csv"
    with open(path, "w", newline="", encoding=encoding) as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerow(["sample_id", "label", "x", "site"])
        rows.writerows([name, name, "1 2", name] for name in names)
    try:
        data = mv.MultimodalDataset.from_manifest(path, VECTOR, names, cache=False)
    except mv.DataError:
        return
    assert data.ids == data.classes == data.metadata["site"] == [name.strip() for name in names]
    assert data.labels.tolist() == list(range(len(names)))


def test_an_unknown_sample_or_class_in_another_form_is_named(tmp_path):
    data = from_tensors(tmp_path, sample_id=["001", "2", "3", "4"], label=["Ill", "Well", "Ill", "Well"])
    with pytest.raises(mv.DataError, match="no sample '1'; there is '001'"):
        data.named("1")
    assert data.of_class(" Ill").ids == ["001", "3"]
    with pytest.raises(mv.DataError, match="did you mean 'Ill'"):
        data.of_class("ill")


def test_columns_in_capitals_are_named(tmp_path):
    with pytest.raises(mv.DataError, match=r"'SAMPLE_ID' seems to be 'sample_id'|'LABEL' seems to be 'label'"):
        write(tmp_path / "manifest.csv", "SAMPLE_ID,LABEL,X\na,ill,1 2\n")
