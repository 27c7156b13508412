"""Columns of files equal those of tensors, in any subset of any subset."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.data.columns import Column, FileRows, Scratch

choices = st.lists(st.lists(st.integers(0, 1000), max_size=8), max_size=3)


@given(
    shape=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    places=st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 4)), min_size=1, max_size=12),
    choices=choices,
    seed=st.integers(0, 99),
)
def test_rows_of_files_are_those_of_a_tensor(tmp_path_factory, shape, places, choices, seed):
    folder = tmp_path_factory.mktemp("rows")
    content = np.random.default_rng(seed).normal(size=(3, 5, *shape)).astype("<f4")
    files = [folder / str(n) for n in range(3)]
    for file, rows in zip(files, content, strict=True):
        file.write_bytes(rows.tobytes())
    where, place = (np.array(column, np.int64) for column in zip(*places, strict=True))
    expected = torch.stack([torch.tensor(content[f][p]) if f >= 0 else torch.zeros(shape) for f, p in places])
    stored = Column(FileRows(files, where, place, shape), folder=folder)
    for choice in choices:
        rows = torch.tensor([row % len(expected) for row in choice] if len(expected) else [], dtype=torch.int64)
        stored, expected = stored.subset(rows), expected[rows]
    assert stored.shape == tuple(expected.shape)
    every = torch.arange(len(expected))
    assert torch.equal(stored[every], expected)
    assert torch.equal(pickle.loads(pickle.dumps(stored))[every.flip(0)], expected.flip(0))
    assert torch.equal(torch.cat([expected[:0], *stored.chunks()]), expected)
    assert torch.equal(stored.tensor(), expected)
    assert stored.tensor() is stored.tensor()
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2"]


def test_scratch_is_zero_where_nothing_was_written(tmp_path):
    scratch = Scratch((5, 2), tmp_path)
    scratch[3] = torch.ones(1, 2)
    scratch[0] = torch.full((2,), 2.0)
    assert scratch.tensor().tolist() == [[2, 2], [0, 0], [0, 0], [1, 1], [0, 0]]
    assert scratch[torch.tensor([3, 1])].tolist() == [[1, 1], [0, 0]]
    scratch[4] = torch.full((1, 2), 3.0)
    column = Column(scratch, folder=tmp_path).subset(torch.tensor([4, 0]))
    assert column[torch.tensor([1, 0])].tolist() == [[2, 2], [3, 3]]
    assert pickle.loads(pickle.dumps(column))[torch.tensor([0])].tolist() == [[3, 3]]
    assert column.tensor().tolist() == [[3, 3], [2, 2]]
    assert not list(tmp_path.iterdir())


def test_subsets_share_what_they_are_of(make_data):
    data = make_data()
    part = data.subset([3, 1]).subset([1])
    assert part.samples.columns["blood"].source is data.samples["blood"]
    assert torch.equal(part.samples["blood"], data.samples["blood"][[1]])


def items(data):
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return len(data)

        def __getitem__(self, row):
            return data[row] | {"patient_id": data.patients[row]}

    return Items()


def test_any_data_set_of_torch_becomes_one_of_ours(make_data, tmp_path):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[3, 0] = present[5, 1] = False
    data = make_data(present=present, patients=[row // 2 for row in range(24)])
    data.labels[7] = -1
    copied = mv.MultimodalDataset.from_dataset(items(data), data.modalities, data.classes, folder=tmp_path)
    assert copied.fingerprint() == data.fingerprint()
    assert not list(tmp_path.iterdir())
    words = [{"sample_id": n, "label": label, "x": [n]} for n, label in enumerate(["b", "a", None])]
    copied = mv.MultimodalDataset.from_dataset(words, {"x": mv.Vector(size=1)})
    assert (copied.classes, copied.labels.tolist()) == (["a", "b"], [1, 0, -1])
    copied = mv.MultimodalDataset.from_dataset(copied, copied.modalities)  # without classes, numbers become names
    assert (copied.classes, copied.labels.tolist()) == (["0", "1"], [1, 0, -1])


def test_an_item_that_does_not_fit_is_named():
    good = {"sample_id": "a", "label": 0, "x": [1.0]}
    for change, words in (
        ({"label": 2}, "item 1: the label 2 is not an index into the 2 classes"),
        ({"x": [1.0, 2.0]}, r"item 1: modality 'x': a sample has shape \(2,\)"),
        ({"x": [float("nan")]}, "item 1: modality 'x': a sample holds a value that is not finite"),
        ({"sample_id": "a"}, "the id 'a' belongs to 2 samples"),
        ({"label": "ill"}, "item 1: unknown class 'ill'"),
    ):
        with pytest.raises(mv.DataError, match=words):
            mv.MultimodalDataset.from_dataset(
                [good, good | {"sample_id": "b"} | change], {"x": mv.Vector(size=1)}, ["n", "y"]
            )
    for missing, words in (("label", "item 0 has no 'label'"), ("x", "item 0 has none of the modalities")):
        with pytest.raises(mv.DataError, match=words):
            mv.MultimodalDataset.from_dataset(
                [{key: value for key, value in good.items() if key != missing}], {"x": mv.Vector(size=1)}
            )
