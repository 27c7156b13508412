"""The folder of a run while it is trained; only the same training may resume in it."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import nn
from typing_extensions import TypedDict

from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SPLITS, SplitName
from multimodal_vae.errors import RunError, one_line
from multimodal_vae.files import (
    inside,
    is_leftover,
    make_folder,
    read_json,
    read_tensors,
    remove_leftovers,
    require_vacant,
    write_bytes,
    write_json,
)
from multimodal_vae.locks import LOCK, locked
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.model_file import put_weights
from multimodal_vae.provenance import PartRecord, records, register_instances, require
from multimodal_vae.synthesis.folder import LONGEST, unique_file_names
from multimodal_vae.synthesis.synthesizer import sampler_in
from multimodal_vae.toml import TOMLError, parse_toml, read_toml
from multimodal_vae.training.settings import Training

FILES = (
    "config.toml",
    "environment.json",
    "split.json",
    "status.json",
    "log.jsonl",
    "timing.jsonl",
    "checkpoint.safetensors",
    "model.safetensors",
)
"""Files that a training writes."""
REFINER = "refiner.safetensors"
"""File of a refiner's weights, in a folder of its own; written when it is trained."""
REFINER_FILES = ("log.jsonl", "timing.jsonl", "checkpoint.safetensors", REFINER)
"""Files that the training of a refiner writes."""
ADAPTED = "guarantee.json"
"""File that says that only a run's densities have seen its patients, with differential privacy; see mmvae adapt."""
REPORTS = ("metrics.json", "metrics.csv", "report.html", "privacy.json", "privacy.svg", "card.md")
"""Files that are written later."""

Parts = Mapping[SplitName, MultimodalDataset | None]
"""Training, validation and test samples, by name of the split."""

State = Literal["training", "interrupted", "failed", "refining", "done"]
"""``refining``: the model is trained, but not all of its refiners are."""


class Status(TypedDict):
    """Progress of a training."""

    state: State
    epochs_done: int
    epochs: int


class AdaptationRecord(TypedDict):
    """The keys of ``guarantee.json`` that are read back; the others are for people.

    Attributes:
        request: what was asked for.
        sha256: hashes of the files that the guarantee is about, by name.
    """

    request: dict[str, Any]
    sha256: dict[str, str]


class Fingerprint(TypedDict):
    """Record of a split's data."""

    sha256: str


