import numpy as np
import pytest
import torch

import multimodal_vae as mv

VECTORS = {"x": {"name": "vector", "size": 3}, "y": {"name": "vector", "size": 2}}


def tensors(count=4):
    return {"x": torch.arange(3.0 * count).reshape(count, 3), "y": torch.ones(count, 2)}


def make(labels=("a", "b", "a", None), **arguments):
    return mv.MultimodalDataset.from_tensors(tensors(len(labels)), labels, VECTORS, **arguments)


def test_tensors_become_a_data_set():
    data = make(ids=["p", "q", "r", "s"], patients=[1, 1, 2, 2])
    assert data.classes == ["a", "b"]
    assert data.labels.tolist() == [0, 1, 0, -1]
    assert data.patients == ["1", "1", "2", "2"]
    assert len(data) == 4
    assert data[0]["x"].tolist() == [0, 1, 2]
    assert data[1]["sample_id"] == "q"


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 10, 2], np.array([0, 1, 10, 2]), torch.tensor([0, 1, 10, 2]), ["0", "1", "10", "2"], (0, 1, 10, 2)],
    ids=["list", "array", "tensor", "words", "tuple"],
)
def test_numbers_are_classes_in_the_order_of_numbers(labels):
    data = make(labels)
    assert data.classes == ["0", "1", "2", "10"]
    assert data.labels.tolist() == [0, 1, 3, 2]


def test_patients_and_names_may_be_arrays_or_tensors():
    for kind in (np.array, torch.tensor):
        data = make(patients=kind([3, 3, 4, 5]), ids=kind([9, 8, 7, 6]))
        assert data.patients == ["3", "3", "4", "5"]
        assert data.ids == ["9", "8", "7", "6"]


def test_without_names_samples_are_numbered_and_patients_of_their_own():
    data = make()
    assert data.ids == ["0", "1", "2", "3"]
    assert data.patients == data.ids


