"""The writing side of a run's folder: begun once, and gone on with by the same training alone."""

import datetime
import importlib.metadata
import os
import platform
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

import torch
from typing_extensions import TypedDict

from multimodal_vae.configuration import Configuration
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.data.manifest import SplitName
from multimodal_vae.errors import RunError, one_line
from multimodal_vae.files import read_json, require_vacant, write_bytes, write_json, write_tensors
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.provenance import PartRecord, records, register_instances, require

Parts = Mapping[SplitName, MultimodalDataset | None]
"""The training, validation and test samples, by the name of the split."""

State = Literal["training", "interrupted", "failed", "done"]


class Status(TypedDict):
    """How far a training has come."""

    state: State
    epochs_done: int
    epochs: int


class Fingerprint(TypedDict):
    """What is kept of a split's data."""

    sha256: str


class EnvironmentRecord(TypedDict):
    """The keys of ``environment.json`` that are read back; people read the others."""

    date: str
    distributions: dict[str, str]
    parts: list[PartRecord]
    data: dict[str, Fingerprint]


class RunFolder:
    """A run's folder while it is trained.

    Args:
        path: where it is.
        epochs: how many there will be.
    """

    def __init__(self, path: Path, epochs: int) -> None:
        self.path = path
        self.epochs = epochs

    @classmethod
    def begin(cls, path: Path, configuration: Configuration, parts: Parts) -> Self:
        """Make a folder, or go on with the one that the same training left.

        Raises:
            RunError: if the place is taken by anything else, another training included, or cannot be written.
        """
        folder = cls(path, configuration.training.epochs)
        manifest = configuration.data.manifest
        if manifest is not None:  # relative, so that a run and its data can be moved together
            configuration = configuration.with_data(manifest=Path(os.path.relpath(manifest, path.resolve())))
        if is_begun(path):
            folder._require_same_configuration(configuration)
            folder._require_same_data(configuration, parts)
            if folder.status["state"] != "done":
                # What a killed process half wrote, and densities of weights that will not be the last.
                for left in [*path.glob(".*"), *path.glob("samplers/*")]:
                    left.unlink()
            return folder
        if not (path / "config.toml").exists():  # or else it was killed while it made this folder
            require_vacant(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from error
        write_bytes(path / "config.toml", configuration.to_toml().encode())
        write_json(path / "environment.json", _environment(configuration, parts))
        write_json(path / "split.json", {name: part.ids if part else [] for name, part in parts.items()})
        folder.write_status("training", 0)
        return folder

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is, while there is one."""
        return self.path / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """Where the model's weights are."""
        return self.path / "model.safetensors"

    @property
    def status(self) -> Status:
        """How far the training has come."""
        return read_json(self.path / "status.json", Status)

    def write_status(self, state: State, epochs: int) -> None:
        """Say how far the training has come."""
        write_json(self.path / "status.json", {"state": state, "epochs_done": epochs, "epochs": self.epochs})

    def close(self, vae: MultimodalVAE, state: State, epochs: int) -> None:
        """Leave the weights and the status; a training that is done needs its checkpoint no more.

        What cannot be written after a failure is passed over, since the failure has more to say.
        """
        with suppress(*([RunError] if state == "failed" else [])):
            write_tensors(self.weights, vae.state_dict(), {"format": "multimodal_vae model"})
            self.write_status(state, epochs)
        if state == "done":
            self.checkpoint.unlink(missing_ok=True)

    def _require_same_configuration(self, configuration: Configuration) -> None:
        try:
            before = tomllib.loads((self.path / "config.toml").read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RunError(f"{self.path / 'config.toml'} is damaged: {one_line(error)}") from error
        now = tomllib.loads(configuration.to_toml())
        for table in (before, now):  # where and with what samples are read changes nothing in them
            for key in ("cache", "workers"):
                table.get("data", {}).pop(key, None)
            table.pop("license", None)
        changed = _difference(before, now)
        if changed:
            *section, key = changed[0]
            place = f"[{'.'.join(section)}] {key}" if section else key
            raise RunError(
                f"{self.path} holds a training with another configuration: {place} was {_shown(changed[1])} and is "
                f"{_shown(changed[2])}; put it back to go on, or choose another place"
            )

    def _require_same_data(self, configuration: Configuration, parts: Parts) -> None:
        recorded = read_json(self.path / "environment.json", EnvironmentRecord)
        register_instances(configuration)
        require(recorded["parts"], f"the run {self.path}")
        for name, part in parts.items():
            before = recorded["data"].get(name)
            now = {"sha256": part.fingerprint()} if part else None
            if before != now:
                raise RunError(
                    f"{self.path} holds a training on other {name} samples; restore the data, or choose another place"
                )


def is_begun(path: Path) -> bool:
    """Whether there is a run's folder: its status is the last thing that is written when it is made."""
    return (path / "status.json").is_file()


def _difference(before: Any, after: Any, place: tuple[str, ...] = ()) -> tuple[tuple[str, ...], Any, Any] | None:
    """The first place where two tables differ, with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            found = _difference(before.get(key), after.get(key), (*place, key))
            if found:
                return found
        return None
    return None if before == after else (place, before, after)


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _environment(configuration: Configuration, parts: Parts) -> dict[str, Any]:
    """What the run stood on: versions, who owns each part, and hashes of the data."""
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
