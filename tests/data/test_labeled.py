"""Real and generated samples as pairs for a training loop in plain torch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader

import multimodal_vae as mv
from multimodal_vae.synthesis.samples import GeneratedSamples

VECTORS = {"x": {"name": "vector", "size": 3}, "y": {"name": "vector", "size": 2}}
CLASSES = ["well", "ill"]


def generated(count, label="ill"):
    samples = {"x": torch.randn(count, 3), "y": torch.randn(count, 2)}
    parts = {name: mv.Vector(size=table["size"]) for name, table in VECTORS.items()}
    return GeneratedSamples(samples, parts, label, CLASSES)


@st.composite
def gappy(draw):
    """Draw a data set whose labels and modalities may be missing, but not all modalities of a sample."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from([*CLASSES, None]), st.sampled_from([(True, True), (True, False), (False, True)])),
            min_size=1,
            max_size=8,
        )
    )
    labels, present = zip(*rows, strict=True)
    samples = {"x": torch.randn(len(rows), 3), "y": torch.randn(len(rows), 2)}
    return mv.MultimodalDataset.from_tensors(samples, labels, VECTORS, CLASSES, present=present)


@given(data=gappy(), modality=st.sampled_from(["x", "y", None]))
def test_pairs_are_the_labeled_complete_samples_in_their_order(data, modality):
    names = list(VECTORS) if modality is None else [modality]
    items = [data[row] for row in range(len(data))]
    kept = [item for item in items if item["label"] >= 0 and set(names) <= set(item)]
    pairs = data.as_dataset(modality)
    assert len(pairs) == len(kept)
    assert [label for _, label in pairs] == [item["label"] for item in kept] == pairs.labels.tolist()
    for (sample, _), item in zip(pairs, kept, strict=True):
        values = sample if modality is None else {modality: sample}
        assert list(values) == names
        assert all(torch.equal(values[name], item[name]) for name in names)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("modality", ["blood", None])
def test_a_loader_joins_real_and_generated_samples(make_data, make_model, modality, workers):
    data = make_data()
    synthesizer = mv.Synthesizer(make_model(data).eval(), "gaussian").fit(data)
    new = [synthesizer.sample(name, 5, seed=0) for name in data.classes]
    both = ConcatDataset([each.as_dataset(modality) for each in (data, *new)])
    assert len(both) == len(data) + 10
    ((samples, labels),) = DataLoader(both, batch_size=len(both), num_workers=workers)
    assert torch.equal(labels, torch.cat([data.labels, torch.tensor([0] * 5 + [1] * 5)]))
    for name in data.modalities if modality is None else [modality]:
        found = samples[name] if modality is None else samples
        assert found.dtype == torch.float32
        assert torch.equal(found, torch.cat([each[name] for each in (data.samples, *new)]))


def test_samples_in_files_are_the_same_for_workers(manifest):
    data = mv.MultimodalDataset.from_manifest(manifest, {"photo": {"name": "image", "size": [8, 8], "channels": 1}})
    ((samples, labels),) = DataLoader(data.as_dataset("photo"), batch_size=len(data), num_workers=1)
    assert torch.equal(samples, data.samples["photo"])
    assert torch.equal(labels, data.labels)


def test_generated_samples_have_the_index_of_their_class():
    for index, name in enumerate(CLASSES):
        assert generated(3, name).as_dataset().labels.tolist() == [index] * 3
    assert len(generated(0).as_dataset("x")) == 0


@pytest.mark.parametrize("row", [-1, 2, -4, 3])
def test_rows_count_from_either_end_and_no_further(row):
    pairs = generated(3).as_dataset("x")
    if -3 <= row < 3:
        assert torch.equal(pairs[row][0], list(pairs)[row][0])
    else:
        with pytest.raises(IndexError):
            pairs[row]


@pytest.mark.parametrize("samples", [generated(2), mv.MultimodalDataset.from_tensors(generated(2), CLASSES, VECTORS)])
def test_an_unknown_modality_is_named(samples):
    with pytest.raises(mv.DataError, match=r"no modality 'z'.*x, y"):
        samples.as_dataset("z")
