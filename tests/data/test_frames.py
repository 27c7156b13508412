"""DataFrames in and out: what one library writes, the data set holds, and the other way round."""

import numpy as np
import pandas
import polars
import polars.testing
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import MultimodalDataset
from multimodal_vae.errors import DataError

PARTS = {"blood": mv.Vector(size=2), "side": mv.Categorical(categories=["left", "right"])}
COLUMNS = {"blood": ["hb", "crp"]}
CONTENT = {
    "label": ["ill", None, "well"],
    "patient_id": ["p", "q", "q"],
    "hb": [1.5, None, 3.0],
    "crp": [10, None, 30],
    "side": [None, "left", "right"],
    "ward": ["a", "b", None],
}


def make(frame, parts=PARTS, **arguments):
    return MultimodalDataset.from_dataframe(frame, parts, **{"columns": COLUMNS, **arguments})


@pytest.mark.parametrize(
    "build",
    [pandas.DataFrame, lambda content: pandas.DataFrame(content).convert_dtypes(), polars.DataFrame],
    ids=["pandas", "nullable", "polars"],
)
def test_frames_of_every_library_become_the_same_data_set_and_come_back(build):
    frame = build(CONTENT)
    data = make(frame)
    assert data.ids == ["0", "1", "2"]
    assert data.patients == CONTENT["patient_id"]
    assert data.classes == ["ill", "well"]
    assert data.labels.tolist() == [0, -1, 1]
    assert data.present.tolist() == [[True, False], [False, True], [True, True]]
    assert data.samples["blood"].tolist() == [[1.5, 10], [0, 0], [3, 30]]
    assert data.samples["side"].tolist() == [[0, 0], [1, 0], [0, 1]]
    assert data.metadata == {"ward": ["a", "b", ""]}
    back = data.to_dataframe(columns=COLUMNS, like=frame)
    assert type(back) is type(frame)
    assert make(back).fingerprint() == data.fingerprint()
    if isinstance(frame, pandas.DataFrame):
        pandas.testing.assert_frame_equal(back[frame.columns], frame)
    elif isinstance(frame, polars.DataFrame):
        polars.testing.assert_frame_equal(back.select(frame.columns), frame)


def test_types_and_index_are_kept():
    frame = pandas.DataFrame(
        {
            "label": pandas.Categorical(["b", "a"], categories=["b", "a", "c"]),
            "count": pandas.array([1, pandas.NA], dtype="Int16"),
            "side": pandas.Categorical(["left", "right"]),
            "split": ["train", "test"],
        },
        index=pandas.Index([7, 9], name="visit"),
    )
    data = make(frame, {"count": mv.Vector(size=1), "side": PARTS["side"]}, columns=None)
    assert data.ids == ["7", "9"]
    assert data.given_split == ["train", "test"]
    pandas.testing.assert_frame_equal(data.to_dataframe(like=frame)[frame.columns], frame)
    plain = data.to_dataframe()
    assert plain.index.tolist() == [7, 9]
    assert plain["count"].tolist()[0] == 1
    assert plain["side"].tolist() == ["left", "right"]


def test_covariates_are_columns_that_come_back_with_their_types():
    frame = pandas.DataFrame({**CONTENT, "age": [61, 40, 55], "site": ["A", "B", "A"], "room": ["007", "008", ""]})
    data = make(frame, covariates=["site", "age"])
    assert data.covariates.tolist() == [[61, 0], [40, 1], [55, 0]]
    back = data.to_dataframe(columns=COLUMNS, like=frame)
    for column in ("age", "site"):
        pandas.testing.assert_series_equal(back[column], frame[column])
    assert back["room"].tolist()[:2] == ["007", "008"]
    assert make(back, covariates=["site", "age"]).fingerprint() == data.fingerprint()


def test_a_type_that_would_change_a_value_is_not_taken():
    data = MultimodalDataset.from_tensors({"x": torch.tensor([[1.5]])}, ["a"], {"x": mv.Vector(size=1)})
    like = pandas.DataFrame({"x": [1], "label": pandas.Categorical(["other"])})
    back = data.to_dataframe(like=like)
    assert back["x"].tolist() == [1.5]
    assert back["label"].tolist() == ["a"]


@pytest.mark.parametrize("build", [pandas.DataFrame, polars.DataFrame])
def test_tables_keep_the_types_and_the_gaps_of_their_columns(build):
    content = {
        "label": ["ill", "well"] * 4,
        "visits": [3, 7, None, 12, 40, 5, 900, 8],
        "crp": [1.25, None, 80.5, 3.0, 2.0, 1.0, 7.5, 0.125],
        "sex": ["f", "m", "f", None, "f", "m", "m", "f"],
        "ward": ["a"] * 8,
    }
    frame = build(content)
    data = MultimodalDataset.from_dataframe(
        frame, {"blood": mv.Table(columns=["crp", "visits"]), "who": mv.Table(["s*"])}
    )
    assert data.modalities["blood"].types["visits"].type == "count"
    assert data.modalities["who"].types["sex"].words == ("f", "m")
    assert data.present[:, 1].tolist() == [True] * 3 + [False] + [True] * 4
    assert data.samples["blood"].isnan().tolist() == [[False] * 2, [True, False], [False, True], *[[False] * 2] * 5]
    assert list(data.metadata) == ["ward"]
    back = data.to_dataframe(like=frame)
    for column in frame.columns:
        assert back[column].dtype == frame[column].dtype
    assert MultimodalDataset.from_dataframe(back, data.modalities).fingerprint() == data.fingerprint()