class EnvironmentRecord(TypedDict):
    """The keys of ``environment.json`` that are read back; the others are for people."""

    date: str
    distributions: dict[str, str]
    parts: list[PartRecord]
    data: dict[str, Fingerprint]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Lock a run's folder within a block, and remove temporary files that killed processes left in it.

    Raises:
        RunError: if another process writes the run, or it cannot be written.
    """
    with locked(path):
        for name in (*FILES, *REPORTS, ADAPTED):
            remove_leftovers(path, name)
        remove_leftovers(inside(path, "samplers"), "*.safetensors")
        yield


class RunFolder:
    """Folder of a run while it is trained.

    Args:
        path: the folder.
        training: settings of the training.
    """

    def __init__(self, path: Path, training: Training) -> None:
        self.path = path
        self.epochs = training.length(1).epochs

    @classmethod
    def begin(cls, path: Path, configuration: Configuration, parts: Parts) -> Self:
        """Create the folder, or reopen that of the same training.

        Raises:
            RunError: if the folder has other content, such as another training, or cannot be written.
        """
        folder = cls(path, configuration.training)
        configuration = relative_to(path, configuration)
        if is_begun(path) and folder._failed_at_once():
            folder._discard()
        elif is_begun(path):
            folder._require_same_configuration(configuration)
            folder._require_same_data(configuration, parts)
            if folder.status["state"] != "done":
                folder._remove_outdated(configuration)
            return folder
        else:
            require_new(path)
        make_folder(path)
        folder._require_no_other_recipe(configuration)
        folder._remove_outdated(configuration)
        write_description(path, configuration, parts)
        folder.write_status("training", 0)
        return folder

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint, which is removed when the training is done."""
        return inside(self.path, "checkpoint.safetensors")

    @property
    def weights(self) -> Path:
        """Path of the model's weights."""
        return inside(self.path, "model.safetensors")

    @property
    def status(self) -> Status:
        """Progress of the training."""
        return read_json(inside(self.path, "status.json"), Status)

    def write_status(self, state: State, epochs: int) -> None:
        """Record the progress of the training."""
        write_json(inside(self.path, "status.json"), {"state": state, "epochs_done": epochs, "epochs": self.epochs})

    def close(self, vae: MultimodalVAE, state: State, epochs: int) -> None:
        """Write weights and status, and remove the checkpoint of a training that is done.

        After a failed training, errors in writing are ignored, so that they do not hide the failure.
        """
        with suppress(*([RunError] if state == "failed" else [])):
            vae.save(self.weights)
            self.write_status(state, epochs)
        if state in ("refining", "done"):
            self.remove_checkpoint()

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint of a training that is done."""
        self.checkpoint.unlink(missing_ok=True)

    def _failed_at_once(self) -> bool:
        """Return whether a training failed in its first epoch, so that there is nothing to keep."""
        return self.status["state"] == "failed" and not self.status["epochs_done"] and not self.checkpoint.exists()

    def _discard(self) -> None:
        """Remove what a training wrote, its status last."""
        try:
            for name in sorted(FILES, key=lambda name: name == "status.json"):
                inside(self.path, name).unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{error.filename} cannot be removed: {error.strerror}") from error

    def _remove_outdated(self, configuration: Configuration) -> None:
        """Remove temporary files of a killed training, and densities of intermediate weights; nothing else."""
        own = density_file(self.path, configuration.density.sampler.name)  # also if it is damaged
        try:
            for name in FILES:
                remove_leftovers(self.path, name)
            remove_leftovers(inside(self.path, "samplers"), "*.safetensors")
            for folder in refiner_folders(self.path, configuration).values():
                for name in REFINER_FILES:
                    remove_leftovers(folder, name)
            for density in {own, *saved_densities(self.path)}:
                density.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{error.filename} cannot be removed: {error.strerror}") from error

    def _require_no_other_recipe(self, configuration: Configuration) -> None:
        """Refuse to replace a configuration that is not what a killed process left, as a user's ``config.toml``."""
        with suppress(OSError, TOMLError):
            read_toml(inside(self.path, "config.toml"))
            self._require_same_configuration(configuration)

    def _require_same_configuration(self, configuration: Configuration) -> None:
        path = inside(self.path, "config.toml")
        try:
            before = read_toml(path)
        except (OSError, TOMLError) as error:
            raise RunError(f"{path} is damaged: {one_line(error)}") from error
        now = parse_toml(configuration.to_toml())
        for table in (before, now):  # keys that do not affect the result
            for key in ("cache", "workers"):
                if isinstance(table.get("data"), dict):
                    table["data"].pop(key, None)
            for key in ("license", "tune"):
                table.pop(key, None)
        changed = _difference(before, now)
        if changed:
            *section, key = changed[0]
            name = f"[{'.'.join(section)}] {key}" if section else key
            raise RunError(
                f"{self.path} has a training with another configuration: {name} was {_format(changed[1])} and is "
                f"{_format(changed[2])}; restore it to resume, or choose another folder"
            )

    def _require_same_data(self, configuration: Configuration, parts: Parts) -> None:
        recorded = read_json(inside(self.path, "environment.json"), EnvironmentRecord)
        register_instances(configuration)
        require(recorded["parts"], f"the run {self.path}")
        for name, part in parts.items():
            before = recorded["data"].get(name)
            now = {"sha256": part.fingerprint()} if part else None
            if before != now:
                raise RunError(
                    f"{self.path} has a training on other {name} samples; restore the data, or choose another folder"
                )


