"""Judges see what the package sees, come back as they were, and refuse what they were not trained for."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

import judges
from ears import CAUSES, CLASSES, CLEAN, draw_ears, kept_ears
from judges import Judges, lessons, train_judges, truths
from landmarks import LANDMARKS, REMOVED, blurred
from multimodal_vae import MultimodalDataset
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.judge import Judge
from simulator.cohort import write_cohort

FEW = {"NOE": 4, "OME": 3, "AOM": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judges") / "few"
    train_judges(folder, FEW, FEW, FEW, FEW, epochs=(1, 1), workers=1, show=False)
    return folder


def test_ears_in_memory_are_those_of_the_files(tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort", 3, FEW, workers=1)
    data = MultimodalDataset.from_manifest(
        tmp_path / "cohort/manifest.csv", {"otoscopy": "otoscopy", "wbt": "wbt"}, CLASSES, cache=False
    )
    samples = draw_ears(3, FEW).samples
    for name, x in samples.values.items():
        assert torch.equal(x, data.samples[name]), name
    assert torch.equal(samples.labels, data.labels)
    assert samples.groups == data.patients
    assert set(samples.causes) == set(CAUSES)


def test_ears_are_kept_and_belong_to_seed_and_counts(tmp_path: Path) -> None:
    few = {"NOE": 1, "OME": 1, "AOM": 1}
    first = kept_ears(tmp_path, 3, few)
    written = (tmp_path / "ears-3.safetensors").stat().st_mtime_ns
    again = kept_ears(tmp_path, 3, few)
    assert (tmp_path / "ears-3.safetensors").stat().st_mtime_ns == written
    assert torch.equal(first.samples.values["wbt"], again.samples.values["wbt"])
    assert torch.equal(first.others[CLEAN], again.others[CLEAN])
    assert first.samples.groups == again.samples.groups
    # Noise-free, yet the same look.
    difference = (first.others[CLEAN] - first.samples.values["otoscopy"]).abs()
    assert 0 < difference.mean() < 0.01
    assert len(kept_ears(tmp_path, 3, {"NOE": 2, "OME": 0, "AOM": 0}).samples) == 2
    (tmp_path / "ears-3.safetensors").write_bytes(b"cut short")
    assert torch.equal(kept_ears(tmp_path, 3, few).samples.values["wbt"], first.samples.values["wbt"])


def test_lessons_show_each_ear_without_each_landmark_and_blurred() -> None:
    ears = draw_ears(4, {"NOE": 2, "OME": 0, "AOM": 1}, LANDMARKS)
    taught, truth = lessons(ears), truths(ears)
    count = len(ears.samples)
    assert len(taught) == count * (1 + len(REMOVED) + len(judges.BLURS))
    for name in LANDMARKS:
        assert torch.equal(taught.causes[name][:count], truth[name])
    for block, name in enumerate(REMOVED, start=1):
        rows = slice(block * count, (block + 1) * count)
        assert not taught.causes[name][rows].any()
        for other in set(LANDMARKS) - {name}:
            assert torch.equal(taught.causes[other][rows], truth[other])


def test_a_blur_keeps_means_and_takes_away_detail() -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = blurred(pictures, 3.0)
    torch.testing.assert_close(soft.mean((2, 3)), pictures.mean((2, 3)), atol=0.02, rtol=0)
    # White noise of unit variance keeps 1 / (4 pi sigma^2) of it.
    assert float(soft.var() / pictures.var()) == pytest.approx(1 / (4 * torch.pi * 9), rel=0.5)


def test_judges_come_back_with_their_worth(trained: Path) -> None:
    read = Judges.load(trained)
    assert read.joint.modalities == ["otoscopy", "wbt"]
    assert read.image.causes == read.wbt.causes == list(CAUSES)
    assert read.landmarks.causes == list(LANDMARKS)
    assert read.wbt_means.shape == (3, 1, 64, 64)
    assert {"accuracy/joint", "R2/fill/wbt", "R2 within classes/bulge/image"} < set(read.facts["measured"])
    assert len(read.sha256) == 64
    console = Console(record=True, width=120, file=io.StringIO())
    judges.show_worth(read.facts, console)
    said = console.export_text()
    # One epoch on ten ears: nothing can be read, and that is said.
    assert "Not read from the image, within a class:" in said


def test_changed_judges_and_those_of_another_simulator_are_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    Judge({"otoscopy": (3, 64, 64)}, CLASSES).save(copy / "image.safetensors")
    with pytest.raises(RunError, match=r"not those that judges\.json tells of"):
        Judges.load(copy)
    facts = json.loads((trained / "judges.json").read_text("utf-8"))
    facts["simulator"]["simulator_sha256"] = "0" * 64
    (copy / "judges.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(RunError, match="another simulator"):
        Judges.load(copy)
    with pytest.raises(RunError, match="cannot be read"):
        Judges.load(tmp_path / "nowhere")
