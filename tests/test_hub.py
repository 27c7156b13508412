"""Runs on the hub: what is uploaded, downloaded and refused. A folder takes the place of the hub, without network."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae import hub as our_hub

NAME, COMMIT = "clinic/ears", "0" * 40


class Errors(ModuleType):
    """The errors of the hub's library, with its inheritance."""

    class HFValidationError(ValueError): ...

    class HTTPError(Exception): ...

    class HfHubHTTPError(HTTPError, OSError):
        def __init__(self, message, status=None):
            super().__init__(message)
            self.response = None if status is None else SimpleNamespace(status_code=status)

    class RepositoryNotFoundError(HfHubHTTPError): ...

    class GatedRepoError(RepositoryNotFoundError): ...

    class RevisionNotFoundError(HfHubHTTPError): ...

    class LocalTokenNotFoundError(EnvironmentError): ...

    class LocalEntryNotFoundError(FileNotFoundError): ...


class Hub(ModuleType):
    """The hub's library with a folder in place of the hub; a download gives links, as that of the library."""

    def __init__(self, root):
        super().__init__("huggingface_hub")
        self.errors, self.root = Errors("huggingface_hub.errors"), root
        self.fails, self.public, self.calls = None, set(), []

    def HfApi(self, **_):
        return self

    def create_repo(self, name, private, exist_ok):
        self._answer(name)
        if not (self.root / name).exists():
            (self.root / name).mkdir(parents=True)
            self.public |= set() if private else {name}

    def repo_info(self, name):
        return SimpleNamespace(private=name not in self.public)

    def upload_folder(self, repo_id, folder_path, commit_message, delete_patterns):
        for pattern in delete_patterns:
            for path in (self.root / repo_id).glob(pattern):
                path.unlink()
        for path in Path(folder_path).rglob("*"):
            if path.is_file():
                copy = self.root / repo_id / path.relative_to(folder_path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/{COMMIT}")

    def snapshot_download(self, name, revision, allow_patterns):
        self._answer(name)
        if not (self.root / name).exists():
            raise self.errors.RepositoryNotFoundError("404")
        self.calls.append((name, revision))
        snapshot = self.root / "cache" / name.replace("/", "--") / COMMIT
        for pattern in allow_patterns:
            for path in (self.root / name).glob(pattern):
                link = snapshot / path.relative_to(self.root / name)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(path)
        snapshot.mkdir(parents=True, exist_ok=True)
        return str(snapshot)

    def cached_assets_path(self, library_name, namespace, subfolder):
        folder = self.root / "assets" / library_name / namespace.replace("/", "--") / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _answer(self, name):
        if self.fails:
            raise self.fails
        if name.count("/") != 1:
            raise self.errors.HFValidationError(name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    library = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", library.errors)
    return library


@pytest.fixture
def run(trained):
    return mv.open_run(trained)


@pytest.fixture
def shared(hub, run):
    run.push_to_hub(NAME, disclose=True)
    return hub


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_run_comes_back_from_the_hub_with_the_same_model_and_densities(shared, run):
    again = mv.open_run(f"hf://{NAME}")
    weights = run.model.state_dict()
    assert all(torch.equal(x, weights[name]) for name, x in again.model.state_dict().items())
    drawn, expected = (each.synthesizer().sample("ill", 3, seed=0) for each in (again, run))
    assert all(torch.equal(drawn[name], x) for name, x in expected.items())
    assert mv.open_run(f"hf://{NAME}").path == again.path


def test_the_manifest_of_other_patients_is_read(shared, run, trained):
    manifest = trained.parent / "cohort" / "manifest.csv"
    assert torch.equal(mv.open_run(f"hf://{NAME}").model.embed(run.read(manifest)), run.model.embed(run.read(manifest)))


def test_only_what_a_run_needs_is_uploaded_without_names_and_paths(shared, run, trained):
    (trained / "judges").mkdir()
    (trained / "notes.txt").write_text("p3 is the mayor")
    run.push_to_hub(NAME, disclose=True)
    there = shared.root / NAME
    needed = ["config.toml", "environment.json", "model.safetensors", "samplers/kde.safetensors", "status.json"]
    assert files(there) == sorted(["README.md", *needed])
    names = json.loads((trained / "split.json").read_text("utf-8"))["train"]
    hashes = [each["sha256"] for each in json.loads((trained / "environment.json").read_text("utf-8"))["data"].values()]
    for name in ("README.md", "config.toml", "environment.json", "status.json"):
        text = (there / name).read_text("utf-8")
        assert not [each for each in (*map(json.dumps, names), *hashes, "cohort", "manifest.csv") if each in text]


def test_densities_of_an_earlier_upload_are_replaced(shared, run):
    stale = shared.root / NAME / "samplers" / "gmm.safetensors"
    stale.write_bytes(b"old")
    run.push_to_hub(NAME, disclose=True)
    assert not stale.exists()


def test_metrics_are_uploaded_where_they_are_asked_for(hub, run, trained):
    (trained / "metrics.json").write_text("{}")
    run.push_to_hub(NAME, disclose=True, metrics=True)
    assert "metrics.json" in files(hub.root / NAME)


@pytest.mark.parametrize(
    ("terms", "lines"),
    [
        (None, []),
        ("CC BY 4.0", ['license: "cc-by-4.0"']),
        ("Only for our friends", ['license: "other"', 'license_name: "only-for-our-friends"']),
    ],
)
def test_the_card_begins_with_what_the_hub_reads_and_how_to_open_the_run(hub, run, trained, terms, lines):
    (trained / "card.md").write_text("# Model card: ears\n", "utf-8")
    run.configuration = run.configuration.model_copy(update={"license": terms})
    run.push_to_hub(NAME, disclose=True)
    text = (hub.root / NAME / "README.md").read_text("utf-8")
    _, front, rest = text.split("---\n")
    assert front.splitlines()[0] == 'library_name: "multimodal_vae"'
    assert [line for line in front.splitlines() if line.startswith("license")] == lines
    assert f'multimodal_vae.open_run("hf://{NAME}")' in rest
    assert rest.endswith("# Model card: ears\n")


def audited(trained, sampler, leak):
    (trained / "privacy.json").write_text(json.dumps({"version": 2, "sampler": sampler, "verdict": {"leak": leak}}))


def test_densities_that_consist_of_latents_need_consent(hub, run, trained):
    audited(trained, run.configuration.density.sampler.configuration, False)
    with pytest.raises(mv.RunError, match="'kde' consist of the patients' latents; train with another sampler"):
        run.push_to_hub(NAME)
    assert not hub.root.exists()


def test_a_run_needs_an_audit_of_its_own_densities_that_found_no_leak(hub, trained):
    config = trained / "config.toml"
    text = config.read_text("utf-8")
    config.write_text(text[: text.index("[density.sampler]")] + '[density.sampler]\nname = "gaussian"\n', "utf-8")
    run = mv.open_run(trained)
    run.synthesizer()
    own = run.configuration.density.sampler.configuration
    with pytest.raises(mv.RunError, match=r"no audit of its weights and densities; run: mmvae audit .*run"):
        run.push_to_hub(NAME)
    audited(trained, {"name": "kde"}, False)
    with pytest.raises(mv.RunError, match="no audit of its weights and densities"):
        run.push_to_hub(NAME)
    audited(trained, own, True)
    with pytest.raises(mv.RunError, match="found a leak; pass disclose=True"):
        run.push_to_hub(NAME)
    audited(trained, own, False)
    assert run.push_to_hub(NAME) == f"https://hub.example/{NAME}/commit/{COMMIT}"
    assert "samplers/gaussian.safetensors" in files(hub.root / NAME)


def test_an_unfinished_or_adapted_run_is_refused_whatever_is_passed(hub, run):
    run.status["state"] = "interrupted"
    with pytest.raises(mv.RunError, match="is interrupted; finish it first"):
        run.push_to_hub(NAME, disclose=True)
    run.is_adapted = True
    with pytest.raises(mv.RunError, match="only its samples may be handed on; use mmvae release"):
        run.push_to_hub(NAME, disclose=True)


def test_a_public_repository_is_not_taken_for_a_private_one(hub, run):
    run.push_to_hub(NAME, private=False, disclose=True)
    with pytest.raises(mv.RunError, match="exists and is public; choose another name, or pass private=False"):
        run.push_to_hub(NAME, disclose=True)


def test_what_was_shared_without_its_data_says_so(shared):
    run = mv.open_run(f"hf://{NAME}")
    for use in (lambda: run.splits, lambda: run.synthesizer("gaussian"), lambda: run.compare("kde")):
        with pytest.raises(mv.RunError, match=r"was shared without its data.*run\.read\(manifest\)"):
            use()


def test_a_revision_is_passed_on(shared):
    mv.open_run(f"hf://{NAME}@refs/pr/1")
    mv.open_run(Path(f"hf://{NAME}@v1"))  # as the command line gives it
    assert shared.calls == [(NAME, "refs/pr/1"), (NAME, "v1")]


def test_the_command_line_takes_a_run_on_the_hub(shared, mmvae, tmp_path):
    code, out, _ = mmvae("sample", f"hf://{NAME}", "--count", 2, "--out", tmp_path / "new")
    assert (code, out) == (0, f"generated: {tmp_path / 'new'}, ill 2 well 2\n")


def test_nothing_else_is_downloaded(shared, tmp_path):
    there = shared.root / NAME
    for name in ("setup.py", "weights.pkl", "samplers/kde.pkl", "refiners/a/b/refiner.safetensors", "split.json"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(b"print(1)")
    opened = files(mv.open_run(f"hf://{NAME}").path)
    assert opened == sorted({*files(there)} & {*opened} - {"README.md"})
    assert not [name for name in opened if not name.endswith((".toml", ".json", ".safetensors"))]
    assert "split.json" not in opened


def test_a_damaged_or_foreign_repository_is_refused(shared, tmp_path):
    (shared.root / "other" / "text").mkdir(parents=True)
    with pytest.raises(mv.RunError, match=r"hf://other/text is no run of this package: it has no config\.toml"):
        mv.open_run("hf://other/text")
    weights = shared.root / NAME / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(mv.RunError, match="is not a complete safetensors file"):
        _ = mv.open_run(f"hf://{NAME}").model


@pytest.mark.parametrize("place", ["hf://ears", "hf://clinic/ears/left", "hf://", "hf://clinic/ears@"])
def test_what_is_no_place_on_the_hub_is_refused(hub, place):
    with pytest.raises(mv.ConfigurationError, match="no place on the hub; give hf://OWNER/NAME"):
        mv.open_run(place)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            Errors.RepositoryNotFoundError("404"),
            "does not exist, or is private; check its name, or log in with: hf auth",
        ),
        (Errors.GatedRepoError("403"), "needs its owner's permission"),
        (Errors.RevisionNotFoundError("404"), "does not have this revision"),
        (Errors.LocalTokenNotFoundError("no token"), "knows no user for hf://clinic/ears; log in with"),
        (Errors.HfHubHTTPError("401", 401), "refuses hf://clinic/ears; log in with: hf auth login"),
        (Errors.HfHubHTTPError("500 Server Error", 500), "refuses hf://clinic/ears: HfHubHTTPError: 500 Server Error"),
        (Errors.LocalEntryNotFoundError("offline"), "cannot be reached for hf://clinic/ears"),
        (Errors.HTTPError("name resolution"), "cannot be reached for hf://clinic/ears: HTTPError: name resolution"),
        (ConnectionError("offline mode"), "cannot be reached for hf://clinic/ears"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_each_failure_of_the_hub_is_one_line_that_says_what_to_do(hub, run, error, message):
    hub.fails = error
    with pytest.raises(mv.RunError, match=message):
        mv.open_run(f"hf://{NAME}")
    with pytest.raises(mv.RunError, match=message):
        run.push_to_hub(NAME, disclose=True)


def test_without_its_library_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for use in (lambda: mv.open_run(f"hf://{NAME}"), lambda: run.push_to_hub(NAME, disclose=True)):
        with pytest.raises(mv.ConfigurationError, match=r"pip install 'multimodal-vae\[hub\]'"):
            use()


def test_the_library_has_what_is_used_of_it():
    library = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    for name in ("snapshot_download", "cached_assets_path", "HfApi"):
        assert callable(getattr(library, name))
    for name, ours in vars(Errors).items():
        if isinstance(ours, type):
            theirs = getattr(errors, name)
            assert {base.__name__ for base in ours.__mro__} <= {base.__name__ for base in theirs.__mro__}
    assert our_hub._library() is library
