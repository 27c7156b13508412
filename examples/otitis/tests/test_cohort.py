from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from simulator import SIMULATOR_VERSION, sources_sha256
from simulator.cohort import CohortError, write_cohort

COUNTS = {"NOE": 4, "OME": 3, "AOM": 2}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "one"
    assert write_cohort(out, 0, COUNTS, workers=1)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_number_of_workers_does_not_matter(cohort: Path, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    write_cohort(tmp_path / "two", 0, COUNTS, workers=2, progress=lambda done, total: reported.append((done, total)))
    assert content(tmp_path / "two") == content(cohort)
    assert reported == [(done, 9) for done in range(1, 10)]


def test_manifest_names_what_is_there(cohort: Path) -> None:
    manifest = rows(cohort / "manifest.csv")
    assert list(manifest[0])[:5] == ["sample_id", "patient_id", "label", "otoscopy", "wbt"]
    assert sorted(row["label"] for row in manifest) == ["AOM"] * 2 + ["NOE"] * 4 + ["OME"] * 3
    assert len({row["sample_id"] for row in manifest}) == 9
    for row in manifest:
        with Image.open(cohort / row["otoscopy"]) as image:
            assert (image.size, image.mode) == ((640, 480), "RGB")
            assert np.asarray(image).std() > 5
        assert loadmat(cohort / row["wbt"])["WBT"]["Absorbance"][0, 0].shape[1] == 107
        assert row["ear"] in ("left", "right")
        assert 2 <= int(row["age_months"]) <= 144


def test_true_causes_stand_apart_from_what_training_reads(cohort: Path) -> None:
    manifest, causes = rows(cohort / "manifest.csv"), rows(cohort / "causes.csv")
    assert "causes" not in (cohort / "manifest.csv").read_text(encoding="utf-8")
    assert [row["sample_id"] for row in manifest] == [row["sample_id"] for row in causes]
    assert not {"condition", "fill", "pressure"} & set(manifest[0])
    assert {"condition", "fill", "pressure", "viscosity", "thickness", "inflammation", "bulge"} < set(causes[0])


def test_cohort_json_says_what_it_is(cohort: Path) -> None:
    facts = json.loads((cohort / "cohort.json").read_text(encoding="utf-8"))
    assert facts["simulated"] is True
    assert facts["seed"] == 0
    assert facts["counts"] == COUNTS
    assert facts["simulator_version"] == SIMULATOR_VERSION
    assert facts["simulator_sha256"] == sources_sha256()


def test_the_same_cohort_is_not_written_twice(cohort: Path) -> None:
    before = (cohort / "manifest.csv").stat().st_mtime_ns
    assert not write_cohort(cohort, 0, COUNTS)
    assert (cohort / "manifest.csv").stat().st_mtime_ns == before


def test_two_prefixes_share_no_patient_and_differ_in_nothing_else(cohort: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_cohort(other, 0, COUNTS, prefix="q")
    text = (other / "manifest.csv").read_text(encoding="utf-8")
    assert "p0001" not in text
    assert text.replace("q0", "p0") == (cohort / "manifest.csv").read_text(encoding="utf-8")
    with pytest.raises(CohortError, match="another cohort"):
        write_cohort(cohort, 0, COUNTS, prefix="q")


def test_another_cohort_is_refused(cohort: Path) -> None:
    with pytest.raises(CohortError, match="another cohort"):
        write_cohort(cohort, 1, COUNTS)
    with pytest.raises(CohortError, match="another cohort"):
        write_cohort(cohort, 0, {"NOE": 5})


def test_a_cohort_of_other_sources_is_refused(cohort: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(cohort, older)
    facts = json.loads((older / "cohort.json").read_text(encoding="utf-8"))
    (older / "cohort.json").write_text(json.dumps({**facts, "simulator_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(CohortError, match="another cohort"):
        write_cohort(older, 0, COUNTS)


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(CohortError, match="something else"):
        write_cohort(tmp_path, 0, COUNTS)
    with pytest.raises(CohortError, match="is a file"):
        write_cohort(tmp_path / "thesis.txt", 0, COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path / "out", 0, {"NOE": 2}, workers=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_repeats_and_refuses(cohort: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = Path(__file__).parents[1] / "cohort.py"
        return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)

    counts = ["--noe", "1", "--ome", "0", "--aom", "0", "--workers", "1"]
    written = run(str(tmp_path / "out"), *counts)
    assert written.returncode == 0, written.stderr
    assert "1 samples" in written.stdout
    assert "already there" in run(str(tmp_path / "out"), *counts).stdout
    refused = run(str(cohort), "--seed", "7")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert run(str(tmp_path / "none"), "--noe", "0", "--ome", "0", "--aom", "0").returncode == 2
    assert run(str(tmp_path / "none"), "--seed", "-1").returncode == 2
