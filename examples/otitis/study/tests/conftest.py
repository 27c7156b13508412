"""A tiny run on a tiny cohort, and its judges, for all tests of steps that measure."""

from pathlib import Path

import pytest

import multimodal_vae as mv
from ears import draw_ears
from judges import train_judges
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.run import train_run
from simulator.cohort import write_cohort


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the run and of the judges."""
    folder = tmp_path_factory.mktemp("clinic")
    write_cohort(folder / "cohort", 3, {"NOE": 10, "OME": 10, "AOM": 10}, workers=1)
    small = {"width": 4, "network": "compact"}
    configuration = mv.Configuration(
        data={"manifest": folder / "cohort/manifest.csv", "classes": ["OME", "NOE", "AOM"], "split": (0.6, 0.0, 0.4)},
        modalities={name: {"name": name, **small} for name in ("otoscopy", "wbt")},
        model={"latent_dim": 4},
        training={"epochs": 2, "per_class": 4, "loggers": ["jsonl"]},
        density={"fit_on": "test"},
    )
    train_run(configuration, folder / "run", show=False)
    few = {"NOE": 3, "OME": 3, "AOM": 3}
    train_judges(folder / "judges", few, few, few, few, epochs=(1, 1), workers=1, show=False)
    return folder / "run", folder / "judges"


@pytest.fixture(scope="session")
def held_out() -> LabeledSamples:
    """Ears of other patients."""
    return draw_ears(503, {"NOE": 10, "OME": 10, "AOM": 10}).samples
