"""Train the judges of generated ears, on cohorts whose seeds no recipe's cohort has.

Three judges predict the class and five causes: one from both modalities, one from the image, one from the tympanogram.
A fourth marks landmarks in images. Their quality is measured on another cohort and printed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor
from typing_extensions import TypedDict

from ears import CLASSES, Ears, draw_ears
from landmark_judge import LandmarkJudge, lessons, marks, train_landmark_judge
from landmarks import LANDMARKS, REMOVED, enough
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.class_maps import class_maps
from multimodal_vae.evaluation.individuality import within_class
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.files import read_json, read_tensors, write_json, write_tensors
from multimodal_vae_otoscopy import Otoscopy
from simulator import identity
from steps import step_parser

VERSION = 3
"""To be raised when the training of the judges changes."""
FIRST_SEED = 1000
"""Lowest seed of the judges' cohorts; cohorts of recipes have lower ones."""

T = TypeVar("T")
BOTH = ("otoscopy", "wbt")
Counts = Mapping[str, int]
SOUND_EARS: Counts = {"NOE": 1600, "OME": 1400, "AOM": 1000}
"""Training ears of the judge of tympanograms, which are drawn fast."""
IMAGE_EARS: Counts = {"NOE": 460, "OME": 400, "AOM": 300}
"""Training ears of the judges of images, and of both modalities."""
LANDMARK_EARS: Counts = {"NOE": 200, "OME": 180, "AOM": 120}
"""Training ears of the landmark judge; each is also rendered without each landmark."""
TEST_EARS: Counts = {"NOE": 70, "OME": 70, "AOM": 60}
"""Ears on which the judges are measured."""
EPOCHS, LANDMARK_EPOCHS = 20, 12
MOST_MISTAKES = 0.1
"""Share of ears in which a removed landmark is detected, above which the printed report warns."""
LEAST_R2 = 0.05
"""Within-class R² below which a cause counts as not read."""


class Facts(TypedDict):
    """Content of ``judges.json``."""

    version: int
    simulator: dict[str, str]
    seeds: dict[str, int]
    counts: dict[str, dict[str, int]]
    sha256: dict[str, str]
    seconds: dict[str, float]
    measured: dict[str, float]