def test_a_row_that_is_absent_may_hold_anything_and_becomes_zero():
    samples = tensors()
    samples["x"][2] = float("nan")
    present = [[True, True], [True, True], [False, True], [True, True]]
    data = mv.MultimodalDataset.from_tensors(samples, ["a", "b", "a", "b"], VECTORS, present=present)
    assert (data.samples["x"][2] == 0).all()
    assert "x" not in data[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": {"x": torch.zeros(4, 3)}}, "no samples of modality 'y'"),
        ({"samples": {"x": torch.zeros(4, 3), "yy": torch.zeros(4, 2)}}, "did you mean 'yy'"),
        ({"samples": {"x": torch.zeros(3, 3), "y": torch.zeros(4, 2)}}, "3 samples of 'x' and 4 labels"),
        ({"samples": {"x": torch.zeros(4, 2), "y": torch.zeros(4, 2)}}, r"'x'.*\(2,\).*\(3,\)"),
        ({"samples": {"x": torch.full((4, 3), float("nan")), "y": torch.zeros(4, 2)}}, "'x'.*not finite"),
        ({"ids": ["a"]}, "1 ids and 4 labels"),
        ({"patients": ["a"]}, "1 patients and 4 labels"),
        ({"classes": ["ill", "well"], "labels": ["ill", "well", "wel", None]}, "row 2.*did you mean 'well'"),
        ({"ids": ["a", "b", "a", "c"]}, "'a'"),
        ({"present": torch.ones(3, 2)}, "present|shape|number"),
        ({"present": torch.ones(4, 1)}, "present|shape|number"),
    ],
    ids=[
        "missing",
        "misspelt",
        "length",
        "shape",
        "nan",
        "few ids",
        "few patients",
        "class",
        "ids twice",
        "short presence",
        "narrow presence",
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    arguments = {"samples": tensors(), "labels": ["a", "b", "a", None], "modalities": VECTORS, **change}
    with pytest.raises(mv.DataError, match=words):
        mv.MultimodalDataset.from_tensors(**arguments)


def test_an_npz_becomes_the_same_data_set(tmp_path):
    arrays = {name: x.numpy() for name, x in tensors().items()}
    names = np.array(["p", "q", "r", "s"])
    np.savez(
        tmp_path / "a.npz", **arrays, label=np.array([1, 0, 1, 0]), sample_id=names, patient_id=np.array([1, 1, 2, 2])
    )
    data = mv.MultimodalDataset.from_npz(tmp_path / "a.npz", VECTORS)
    again = make([1, 0, 1, 0], ids=names, patients=[1, 1, 2, 2])
    assert data.fingerprint() == again.fingerprint()
    assert data.source == tmp_path / "a.npz"
    np.savez(tmp_path / "b.npz", **arrays, label=np.array(["a", "", "b", "a"]))
    assert mv.MultimodalDataset.from_npz(tmp_path / "b.npz", VECTORS).labels.tolist() == [0, -1, 1, 0]


def test_a_split_may_be_given_with_tensors_and_in_an_npz(tmp_path):
    parts = np.array(["train", "test", "train", "validation"])
    arrays = {name: x.numpy() for name, x in tensors().items()}
    np.savez(tmp_path / "a.npz", **arrays, diagnosis=np.array([1, 0, 1, 0]), split=parts)
    for data in (
        make(split=parts),
        mv.MultimodalDataset.from_npz(tmp_path / "a.npz", VECTORS, labels="diagnosis"),
    ):
        assert [part.ids for part in data.split_as_given()] == [["0", "2"], ["3"], ["1"]]
    assert data.labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(mv.DataError, match="there are 3 names of splits and 4 labels"):
        make(split=parts[:3])
    with pytest.raises(mv.DataError, match="no array 'diagnosi'; did you mean 'diagnosis'"):
        mv.MultimodalDataset.from_npz(tmp_path / "a.npz", VECTORS, labels="diagnosi")


def test_an_npz_with_a_mistake_is_refused_by_name(tmp_path):
    path = tmp_path / "a.npz"
    read = mv.MultimodalDataset.from_npz
    with pytest.raises(mv.DataError, match=r"no file .*a\.npz"):
        read(path, VECTORS)
    np.savez(path, x=np.zeros((2, 3)), y=np.zeros((2, 2)), lable=np.zeros(2))
    with pytest.raises(mv.DataError, match=r"a\.npz: there is no array 'label'; did you mean 'lable'"):
        read(path, VECTORS)
    np.savez(path, x=np.zeros((2, 4)), y=np.zeros((2, 2)), label=np.zeros(2))
    with pytest.raises(mv.DataError, match=r"a\.npz: modality 'x'"):
        read(path, VECTORS)
    np.savez(path, x=np.zeros((2, 3)), y=np.array([None, None]), label=np.zeros(2))
    with pytest.raises(mv.DataError, match=r"a\.npz: .*plain"):
        read(path, VECTORS)
    path.write_bytes(b"no zip")
    with pytest.raises(mv.DataError, match=r"a\.npz"):
        read(path, VECTORS)


def test_a_modality_given_away_is_copied():
    part = mv.Vector(size=3)
    data = mv.MultimodalDataset.from_tensors({"x": torch.zeros(1, 3)}, ["a"], {"x": part})
    assert data.modalities["x"] is not part


def test_a_subset_keeps_everything_of_its_rows():
    data = make(ids=["p", "q", "r", "s"], patients=[1, 1, 2, 2])
    data.metadata = {"site": ["n", "s", "e", "w"]}
    part = data.subset([2, 0])
    assert part.ids == ["r", "p"]
    assert part.patients == ["2", "1"]
    assert part.labels.tolist() == [0, 0]
    assert part.classes == data.classes
    assert part.metadata == {"site": ["e", "n"]}
    assert torch.equal(part.samples["x"], data.samples["x"][[2, 0]])
    assert len(data.subset([])) == 0


def test_of_class_is_the_rows_of_that_class():
    data = make(ids=["p", "q", "r", "s"])
    assert data.of_class("a").ids == ["p", "r"]
    with pytest.raises(mv.DataError, match="no class 'aa'; did you mean 'a'"):
        data.of_class("aa")


def test_a_batch_is_the_rows_asked_for():
    data = make(ids=["p", "q", "r", "s"])
    batch = data.batch(torch.tensor([3, 1]))
    assert batch.ids == ["s", "q"]
    assert batch.labels.tolist() == [-1, 1]
    assert len(batch) == 2
    assert torch.equal(batch.samples["x"], data.samples["x"][[3, 1]])
    other = batch.with_samples({"x": torch.zeros(2, 3)})
    assert other.labels is batch.labels
    assert batch.to(torch.device("cpu")).ids == batch.ids


def test_a_split_is_of_all_rows_and_by_patient():
    data = make([0, 1] * 20, patients=[row // 2 for row in range(40)])
    parts = data.split(0.5, 0.25, 0.25, seed=1)
    assert sorted(int(name) for part in parts for name in part.ids) == list(range(40))
    assert not set(parts[0].patients) & set(parts[1].patients) | set(parts[0].patients) & set(parts[2].patients)
    assert [len(part) for part in parts] == [20, 10, 10]


def altered(kind):
    names = {"ids": list("pqrs"), "patients": ["1", "1", "2", "2"]}
    data = make(**names)
    if kind == "value":
        data.samples["x"][3, 2] += 1e-6 * data.samples["x"][3, 2]
    elif kind == "label":
        data = make(["a", "b", "b", None], **names)
    elif kind == "unlabeled":
        data = make(["a", "b", "a", "a"], **names)
    elif kind == "class name":
        data = make(["a", "c", "a", None], **names)
    elif kind == "another class":
        data = make(**names, classes=["a", "b", "c"])
    elif kind == "id":
        data = make(**(names | {"ids": list("pqrt")}))
    elif kind == "patient":
        data = make(**(names | {"patients": ["1", "1", "2", "3"]}))
    elif kind == "order":
        data = data.subset([1, 0, 2, 3])
    elif kind == "row gone":
        data = data.subset([0, 1, 2])
    elif kind == "presence":
        data.present[0, 1] = False
    elif kind == "modality name":
        data.samples = {"z": data.samples["x"], "y": data.samples["y"]}
    elif kind == "shape":
        data.samples["x"] = data.samples["x"].reshape(4, 3, 1)
    elif kind == "modalities swapped":
        data.samples = {"y": data.samples["x"], "x": data.samples["y"]}
    return data.fingerprint()


def test_the_fingerprint_is_that_of_equal_data():
    assert altered("nothing") == altered("nothing")
    assert len(altered("nothing")) == 64


@pytest.mark.parametrize(
    "kind",
    [
        "value", "label", "unlabeled", "class name", "another class", "id", "patient", "order", "row gone", "presence",
        "modality name", "shape", "modalities swapped",
    ],
)  # fmt: skip
def test_the_fingerprint_changes_with_the_data(kind):
    assert altered(kind) != altered("nothing")
