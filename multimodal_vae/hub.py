"""Runs on the Hugging Face hub: what of a run is uploaded, and the download of a run."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from multimodal_vae.configuration import Configuration
from multimodal_vae.errors import ConfigurationError, RunError, listing, one_line
from multimodal_vae.files import inside, make_folder, open_regular, read_json, read_regular, write_bytes, write_json
from multimodal_vae.run_folder import REFINER, EnvironmentRecord, Status, density_file, refiner_folders
from multimodal_vae.synthesis.synthesizer import Synthesizer

_NEEDED = ("config.toml", "environment.json", "model.safetensors", "status.json")
FILES = (*_NEEDED, "samplers/*.safetensors", f"refiners/*/{REFINER}", "metrics.json")
"""Files of a run on the hub, as patterns: JSON, TOML and safetensors, which hold no code. No others are downloaded."""
_CARD = "README.md"
_MOST_FILES = 1000

_PLACE = re.compile(r"hf:/{1,2}(?P<name>[^/@]+/[^/@]+?)/?(?:@(?P<revision>.+))?")
_LICENSES = {"apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-4.0", "cc0-1.0", "mit"}
"""Identifiers of the hub, as which the license of a run is given if it is one of them."""


def is_place(path: Path) -> bool:
    """Return whether a path is a place on the hub rather than a folder.

    Example:
        >>> is_place(Path("hf://clinic/ears")), is_place(Path("runs/ears"))
        (True, False)
    """
    return path.parts[:1] == ("hf:",)


def download(place: Path) -> Path:
    """Download a run from the hub, or what has changed of it, and return a folder with its files.

    The hub's library keeps the download in its cache and gives access to private repositories after ``hf auth login``.
    Without a network, the cached run is used. The folder holds copies, since the cache consists of links.

    Args:
        place: ``hf://OWNER/NAME`` or, for a branch, tag or commit, ``hf://OWNER/NAME@REVISION``.

    Raises:
        ConfigurationError: if it is no such place, or the library is not installed.
        RunError: if there is no such repository or revision, it holds no run, or the hub cannot be reached.
    """
    found = _PLACE.fullmatch(place.as_posix())
    if found is None:
        raise ConfigurationError(
            f"{place.as_posix()} is no place on the hub; give hf://OWNER/NAME or, with a revision, @REVISION"
        )
    hub, name = _library(), found["name"]
    where = f"hf://{name}"
    with _explained(hub, where):
        snapshot = Path(hub.snapshot_download(name, revision=found["revision"], allow_patterns=[*FILES]))
        folder = Path(hub.cached_assets_path("multimodal_vae", namespace=name, subfolder=snapshot.name))
    missing = [each for each in _NEEDED if not (snapshot / each).is_file()]
    if missing:
        raise RunError(f"{where} is no run of this package: it has no {missing[0]}")
    files = [path for pattern in FILES for path in sorted(snapshot.glob(pattern))]
    if len(files) > _MOST_FILES:
        raise RunError(f"{where} is no run of this package: it has {len(files)} files")
    for path in files:
        copy = inside(folder, *path.relative_to(snapshot).parts)
        if not copy.exists():  # a snapshot never changes
            make_folder(copy.parent)
            source = path.resolve()
            write_bytes(copy, read_regular(source, source.stat().st_size))
    return folder


class _Verdict(TypedDict):
    leak: bool


class _Audit(TypedDict):
    """The keys of ``privacy.json`` that are read here."""

    sampler: dict[str, Any] | None
    verdict: _Verdict


def require_shareable(folder: Path, configuration: Configuration, densities: Synthesizer | None) -> None:
    """Refuse to upload a run that may give its patients away.

    Args:
        folder: the run folder.
        configuration: its configuration.
        densities: its densities, if there are any.

    Raises:
        RunError: if the densities consist of the patients' latents, the run was not audited with these densities, or
            the audit found a leak.
    """
    consent = "pass disclose=True if the patients' data may be public, such as simulated data"
    chosen = densities.chosen if densities else None
    if chosen and chosen.discloses:
        raise RunError(
            f"nothing is uploaded: the densities of the sampler {chosen.name!r} consist of the patients' latents; "
            f"train with another sampler, such as 'auto', or {consent}"
        )
    path = inside(folder, "privacy.json")
    audit = read_json(path, _Audit) if path.exists() else None
    own = json.loads(json.dumps(configuration.density.sampler.configuration))
    if audit is None or audit["sampler"] != own:
        raise RunError(
            f"nothing is uploaded: {folder} has no audit of its weights and densities; run: mmvae audit {folder}, or "
            f"{consent}"
        )
    if audit["verdict"]["leak"]:
        raise RunError(f"nothing is uploaded: the audit in {path} found a leak; {consent}")


def upload(folder: Path, configuration: Configuration, name: str, private: bool, metrics: bool) -> str:
    """Upload a run, and return the address of the commit; see :meth:`~multimodal_vae.run.Run.push_to_hub`."""
    hub = _library()
    with tempfile.TemporaryDirectory() as temporary, _explained(hub, f"hf://{name}"):
        _collect(folder, Path(temporary), configuration, name, metrics)
        api = hub.HfApi(library_name="multimodal_vae", library_version=version("multimodal-vae"))
        api.create_repo(name, private=private, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise RunError(
                f"nothing is uploaded: hf://{name} exists and is public; choose another name, or pass private=False"
            )
        commit = api.upload_folder(
            repo_id=name, folder_path=temporary, commit_message="Upload a run", delete_patterns=[*FILES]
        )
    return str(commit.commit_url)


def _collect(folder: Path, out: Path, configuration: Configuration, name: str, metrics: bool) -> None:
    """Copy the files to upload, without names, paths and hashes of the data."""
    shared = configuration.with_data(manifest=None, cache=None, workers=None)
    write_bytes(out / "config.toml", shared.to_toml().encode())
    environment = read_json(inside(folder, "environment.json"), EnvironmentRecord)
    write_json(out / "environment.json", {**environment, "data": {}})
    write_json(out / "status.json", read_json(inside(folder, "status.json"), Status))
    weights = [inside(folder, "model.safetensors"), density_file(folder, configuration.density.sampler.name)]
    weights += [inside(each, REFINER) for each in refiner_folders(folder, configuration).values()]
    weights += [inside(folder, "metrics.json")] if metrics else []
    for path in weights:
        if path.exists():
            copy = out / path.relative_to(folder)
            make_folder(copy.parent)
            with open_regular(path) as source, open(copy, "xb") as target:
                shutil.copyfileobj(source, target)
    card = inside(folder, "card.md")
    text = read_regular(card, 2**20).decode() if card.exists() else "This run has not been evaluated.\n"
    write_bytes(out / _CARD, f"{_front_matter(configuration)}\n{_usage(configuration, name)}\n{text}".encode())


def _front_matter(configuration: Configuration) -> str:
    """Return the metadata that the hub reads from a card, as YAML, of which JSON values are a part."""
    facts: dict[str, Any] = {"library_name": "multimodal_vae", "tags": ["multi-modal", "variational-autoencoder"]}
    if configuration.license:
        identifier = re.sub(r"[^a-z0-9.]+", "-", configuration.license.lower()).strip("-")
        known = identifier in _LICENSES
        facts |= {"license": identifier} if known else {"license": "other", "license_name": identifier}
    lines = [f"{key}: {json.dumps(value)}" for key, value in facts.items()]
    return "\n".join(["---", *lines, "---", ""])


def _usage(configuration: Configuration, name: str) -> str:
    return (
        f"Open this run with `multimodal_vae.open_run({json.dumps('hf://' + name)})`. Its modalities are "
        f"{listing(configuration.modalities)}. Samples that it generates are synthetic, and not for diagnosis.\n"
    )


def _library() -> Any:
    """Return the hub's library.

    Raises:
        ConfigurationError: if it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ConfigurationError("the hub needs its library: pip install 'multimodal-vae[hub]'") from error
    return huggingface_hub


@contextmanager
def _explained(hub: Any, where: str) -> Iterator[None]:
    """Turn errors of the hub's library into one line each."""
    errors, login = hub.errors, "log in with: hf auth login"
    try:
        yield
    except errors.HFValidationError as error:
        raise ConfigurationError(f"{where} is no place on the hub; give hf://OWNER/NAME") from error
    except errors.GatedRepoError as error:
        raise RunError(f"{where} needs its owner's permission; ask for it on its page, and {login}") from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(f"{where} does not exist, or is private; check its name, or {login}") from error
    except errors.RevisionNotFoundError as error:
        raise RunError(f"{where} does not have this revision; give a branch, tag or commit of it") from error
    except errors.LocalTokenNotFoundError as error:
        raise RunError(f"the hub knows no user for {where}; {login}") from error
    except errors.HfHubHTTPError as error:
        refused = error.response is not None and error.response.status_code in (401, 403)
        raise RunError(f"the hub refuses {where}{f'; {login}' if refused else f': {one_line(error)}'}") from error
    except (errors.LocalEntryNotFoundError, errors.HTTPError, ConnectionError) as error:  # HTTPError is that of httpx
        raise RunError(f"the hub cannot be reached for {where}: {one_line(error)}; check the network") from error
