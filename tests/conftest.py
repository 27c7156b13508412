"""Small data sets, models and runs that the tests share."""

import csv
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image as Pillow

import multimodal_vae as mv
from multimodal_vae import cli
from multimodal_vae.privacy import run_audit
from multimodal_vae.training import precision

# Wants an environment that has MultiVae, and is looked into for examples otherwise.
collect_ignore = ["check_multivae.py"]

# The same examples each time, so that a failure is one for everybody; torch's first call is slow, so no deadline.
settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Several test processes with several threads each would get in each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _float32() -> Iterator[None]:
    """Trainings are those of every processor, also on one that would train in bfloat16."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(precision, "cpu_has_matrix_units", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_resamples() -> Iterator[None]:
    """The resamples are most of the time of a run's audit; the intervals themselves are tested on arrays."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_audit, "audit", partial(run_audit.audit, resamples=10))
        yield


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def make_data() -> Callable[..., mv.MultimodalDataset]:
    """Two vectors that tell two classes apart, each sample a patient of its own unless it is told otherwise."""

    def make(count: int = 24, seed: int = 0, **arguments: Any) -> mv.MultimodalDataset:
        rng = torch.Generator().manual_seed(seed)
        labels = [row % 2 for row in range(count)]
        means = torch.tensor(labels, dtype=torch.float32)[:, None]
        samples = {
            "blood": 3 * means + torch.randn(count, 3, generator=rng),
            "gait": -2 * means + torch.randn(count, 2, generator=rng),
        }
        parts = {"blood": mv.Vector(size=3, hidden=8), "gait": mv.Vector(size=2, hidden=8)}
        return mv.MultimodalDataset.from_tensors(samples, [("ill", "well")[k] for k in labels], parts, **arguments)

    return make


@pytest.fixture
def make_model() -> Callable[..., mv.MultimodalVAE]:
    def make(data: mv.MultimodalDataset, **arguments: Any) -> mv.MultimodalVAE:
        return mv.MultimodalVAE(data.modalities, data.classes, **{"latent_dim": 3, "seed": 0, **arguments})

    return make


def _write_manifest(folder: Path, count: int = 24) -> Path:
    """Gray pictures of 8 x 8 pixels and vectors of three numbers, in two classes of six patients each."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sample_id", "patient_id", "label", "photo", "blood", "site"])
        for index in range(count):
            kind = index % 2
            pixels = np.clip(rng.normal(80 + 90 * kind, 20, (8, 8)), 0, 255).astype(np.uint8)
            Pillow.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
            blood = " ".join(f"{number:.4f}" for number in rng.normal(2.0 * kind, 1, 3))
            rows.writerow(
                [f"s{index}", f"p{index % 12}", ("ill", "well")[kind], f"pictures/{index}.png", blood, "here"]
            )
    return folder / "manifest.csv"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return _write_manifest(tmp_path / "cohort")


@pytest.fixture(scope="session")
def columns() -> dict[str, Any]:
    """The modalities of the manifest."""
    return {
        "photo": {"name": "image", "size": [8, 8], "channels": 1, "width": 4},
        "blood": {"name": "vector", "size": 3, "hidden": 8},
    }


_TOML = """
[data]
manifest = "{manifest}"
split = [0.5, 0.17, 0.33]

[modalities.photo]
name = "image"
size = [8, 8]
channels = 1
width = 4

[modalities.blood]
name = "vector"
size = 3
hidden = 8

[model]
latent_dim = 4

[training]
epochs = 2
per_class = 3
device = "cpu"

[density]
sampler = "kde"
"""


@pytest.fixture
def toml(manifest: Path) -> Path:
    """The configuration of a short training on the manifest."""
    path = manifest.parent / "short.toml"
    path.write_text(_TOML.format(manifest="manifest.csv"), "utf-8")
    return path


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from multimodal_vae.run import train_run

    root = tmp_path_factory.mktemp("trained")
    _write_manifest(root / "cohort")
    path = root / "cohort" / "short.toml"
    path.write_text(_TOML.format(manifest="manifest.csv"), "utf-8")
    train_run(mv.Configuration.read(path), root / "run", show=False)
    return root


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A run folder of one's own, to read or to damage, with its data beside it in ``cohort``."""
    return Path(shutil.copytree(_trained, tmp_path / "trained")) / "run"


@pytest.fixture
def mmvae(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line within this process; give its exit code, output and errors."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmvae", *map(str, arguments)])
        # What the command changes of its process is changed back.
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        monkeypatch.setattr(Distribution, "entry_points", Distribution.entry_points)
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return run