@dataclass(frozen=True)
class Judges:
    """The judges of a folder.

    Attributes:
        joint: judge of both modalities.
        image: judge of the image.
        wbt: judge of the tympanogram.
        landmarks: judge of landmarks in the image.
        wbt_means: (classes, 1, 64, 64), mean tympanograms of the training ears of ``wbt``.
        facts: versions, seeds, counts, hashes and quality of the judges.
    """

    joint: Judge
    image: Judge
    wbt: Judge
    landmarks: LandmarkJudge
    wbt_means: Tensor
    facts: Facts

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read judges from a folder.

        Raises:
            RunError: if they are missing, damaged, of another version, or trained on another simulator's ears.
        """
        facts = read_json(folder / "judges.json", Facts)
        if facts["version"] != VERSION or facts["simulator"] != identity():
            raise RunError(f"the judges in {folder} are of another version or another simulator; remove the folder")
        if facts["sha256"] != {name: _sha256(folder / name) for name in facts["sha256"]}:
            raise RunError(f"the files in {folder} do not match the hashes in judges.json; remove the folder")
        joint, image, wbt = (Judge.load(folder / f"{name}.safetensors") for name in ("joint", "image", "wbt"))
        landmarks = LandmarkJudge.load(folder / "landmarks.safetensors")
        means, _ = read_tensors(folder / "wbt-means.safetensors")
        return cls(joint, image, wbt, landmarks, torch.stack([means[label] for label in CLASSES]), facts)

    @property
    def sha256(self) -> str:
        """One hash of all judges."""
        return hashlib.sha256("".join(sorted(self.facts["sha256"].values())).encode()).hexdigest()


def train_judges(
    folder: Path,
    sound: Counts = SOUND_EARS,
    image: Counts = IMAGE_EARS,
    landmark: Counts = LANDMARK_EARS,
    test: Counts = TEST_EARS,
    epochs: tuple[int, int] = (EPOCHS, LANDMARK_EPOCHS),
    workers: int = 2,
    show: bool = True,
) -> Judges:
    """Draw ears, train all judges on them, measure them on other ears, and save them in a folder.

    Args:
        folder: folder to write; it is created if missing.
        sound: number of training ears by class, for the judge of tympanograms.
        image: the same for the judges of images and of both modalities.
        landmark: the same for the landmark judge.
        test: number of ears by class on which the judges are measured.
        epochs: of the three judges of classes, and of the landmark judge.
        workers: number of processes that draw ears.
        show: whether to show progress.
    """
    seconds: dict[str, float] = {}
    counts = {"sound": dict(sound), "image": dict(image), "landmark": dict(landmark), "test": dict(test)}
    seeds = {name: FIRST_SEED + index for index, name in enumerate(counts)}

    def timed(what: str, work: Callable[[], T]) -> T:
        start = time.monotonic()
        result = work()
        seconds[what] = round(time.monotonic() - start, 1)
        return result

    ears = timed(
        "drawing",
        lambda: {
            "sound": _draw(seeds["sound"], sound, (), ("wbt",), workers, show),
            "image": _draw(seeds["image"], image, (), BOTH, workers, show),
            "landmark": _draw(seeds["landmark"], landmark, LANDMARKS, ("otoscopy",), workers, show),
            "test": _draw(seeds["test"], test, LANDMARKS, BOTH, workers, show),
        },
    )
    augment = {"otoscopy": Otoscopy().augment}
    trained = {
        name: timed(
            name,
            lambda source=source, names=names: train_judge(ears[source].samples, CLASSES, names, augment, epochs[0]),
        )
        for name, source, names in (
            ("joint", "image", BOTH),
            ("image", "image", ["otoscopy"]),
            ("wbt", "sound", ["wbt"]),
        )
    }
    landmarks = timed("landmarks", lambda: train_landmark_judge(lessons(ears["landmark"]), epochs[1]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, judge in trained.items():
        judge.save(folder / f"{name}.safetensors")
    landmarks.save(folder / "landmarks.safetensors")
    samples = ears["sound"].samples
    maps = class_maps(samples.values["wbt"], samples.labels)
    means = {label: maps[index].mean for index, label in enumerate(CLASSES)}
    write_tensors(folder / "wbt-means.safetensors", means, {})
    files = [f"{name}.safetensors" for name in (*trained, "landmarks", "wbt-means")]
    facts = Facts(
        version=VERSION,
        simulator=identity(),
        seeds=seeds,
        counts=counts,
        sha256={name: _sha256(folder / name) for name in files},
        seconds=seconds,
        measured={**judge_quality(trained, ears["test"]), **landmark_quality(landmarks, ears["test"])},
    )
    write_json(folder / "judges.json", facts)
    return Judges.load(folder)


def judge_quality(judges: Mapping[str, Judge], ears: Ears) -> dict[str, float]:
    """Return the quality of judges on test ears.

    The keys are ``accuracy/JUDGE`` (balanced), ``R2/CAUSE/JUDGE`` and ``R2 within classes/CAUSE/JUDGE``.
    """
    samples = ears.samples
    quality: dict[str, float] = {}
    for name in ("joint", "image", "wbt"):
        output = judges[name].predict(samples.values)
        quality[f"accuracy/{name}"] = float(balanced_accuracy_score(samples.labels, output.labels))
        for cause, truth in samples.causes.items():
            pair = truth[:, None], output.causes[cause][:, None]
            quality[f"R2/{cause}/{name}"] = within_class(*pair, torch.zeros_like(samples.labels)).r2()
            quality[f"R2 within classes/{cause}/{name}"] = within_class(*pair, samples.labels).r2()
    return quality


def landmark_quality(judge: LandmarkJudge, ears: Ears) -> dict[str, float]:
    """Return the quality of a landmark judge on test ears.

    The keys are ``visible/LANDMARK`` and ``detected/LANDMARK``, shares of ears; ``AUC/LANDMARK``; ``pairs/LANDMARK``,
    the share of ears with the landmark that are ranked above the same ear without it (.5 is chance); and
    ``mistaken/LANDMARK``, the share of ears without the landmark in which it is detected.
    """
    quality: dict[str, float] = {}
    pictures = ears.samples.values["otoscopy"]
    detected, likelihood = judge.detect(pictures), judge.likelihood(pictures)
    truths = enough(marks(ears))
    for name, truth in zip(LANDMARKS, truths.unbind(1), strict=True):
        quality[f"visible/{name}"] = float(truth.double().mean())
        quality[f"detected/{name}"] = float(detected[name].double().mean())
        if 0 < truth.sum() < len(truth):
            quality[f"AUC/{name}"] = float(roc_auc_score(truth.numpy(), likelihood[name].numpy()))
        if name in REMOVED:
            without = ears.others[name]
            quality[f"mistaken/{name}"] = float(judge.detect(without)[name].double().mean())
            if truth.any():
                likelier = likelihood[name] > judge.likelihood(without)[name]
                quality[f"pairs/{name}"] = float(likelier[truth].double().mean())
    return quality


def print_quality(facts: Facts, console: Console) -> None:
    """Print the quality of judges, and what they cannot read."""
    measured = facts["measured"]
    table = Table(title=f"judges, on {sum(facts['counts']['test'].values())} ears of other patients")
    for column in ("", "image and WBT", "image", "WBT"):
        table.add_column(column, justify="right" if column else "left")
    names = ("joint", "image", "wbt")
    table.add_row("balanced accuracy", *(f"{measured[f'accuracy/{name}']:.2f}" for name in names))
    causes = [key.split("/")[1] for key in measured if key.startswith("R2/") and key.endswith("/joint")]
    for kind in ("R2", "R2 within classes"):
        for cause in causes:
            table.add_row(f"{kind}, {cause}", *(f"{measured[f'{kind}/{cause}/{name}']:.2f}" for name in names))
    console.print(table)
    without = "the same ear without it"
    heads = ("landmark", "visible in", "detected in", "AUC", f"ranked above {without}", f"detected in {without}")
    table = Table(*heads, title="landmark judge")
    for name in LANDMARKS:
        cells = (measured.get(f"{what}/{name}") for what in ("visible", "detected", "AUC", "pairs", "mistaken"))
        table.add_row(name, *("" if cell is None else f"{cell:.2f}" for cell in cells))
    console.print(table)
    for name, where in (("image", "the image"), ("wbt", "WBT")):
        unread = [cause for cause in causes if measured[f"R2 within classes/{cause}/{name}"] < LEAST_R2]
        if unread:
            console.print(f"Not read from {where}, within a class: {', '.join(unread)}. Ignore metrics that need them.")
    mistaken = [name for name in REMOVED if measured[f"mistaken/{name}"] > MOST_MISTAKES]
    if mistaken:
        console.print(f"Often detected where absent: {', '.join(mistaken)}. Trust no single detection of these.")
    console.print(f"seconds: {', '.join(f'{what} {took:.0f}' for what, took in facts['seconds'].items())}")


def _draw(
    seed: int, counts: Counts, others: Sequence[str], modalities: Sequence[str], workers: int, show: bool
) -> Ears:
    console = Console(stderr=True)
    total = sum(counts.values())
    with Progress(console=console, transient=True, disable=not (show and console.is_terminal)) as bar:
        task = bar.add_task(f"drawing {total} ears", total=total)
        return draw_ears(seed, counts, others, modalities, workers, lambda done, _: bar.update(task, completed=done))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def load_or_train(folder: Path, workers: int) -> Judges:
    """Load the judges of a folder, or train them where there are none."""
    return Judges.load(folder) if (folder / "judges.json").exists() else train_judges(folder, workers=workers)


def main(arguments: Sequence[str]) -> None:
    """Train the judges unless the folder has them, and print their quality."""
    parser = step_parser("judges", "runs/judges")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the judges")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw ears (default 2)")
    given = parser.parse_args(arguments)
    judges = load_or_train(given.out, given.workers)
    print_quality(judges.facts, Console(width=120))
    print(f"{given.out}: {judges.sha256[:16]}")
