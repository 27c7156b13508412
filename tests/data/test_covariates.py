"""Covariates: read, typed once, carried by data sets and batches, and refused where they are wrong."""

import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.data.covariates import Covariate, read_settings, texts_of, values_of_covariates

SITES, AGES = ["B", "A", "", "A"], ["50", "", "41.5", "NA"]


def _manifest(folder, header, *rows):
    path = folder / "manifest.csv"
    lines = [",".join(row) for row in rows]
    path.write_text("\n".join([f"sample_id,label,x,{header}", *(f"s{i},a,{i},{row}" for i, row in enumerate(lines))]))
    return path


def _read(path, covariates):
    return mv.MultimodalDataset.from_manifest(path, {"x": mv.Vector(size=1)}, covariates=covariates, cache=False)


def test_a_manifests_columns_are_typed_and_carried_by_batches_subsets_and_splits(tmp_path):
    data = _read(_manifest(tmp_path, "site,age", *zip(SITES, AGES, strict=True)), ["site", "age"])
    assert data.covariate_types == [
        Covariate(name="age", kind="number"),
        Covariate(name="site", kind="word", values=("A", "B")),
    ]
    expected = torch.tensor([[50, 1], [math.nan, 0], [41.5, math.nan], [math.nan, 0]])
    rows = torch.tensor([2, 0])
    for found, wanted in (
        (data.covariates, expected),
        (data.batch(rows).covariates, expected[rows]),
        (data.subset([2, 0]).covariates, expected[rows]),
    ):
        torch.testing.assert_close(found, wanted, equal_nan=True, rtol=0, atol=0)
    parts = data.split(0.5, 0.25, 0.25)
    assert [part.covariate_types for part in parts] == [data.covariate_types] * 3
    assert sum(len(part.covariates) for part in parts) == 4
    assert data[0]["site"] == "B"
    assert data[2]["age"] == "41.5"


def test_the_order_of_covariates_makes_no_difference(tmp_path):
    path = _manifest(tmp_path, "site,age", *zip(SITES, AGES, strict=True))
    one, other = (_read(path, names) for names in (["site", "age"], ["age", "site"]))
    assert one.fingerprint() == other.fingerprint()
    assert one.covariate_types == other.covariate_types


def test_tensors_take_covariates_and_the_types_of_other_data(make_data):
    data = make_data(4, covariates={"site": ["B", "A", None, "A"], "age": [50, math.nan, 41.5, 7]})
    assert texts_of(data.covariate_types, data.covariates)[2] == {"age": "41.5", "site": ""}
    same = make_data(2, covariates={"site": ["B", "B"], "age": [1, 2]}, covariate_types=data.covariate_types)
    assert same.covariates[:, 1].tolist() == [1, 1]
    assert data.fingerprint() != make_data(4).fingerprint()


def test_numbers_can_be_taken_as_words(tmp_path):
    path = _manifest(tmp_path, "site", ["1"], ["2"], ["2"])
    assert _read(path, ["site"]).covariate_types[0].kind == "number"
    assert _read(path, [{"name": "site", "kind": "word"}]).covariate_types[0].values == ("1", "2")


@pytest.mark.parametrize(
    ("header", "rows", "covariates", "message"),
    [
        ("site", [["A"]], ["sites"], "no column 'sites' beside the modalities.*did you mean 'site'"),
        ("site", [["A"]], ["label"], "no column 'label' beside the modalities"),
        ("age", [["1"], ["2"], ["old"]], ["age"], "has numbers, but line 4 has 'old'; correct it"),
        ("age", [[""], ["NA"]], ["age"], "'age' has no value; fill its column"),
        ("site", [["A"], ["a"]], ["site"], "differ only in form"),
        ("site", [["A"], ["NA"], ["B"]], ["site"], "line 3: the value of the covariate 'site' 'NA' is a word for a"),
        ("day", [[f"2026-01-{i}"] for i in range(60)], ["day"], "60 different words; it takes numbers, or at most 50"),
        ("site", [["A"]], [{"name": "site", "values": ["B"]}], "line 2: the covariate 'site' has no value 'A'; the kn"),
        ("age", [["x"]], [{"name": "age", "kind": "number"}], "line 2: the covariate 'age' takes numbers with decimal"),
    ],
)
def test_a_mistake_in_a_manifest_is_one_line_with_the_cure(tmp_path, header, rows, covariates, message):
    path = _manifest(tmp_path, header, *rows)
    with pytest.raises(mv.DataError, match=message) as caught:
        _read(path, covariates)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        (["a", "a"], "'a' is given twice"),
        ([3], "3 is no covariate; give the name"),
        ([{"name": "a", "kind": "x"}], "no"),
    ],
)
def test_a_mistake_in_the_names_of_covariates_is_refused(make_data, covariates, message):
    with pytest.raises(mv.ConfigurationError, match=message):
        make_data(2, covariates={"a": [1, 2]}, covariate_types=covariates)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "takes the covariate 'age', which is not given"),
        ({"age": 1}, "takes the covariate 'site', which is not given"),
        ({"age": 1, "site": "C"}, "'site' has no value 'C'; the known ones are A, B"),
        ({"age": "old", "site": "A"}, "'age' takes numbers"),
        ({"age": 1, "sit": "A"}, "no covariate 'sit'; did you mean 'site'"),
        ({"age": [1, 2], "site": "A"}, "'age' has 2 values; there are 3 samples"),
        ("A", "given by name"),
    ],
)
def test_values_that_a_caller_gives_are_checked(given, message):
    types = [Covariate(name="age", kind="number"), Covariate(name="site", kind="word", values=("A", "B"))]
    with pytest.raises(mv.DataError, match=message):
        values_of_covariates(types, given, 3)


def test_settings_of_the_command_line_are_read():
    assert read_settings(["site=B=C", " age = 3"]) == {"site": "B=C", "age": "3"}
    for wrong in (["site"], ["site=A", "site=B"]):
        with pytest.raises(mv.DataError, match="sets no covariate; give each once"):
            read_settings(wrong)


def test_a_dataframes_columns_are_covariates():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"label": list("aabb"), "x": [1.0, 2, 3, 4], "site": list("BAAB"), "age": [1.5, None, 3, 4]}
    )
    data = mv.MultimodalDataset.from_dataframe(frame, {"x": mv.Vector(size=1)}, covariates=["site", "age"])
    assert data.covariates[:, 1].tolist() == [1, 0, 0, 1]
    assert data.covariates[:, 0].isnan().tolist() == [False, True, False, False]
    assert list(data.to_dataframe()["site"]) == list("BAAB")
