"""Trains the judges of generated ears: on a cohort of their own, whose seeds no recipe's cohort has.

One looks at image and tympanogram together, one at each alone; these three know the classes and read five causes. A
fourth looks for landmarks in images. What each is worth is measured on another cohort, and printed.
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
from rich.progress import track
from rich.table import Table
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor
from typing_extensions import TypedDict

from ears import CLASSES, Ears, draw_ears
from landmark_judge import LandmarkJudge, lessons, marks, train_landmark_judge
from landmarks import LANDMARKS, LEAST_PIXELS, REMOVED
from multimodal_vae.errors import RunError
from multimodal_vae.evaluation.class_maps import class_maps
from multimodal_vae.evaluation.individuality import within_class
from multimodal_vae.evaluation.judge import Judge, train_judge
from multimodal_vae.files import read_json, read_tensors, write_json, write_tensors
from multimodal_vae_otoscopy import Otoscopy
from simulator import identity
from steps import step_parser

VERSION = 2
"""Raised when the judges learn in another way."""
FIRST_SEED = 1000
"""Cohorts of judges have seeds from here on, cohorts of recipes lower ones."""

T = TypeVar("T")
BOTH = ("otoscopy", "wbt")
Counts = Mapping[str, int]
HEARD: Counts = {"NOE": 1600, "OME": 1400, "AOM": 1000}
"""Ears whose tympanograms alone are learned from: they take no time."""
LEARNED: Counts = {"NOE": 460, "OME": 400, "AOM": 300}
"""Ears from whose images classes and causes are learned, with and without the tympanogram."""
SHOWN: Counts = {"NOE": 200, "OME": 180, "AOM": 120}
"""Ears on which landmarks are learned: each is rendered once more without each of them."""
ASKED: Counts = {"NOE": 70, "OME": 70, "AOM": 60}
"""Ears on which the judges are measured."""
EPOCHS, LANDMARK_EPOCHS = 20, 12
MISTAKEN = 0.1
"""Share of ears in which a landmark that was taken away is seen all the same, above which this is said."""
UNREAD = 0.05
"""Share of a cause's variance within classes below which it counts as not read."""


class Facts(TypedDict):
    """What stands in ``judges.json``."""

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
        joint: of image and tympanogram together.
        image: of the image alone.
        wbt: of the tympanogram alone.
        landmarks: of the image, pixel by pixel.
        wbt_means: (classes, 1, 64, 64), of the many ears that the judge of tympanograms learned from.
        facts: what they are, and what they are worth.
    """

    joint: Judge
    image: Judge
    wbt: Judge
    landmarks: LandmarkJudge
    wbt_means: Tensor
    facts: Facts

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read judges back.

        Raises:
            RunError: if they are missing, damaged, of another version, or learned from another simulator's ears.
        """
        facts = read_json(folder / "judges.json", Facts)
        if facts["version"] != VERSION or facts["simulator"] != identity():
            raise RunError(f"the judges in {folder} are of another version, or of another simulator; remove the folder")
        if facts["sha256"] != {name: _sha256(folder / name) for name in facts["sha256"]}:
            raise RunError(f"the judges in {folder} are not those that judges.json tells of; remove the folder")
        joint, image, wbt = (Judge.load(folder / f"{name}.safetensors") for name in ("joint", "image", "wbt"))
        landmarks = LandmarkJudge.load(folder / "landmarks.safetensors")
        means, _ = read_tensors(folder / "wbt-means.safetensors")
        return cls(joint, image, wbt, landmarks, torch.stack([means[label] for label in CLASSES]), facts)

    @property
    def sha256(self) -> str:
        """One hash of them all."""
        return hashlib.sha256("".join(sorted(self.facts["sha256"].values())).encode()).hexdigest()


