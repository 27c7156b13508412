"""A release holds samples that pass their audit, and nothing of the model or of a patient."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

import multimodal_vae as mv
from multimodal_vae.errors import ConfigurationError, RunError
from multimodal_vae.evaluation.result import format_number
from multimodal_vae.guarantee import Guarantee
from multimodal_vae.privacy.run_audit import audit_run
from multimodal_vae.release import writing
from multimodal_vae.release.verification import verify_release
from multimodal_vae.release.writing import release_run

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def write_others(trained):
    """Write a manifest of other patients, with blood of their own."""
    manifest = trained.parent / "cohort" / "manifest.csv"
    rows = list(csv.reader(manifest.read_text("utf-8").splitlines()))
    for row in rows[1:]:
        row[1] = f"other {row[1]}"
        row[4] = " ".join(str(float(number) + 0.3) for number in row[4].split())
    path = manifest.with_name("others.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def refused(_trained, tmp_path_factory):
    """A refused release: the folder that held it, the message, and the audit, made once since it takes seconds."""
    place = tmp_path_factory.mktemp("refused")
    run, audits = Path(shutil.copytree(_trained, place / "trained")) / "run", []

    def audit_and_keep(*arguments, **settings):
        audits.append(audit_run(*arguments, **settings))
        return audits[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "audit_run", audit_and_keep)
        with pytest.raises(RunError) as error:
            release_run(mv.open_run(run), place / "out", 12, holdout=write_others(run), threshold=0.51)
    return place, str(error.value), audits[0]


@pytest.fixture
def release(trained, tmp_path, refused, monkeypatch):
    """Release the run to a folder as if the samples were audited, with a threshold that few samples can meet."""
    monkeypatch.setattr(writing, "audit_run", lambda *_, **__: refused[2])

    def call(**settings):
        return release_run(
            mv.open_run(trained), tmp_path / "out", **{"count": 12, "sampler": "gaussian", "threshold": 1.0, **settings}
        )

    return call


@pytest.fixture
def interrupted(release, monkeypatch, tmp_path):
    """A release that is interrupted between generation and audit: the generated samples."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(writing, "require_no_copies", interrupt)
        with pytest.raises(KeyboardInterrupt):
            release()
    return tmp_path / ".out.partial" / "samples"


def remains(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "trained")


def test_a_release_is_verified_and_holds_nothing_of_run_or_patients(release, tmp_path):
    out, digest = tmp_path / "out", release()
    assert verify_release(out, digest).samples == 24
    assert remains(out) == ["SHA256SUMS", "datasheet.md", "manifest.csv", "photo", "provenance.json"]
    assert remains(tmp_path) == ["out"]
    facts = json.loads((out / "provenance.json").read_text("utf-8"))
    assert (facts["counts"], facts["files"], facts["guarantee"]) == ({"ill": 12, "well": 12}, ["photo"], None)
    assert not {"run", "weights", "seed", "sampler", "chosen", "ranking", "densities_fitted_on"} & set(facts)
    texts = [(out / name).read_text("utf-8") for name in ("datasheet.md", "provenance.json", "manifest.csv")]
    assert not {f"p{number}" for number in range(12)} & set(re.findall(r"\w+", " ".join(texts)))
    assert not any(str(tmp_path) in text or "reconstruction" in text for text in texts)
    assert f"learned from {facts['patients']} patients" in texts[0]
    assert f"strongest attack, {facts['audit']['attack']}, has {format_number(facts['audit']['area'])} (" in texts[0]


def test_with_a_guarantee_no_fact_is_released_that_it_does_not_cover(release, tmp_path, monkeypatch):
    guarantee = Guarantee(3.0, 1e-4, "samples")
    monkeypatch.setattr(mv.Synthesizer, "guarantee", guarantee)
    release()
    facts = json.loads((tmp_path / "out" / "provenance.json").read_text("utf-8"))
    assert (facts["guarantee"]["epsilon"], facts["patients"], facts["audit"]) == (3.0, None, {"threshold": 1.0})
    datasheet = (tmp_path / "out" / "datasheet.md").read_text("utf-8")
    assert guarantee.sentence in datasheet
    assert "The results are kept back" in datasheet
    assert "held-out" not in datasheet


def test_what_is_given_away_is_refused_and_only_the_audit_remains(refused):
    place, said, (audit, path) = refused
    assert said.startswith("nothing is released: the attack by ")
    assert "whose upper end exceeds 0.51; " in said
    assert said.endswith(
        f"use another density (--sampler), or release fewer samples (--count). All attacks are in {path}"
    )
    assert remains(place) == []
    assert path == place / "trained" / "run" / "privacy.json"
    assert (path.exists(), audit.sizes["synthetic"].samples) == (True, 24)


def test_the_command_says_the_digest(release, mmvae, trained, tmp_path):
    status, printed, _ = mmvae("release", trained, "--out", tmp_path / "out", "--count", 12, "--threshold", 1)
    digest = verify_release(tmp_path / "out").digest
    assert (status, printed) == (0, f"released: {tmp_path / 'out'}\ndigest: {digest}\n")


def test_an_interrupted_release_resumes_to_the_same_digest(release, interrupted, tmp_path):
    with pytest.raises(RunError, match="unfinished release with another 'seed'"):
        release(seed=1)
    resumed = release()
    shutil.rmtree(tmp_path / "out")
    assert release() == resumed
    assert remains(tmp_path) == ["out"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_smuggled_picture_of_a_patient_is_refused(release, interrupted, trained, tmp_path, split):
    run = mv.open_run(trained)
    picture = trained.parent / "cohort" / "pictures" / f"{run.splits[split].ids[0].removeprefix('s')}.png"
    shutil.copy(picture, interrupted / "photo" / "ill-07.png")
    with pytest.raises(RunError, match=r"among the new ones, 1 in all: ill-07 \(photo\);"):
        release()
    assert remains(tmp_path) == []


def test_a_smuggled_file_that_no_row_names_is_refused(release, interrupted, trained, tmp_path):
    shutil.copy(trained.parent / "cohort" / "pictures" / "0.png", interrupted / "photo" / ".hidden.png")
    with pytest.raises(RunError, match=r"no row of manifest.csv names 'photo/\.hidden.png'"):
        release()
    assert remains(tmp_path) == []


@pytest.mark.parametrize("threshold", [0.5, 0.0, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(release, threshold):
    with pytest.raises(ConfigurationError, match="the threshold is"):
        release(threshold=threshold)