def test_arrays_lie_in_one_column():
    signals = [np.ones((1, 8)), None]
    frame = pandas.DataFrame(
        {"label": [0, 1], "pulse": pandas.Series(signals, dtype=object), "hb": [1, 2], "crp": [3, 4]}
    )
    parts = {"pulse": mv.Signal(length=8), "blood": PARTS["blood"]}
    data = make(frame, parts)
    assert data.present.tolist() == [[True, True], [False, True]]
    back = data.to_dataframe(columns=COLUMNS)
    assert back["pulse"][1] is None
    assert make(back, parts).fingerprint() == data.fingerprint()


def test_generated_samples_become_a_frame():
    drawn = {"blood": torch.tensor([[1.0, 2.0]]), "side": torch.tensor([[0.0, 1.0]])}
    frame = MultimodalDataset.from_tensors(drawn, ["ill"], PARTS).to_dataframe(columns=COLUMNS)
    assert frame.to_dict("list") == {"label": ["ill"], "hb": [1.0], "crp": [2.0], "side": ["right"]}


ROWS = pandas.DataFrame({"label": [0, 1], "hb": [1.0, 2.0], "crp": [3.0, 4.0], "side": ["left", "right"]})
MISTAKES = {
    "a list": (lambda: make([1]), "a list is no DataFrame of pandas or polars"),
    "no rows": (lambda: make(ROWS[:0]), "the frame has no rows"),
    "no label": (lambda: make(ROWS, label="diagnosis"), "no column 'diagnosis'"),
    "no column": (lambda: make(ROWS, columns={"blood": ["hb", "crb"]}), "no column 'crb'; did you mean 'crp'"),
    "unknown modality": (lambda: make(ROWS, columns={"bloods": ["hb"]}), "'bloods', which is no modality"),
    "no columns": (lambda: make(ROWS, columns={"blood": []}), "no column of modality 'blood'"),
    "too few columns": (lambda: make(ROWS, {"b": mv.Vector(size=3)}, columns={"b": ["hb", "crp"]}), "has 2 columns"),
    "text": (lambda: make(ROWS.assign(crp=["3", "high"])), "column 'crp', row 0 is '3'; a number is expected"),
    "a date": (lambda: make(ROWS.assign(crp=pandas.Timestamp(0))), "row 0 is Timestamp.*; a number is expected"),
    "a gap": (lambda: make(ROWS.assign(crp=[1.0, None])), "column 'crp', row 1 is missing.*; fill the cell"),
    "no modality": (lambda: make(ROWS.assign(crp=np.nan, hb=None, side=None)), "row 0 of the frame has none"),
    "a category": (lambda: make(ROWS.assign(side=["left", "both"])), "column 'side', row 1: the cell has the unknown"),
    "a path": (
        lambda: make(ROWS.assign(x="a.npy"), {"x": mv.Signal(length=8)}, columns=None),
        "column 'x', row 0: 'a.npy' is no array; .* use from_manifest",
    ),
    "a shape": (
        lambda: make(ROWS.assign(x=[[1.0], [2.0]]), {"x": mv.Signal(length=8)}, columns=None),
        r"column 'x', row 0: an array of shape \(1,\) is no sample of 'signal', which has \(1, 8\)",
    ),
    "a table": (
        lambda: make(
            ROWS.assign(sex=["f", "x"]), {"t": mv.Table({"sex": {"type": "binary", "words": ["f", "m"]}})}, columns=None
        ),
        "row 1 has in column 'sex'",
    ),
    "no column of a table": (
        lambda: make(ROWS, {"t": mv.Table(["x*"])}, columns=None),
        "no column matches the pattern 'x",
    ),
    "two levels": (lambda: make(ROWS.set_index(["side", "hb"], drop=False)), "several levels"),
    "same names": (lambda: make(pandas.concat([ROWS, ROWS], axis=1)), "columns with the same name"),
    "same ids": (lambda: make(pandas.concat([ROWS, ROWS])), "the id '0' belongs to 2 samples"),
    "PatientID": (lambda: make(ROWS.assign(PatientID=1)), "the column 'PatientID' seems to be 'patient_id'"),
    "no covariate": (lambda: make(ROWS, covariates=["site"]), "the frame has no column 'site'"),
    "from_tensors": (lambda: MultimodalDataset.from_tensors(ROWS, [0, 1], PARTS), "samples is a DataFrame; make a"),
    "a frame of objects": (
        lambda: MultimodalDataset.from_tensors({"side": ROWS[["side"]], "blood": ROWS[["hb", "crp"]]}, [0, 1], PARTS),
        "from_dataframe",
    ),
    "from_dataset": (lambda: MultimodalDataset.from_dataset(ROWS, PARTS), "dataset is a DataFrame; make a data set"),
    "taken": (lambda: make(ROWS).to_dataframe(columns={"blood": ["hb", "side"]}), "another column is called 'side'"),
    "like a list": (lambda: make(ROWS).to_dataframe(like=[1]), "a list is no DataFrame"),
    "too few names": (lambda: make(ROWS).to_dataframe(columns={"side": ["l", "r", "b"]}), "has 3 columns"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(mistake):
    call, message = mistake
    with pytest.raises(DataError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
