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
from ears import CAUSES, CLASSES, CLEAN, draw_ears, load_or_draw_ears
from judges import Judges, train_judges
from landmark_judge import BLURS, Lessons, lessons, marks, train_landmark_judge
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
    first = load_or_draw_ears(tmp_path, 3, few)
    written = (tmp_path / "ears-3.safetensors").stat().st_mtime_ns
    again = load_or_draw_ears(tmp_path, 3, few)
    assert (tmp_path / "ears-3.safetensors").stat().st_mtime_ns == written
    assert torch.equal(first.samples.values["wbt"], again.samples.values["wbt"])
    assert torch.equal(first.others[CLEAN], again.others[CLEAN])
    assert first.samples.groups == again.samples.groups
    # Noise-free, yet the same look.
    difference = (first.others[CLEAN] - first.samples.values["otoscopy"]).abs()
    assert 0 < difference.mean() < 0.01
    assert len(load_or_draw_ears(tmp_path, 3, {"NOE": 2, "OME": 0, "AOM": 0}).samples) == 2
    (tmp_path / "ears-3.safetensors").write_bytes(b"cut short")
    assert torch.equal(load_or_draw_ears(tmp_path, 3, few).samples.values["wbt"], first.samples.values["wbt"])


def test_lessons_show_each_ear_without_each_landmark_and_blurred() -> None:
    ears = draw_ears(4, {"NOE": 2, "OME": 0, "AOM": 1}, LANDMARKS)
    taught, truth = lessons(ears), marks(ears)
    count = len(ears.samples)
    assert len(taught.pictures) == len(taught.marks) == count * (1 + len(REMOVED) + len(BLURS))
    assert torch.equal(taught.marks[:count], truth)
    for block, name in enumerate(REMOVED, start=1):
        rows, column = slice(block * count, (block + 1) * count), LANDMARKS.index(name)
        assert not taught.marks[rows, column].any()
        for other in set(range(len(LANDMARKS))) - {column}:
            assert torch.equal(taught.marks[rows, other], truth[:, other])


def test_marks_lie_where_the_landmark_is_and_a_blur_takes_them_away() -> None:
    ears = draw_ears(5, {"NOE": 3, "OME": 0, "AOM": 0}, LANDMARKS)
    malleus = marks(ears)[:, LANDMARKS.index("malleus")]
    assert (malleus.sum((1, 2)) > 12).all()
    # The handle runs from the rim to the middle of the drum: never in the black surround.
    assert malleus[:, :4].sum() == malleus[:, -4:].sum() == 0
    assert marks(ears, 3.0)[:, LANDMARKS.index("malleus")].sum() < 0.2 * malleus.sum()


def bars(count: int, seed: int) -> Lessons:
    """Gray noise; half of the pictures have bright bars, which are what is marked."""
    rng = torch.Generator().manual_seed(seed)
    pictures = 0.4 + 0.05 * torch.randn(count, 3, 64, 64, generator=rng)
    marked = torch.zeros(count, len(LANDMARKS), 64, 64)
    for row in range(0, count, 2):
        top, left = (int(torch.randint(8, 40, (), generator=rng)) for _ in range(2))
        marked[row, :, top : top + 16, left : left + 3] = 1
    return Lessons((pictures + 0.4 * marked[:, :1]).clamp(0, 1), marked)


def test_a_judge_of_landmarks_learns_where_they_are_and_how_many_to_see() -> None:
    judge = train_landmark_judge(bars(64, 0), epochs=10, batch=8)
    asked = bars(40, 1)
    for name, sees in judge.detect(asked.pictures).items():
        assert (sees == (asked.marks[:, LANDMARKS.index(name)].amax((1, 2)) > 0)).float().mean() > 0.9, name
    found = judge.mark(asked.pictures)[asked.marks > 0].mean() - judge.mark(asked.pictures)[asked.marks == 0].mean()
    assert found > 0.8


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
    assert set(read.landmarks.detect(torch.zeros(1, 3, 64, 64))) == set(LANDMARKS)
    assert read.wbt_means.shape == (3, 1, 64, 64)
    expected = {"accuracy/joint", "R2/fill/wbt", "R2 within classes/bulge/image", "visible/level", "mistaken/malleus"}
    assert expected < set(read.facts["measured"])
    assert len(read.sha256) == 64
    console = Console(record=True, width=120, file=io.StringIO())
    judges.print_quality(read.facts, console)
    said = console.export_text()
    # One epoch on ten ears: nothing can be read, and that is said.
    assert "Not read from the image, within a class:" in said


def test_changed_judges_and_those_of_another_simulator_are_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    Judge({"otoscopy": (3, 64, 64)}, CLASSES).save(copy / "image.safetensors")
    with pytest.raises(RunError, match=r"do not match the hashes in judges\.json"):
        Judges.load(copy)
    facts = json.loads((trained / "judges.json").read_text("utf-8"))
    facts["simulator"]["simulator_sha256"] = "0" * 64
    (copy / "judges.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(RunError, match="another simulator"):
        Judges.load(copy)
    with pytest.raises(RunError, match="cannot be read"):
        Judges.load(tmp_path / "nowhere")