def relative_to(path: Path, configuration: Configuration) -> Configuration:
    """Return a configuration whose manifest is relative to a run folder, so that both can be moved together."""
    manifest = configuration.data.manifest
    if manifest is None:
        return configuration
    return configuration.with_data(manifest=Path(os.path.relpath(manifest, path.resolve())))


def write_description(path: Path, configuration: Configuration, parts: Parts) -> None:
    """Write the configuration, the environment with hashes of the data, and the split into a run's folder."""
    write_bytes(inside(path, "config.toml"), configuration.to_toml().encode())
    write_json(inside(path, "environment.json"), _environment(configuration, parts))
    write_json(inside(path, "split.json"), {name: part.ids if part else [] for name, part in parts.items()})


def is_begun(path: Path) -> bool:
    """Return whether a run folder has been created; its status is written last."""
    return inside(path, "status.json").is_file()


def require_new(path: Path) -> None:
    """Raise RunError if a folder holds anything but what a process left that was killed while creating the run."""
    with suppress(OSError):  # there is no such folder, or the next call says why it cannot be read
        left = {name for name in os.listdir(path) if name in FILES[:3] or is_leftover(name)}
        require_vacant(path, LOCK, *left)
        return
    require_vacant(path)


def density_file(folder: Path, sampler: str, suffix: str = "") -> Path:
    """Return the path of a sampler's densities in a run folder.

    Args:
        folder: the run folder.
        sampler: name of the sampler.
        suffix: ``-`` and the split, unless they are fitted on the configuration's.
    """
    # Not every file system allows colons.
    return inside(folder, "samplers", f"{sampler.replace(':', '-')}{suffix}.safetensors")


def refiner_folders(folder: Path, configuration: Configuration) -> dict[str, Path]:
    """Return the folder of each refiner in a run folder, by modality."""
    names = unique_file_names([*configuration.refiners], LONGEST)
    return {name: inside(folder, "refiners", stem) for name, stem in names.items()}


def load_weights(module: nn.Module, path: Path, run: Path, check: Callable[[], None]) -> None:
    """Load the weights of a run's model or refiner.

    Args:
        module: what they belong to.
        path: the file.
        run: the run folder.
        check: raises TrainingError if the weights are not finite.

    Raises:
        RunError: if the file is damaged, or the weights belong to something else or are not finite.
    """
    tensors, _ = read_tensors(path)
    put_weights(tensors, module, path, f"{run / 'config.toml'}", check)


def saved_densities(folder: Path) -> list[Path]:
    """Return the densities in a run folder: files whose name is that of the sampler in them."""
    found = []
    for path in sorted(inside(folder, "samplers").glob("*.safetensors")):
        with suppress(RunError):  # whatever else is there is not ours
            own = [density_file(folder, sampler_in(path), suffix) for suffix in ("", *(f"-{each}" for each in SPLITS))]
            found += [path] if path in own and not path.is_symlink() else []
    return found


def _difference(before: Any, after: Any, path: tuple[str, ...] = ()) -> tuple[tuple[str, ...], Any, Any] | None:
    """Return the key path of the first difference between two tables, with both values; None if they are equal."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            difference = _difference(before.get(key), after.get(key), (*path, key))
            if difference:
                return difference
        return None
    return None if before == after else (path, before, after)


def _format(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _environment(configuration: Configuration, parts: Parts) -> dict[str, Any]:
    """Return the content of ``environment.json``: versions, records of the parts, and hashes of the data."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "distributions": {
            name: importlib.metadata.version(name) for name in ("multimodal-vae", "torch", "numpy", "scikit-learn")
        },
        "parts": records(configuration),
        "data": {
            name: {"samples": len(part), "patients": len(set(part.patients)), "sha256": part.fingerprint()}
            for name, part in parts.items()
            if part
        },
        "notes": next((part.notes for part in parts.values() if part), {}),
    }