def train_judges(
    folder: Path,
    heard: Counts = HEARD,
    learned: Counts = LEARNED,
    shown: Counts = SHOWN,
    asked: Counts = ASKED,
    epochs: tuple[int, int] = (EPOCHS, LANDMARK_EPOCHS),
    workers: int = 2,
    show: bool = True,
) -> Judges:
    """Draw ears, train all judges on them, measure them on other ears, and leave them in a folder.

    Args:
        folder: made if it is not there.
        heard: ears from whose tympanograms classes and causes are learned.
        learned: ears from which they are learned with the image, and from the image alone.
        shown: ears from which landmarks are learned.
        asked: ears on which the judges are measured.
        epochs: of the judges of classes, and of the judge of landmarks.
        workers: processes that draw.
        show: whether to show progress.
    """
    seconds: dict[str, float] = {}
    counts = {"heard": dict(heard), "learned": dict(learned), "shown": dict(shown), "asked": dict(asked)}
    seeds = {name: FIRST_SEED + index for index, name in enumerate(counts)}

    def timed(what: str, work: Callable[[], T]) -> T:
        start = time.monotonic()
        done = work()
        seconds[what] = round(time.monotonic() - start, 1)
        return done

    drawn = timed(
        "drawing",
        lambda: {
            "heard": _draw(seeds["heard"], heard, (), ("wbt",), workers, show),
            "learned": _draw(seeds["learned"], learned, (), BOTH, workers, show),
            "shown": _draw(seeds["shown"], shown, LANDMARKS, ("otoscopy",), workers, show),
            "asked": _draw(seeds["asked"], asked, LANDMARKS, BOTH, workers, show),
        },
    )
    augment = {"otoscopy": Otoscopy().augment}
    trained = {
        name: timed(
            name,
            lambda source=source, sees=sees: train_judge(drawn[source].samples, CLASSES, sees, augment, epochs[0]),
        )
        for name, source, sees in (
            ("joint", "learned", BOTH),
            ("image", "learned", ["otoscopy"]),
            ("wbt", "heard", ["wbt"]),
        )
    }
    landmarks = timed("landmarks", lambda: train_landmark_judge(lessons(drawn["shown"]), epochs[1]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, judge in trained.items():
        judge.save(folder / f"{name}.safetensors")
    landmarks.save(folder / "landmarks.safetensors")
    samples = drawn["heard"].samples
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
        measured={**worth(trained, drawn["asked"]), **worth_of_landmarks(landmarks, drawn["asked"])},
    )
    write_json(folder / "judges.json", facts)
    return Judges.load(folder)


def worth(judges: Mapping[str, Judge], ears: Ears) -> dict[str, float]:
    """What judges are worth, on ears that they have not learned from.

    By name: ``accuracy/JUDGE``, balanced; ``R2/CAUSE/JUDGE`` and ``R2 within classes/CAUSE/JUDGE``.
    """
    samples = ears.samples
    found: dict[str, float] = {}
    for name in ("joint", "image", "wbt"):
        reading = judges[name].read(samples.values)
        found[f"accuracy/{name}"] = float(balanced_accuracy_score(samples.labels, reading.labels))
        for cause, truth in samples.causes.items():
            pair = truth[:, None], reading.causes[cause][:, None]
            found[f"R2/{cause}/{name}"] = within_class(*pair, torch.zeros_like(samples.labels)).r2()
            found[f"R2 within classes/{cause}/{name}"] = within_class(*pair, samples.labels).r2()
    return found


def worth_of_landmarks(judge: LandmarkJudge, ears: Ears) -> dict[str, float]:
    """What a judge of landmarks is worth, on ears that it has not learned from.

    By name: ``seen/LANDMARK``, the share of ears in which it can be seen; ``said/LANDMARK``, that in which the judge
    sees it; ``AUC/LANDMARK``; ``pairs/LANDMARK``, the share of ears with it that are told from the same ear without,
    half being chance; ``mistaken/LANDMARK``, the share of ears without in which it is seen all the same.
    """
    found: dict[str, float] = {}
    pictures = ears.samples.values["otoscopy"]
    said, likelihood = judge.sees(pictures), judge.likelihood(pictures)
    truths = marks(ears).sum((2, 3)) >= LEAST_PIXELS
    for name, truth in zip(LANDMARKS, truths.unbind(1), strict=True):
        found[f"seen/{name}"] = float(truth.double().mean())
        found[f"said/{name}"] = float(said[name].double().mean())
        if 0 < truth.sum() < len(truth):
            found[f"AUC/{name}"] = float(roc_auc_score(truth.numpy(), likelihood[name].numpy()))
        if name in REMOVED:
            without = ears.others[name]
            found[f"mistaken/{name}"] = float(judge.sees(without)[name].double().mean())
            if truth.any():
                likelier = likelihood[name] > judge.likelihood(without)[name]
                found[f"pairs/{name}"] = float(likelier[truth].double().mean())
    return found


def show_worth(facts: Facts, console: Console) -> None:
    """Print what judges are worth, and say plainly what they cannot read."""
    measured = facts["measured"]
    table = Table(title=f"judges, on {sum(facts['counts']['asked'].values())} ears of other patients")
    for column in ("", "image and WBT", "image", "WBT"):
        table.add_column(column, justify="right" if column else "left")
    names = ("joint", "image", "wbt")
    table.add_row("balanced accuracy", *(f"{measured[f'accuracy/{name}']:.2f}" for name in names))
    causes = [key.split("/")[1] for key in measured if key.startswith("R2/") and key.endswith("/joint")]
    for kind in ("R2", "R2 within classes"):
        for cause in causes:
            table.add_row(f"{kind}, {cause}", *(f"{measured[f'{kind}/{cause}/{name}']:.2f}" for name in names))
    console.print(table)
    heads = ("landmark", "can be seen in", "is seen in", "AUC", "told from the same ear without", "seen there as well")
    table = Table(*heads, title="judge of landmarks")
    for name in LANDMARKS:
        cells = (measured.get(f"{what}/{name}") for what in ("seen", "said", "AUC", "pairs", "mistaken"))
        table.add_row(name, *("" if cell is None else f"{cell:.2f}" for cell in cells))
    console.print(table)
    for name, where in (("image", "the image"), ("wbt", "WBT")):
        unread = [cause for cause in causes if measured[f"R2 within classes/{cause}/{name}"] < UNREAD]
        if unread:
            console.print(f"Not read from {where}, within a class: {', '.join(unread)}. Ask nothing of these there.")
    mistaken = [name for name in REMOVED if measured[f"mistaken/{name}"] > MISTAKEN]
    if mistaken:
        console.print(f"Often seen where they are not: {', '.join(mistaken)}. Trust no single verdict on these.")
    console.print(f"seconds: {', '.join(f'{what} {took:.0f}' for what, took in facts['seconds'].items())}")


def _draw(
    seed: int, counts: Counts, others: Sequence[str], modalities: Sequence[str], workers: int, show: bool
) -> Ears:
    console = Console(stderr=True)
    with_bar = show and console.is_terminal
    total = sum(counts.values())
    bar = iter(track(range(total), f"drawing {total} ears", console=console, transient=True)) if with_bar else None
    ears = draw_ears(seed, counts, others, modalities, workers, (lambda *_: next(bar)) if bar else None)
    for _ in bar or ():
        pass
    return ears


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def load_or_train(folder: Path, workers: int) -> Judges:
    """Load the judges of a folder, or train them where there are none."""
    return Judges.load(folder) if (folder / "judges.json").exists() else train_judges(folder, workers=workers)


def main(arguments: Sequence[str]) -> None:
    """Train the judges, unless they are there, and print what they are worth."""
    parser = step_parser("judges", "runs/judges")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the judges")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw ears (default 2)")
    given = parser.parse_args(arguments)
    judges = load_or_train(given.out, given.workers)
    show_worth(judges.facts, Console(width=120))
    print(f"{given.out}: {judges.sha256[:16]}")
