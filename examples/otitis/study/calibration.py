"""Compare simulated cohorts with published measurements of real ears: print targets and values of several seeds.

The published values are mean absorbance of young children's ears marked pass or fail (repository ear-absorbance, 239
ears; the canal pressure is not stated and assumed to be ambient); the accuracy of NOE against otitis media from
tympanograms, 92.6 %, with AOM hardly distinguishable from OME (Sundgaard et al. 2022, IEEE J Biomed Health Inform);
the accuracy of all three classes from both modalities, 86.5 %, better than from either (Sundgaard et al. 2024,
Laryngoscope Investig Otolaryngol); admittance and width of children's tympanograms (De Chicchis et al. 2000); the flat
tympanogram of most effusions. Targets for images and for the similarity of a patient's ears are choices. Absorbance,
admittance of healthy ears and causes are those of ears that truly have the condition; everything else uses the label
that the specialist wrote.

All data are read from files by the package's readers. Classifiers learn from one seed's cohort and are evaluated on
the next seed's, so that no patient is in both. Five seeds take about twenty minutes of one core.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.interpolate import RegularGridInterpolator
from sklearn.metrics import balanced_accuracy_score

from classifiers import ImageClassifier, ImageReader, joined, sound_classifier, sound_odds, sound_reader
from multimodal_vae_otoscopy import Otoscopy
from multimodal_vae_wbt import WBT
from simulator import identity
from simulator.causes import CONDITIONS, Visit
from simulator.cohort import draw_cohort, sample_rng, write_cohort
from simulator.middle_ear import Network
from simulator.tympanometer import FREQUENCIES, Measurement, measure, probes
from steps import step_parser

Real = NDArray[np.float64]
Row = tuple[str, float, float, float]
"""Name, lowest and highest target, value."""

CHECKED_HZ = np.array([226, 500, 1000, 1500, 2000, 3000, 4000])
PASS = np.array([0.06, 0.21, 0.52, 0.67, 0.65, 0.80, 0.79])
FAIL = np.array([0.04, 0.13, 0.28, 0.37, 0.41, 0.63, 0.59])
"""Published mean absorbance at :data:`CHECKED_HZ` of ears marked pass, and fail."""
ANY = np.inf
"""Target without a limit; its negative as the lower one."""


@dataclass
class Cohort:
    """One seed's cohort, in memory.

    Attributes:
        visits: the simulated visits.
        measured: their tympanometric measurements.
        grids: absorbance (N, 4096), rows of pressure.
        pictures: (N, 3, 64, 64).
    """

    visits: list[Visit]
    measured: list[Measurement]
    grids: Real
    pictures: NDArray[np.uint8]

    @property
    def labels(self) -> NDArray[np.str_]:
        """Labels as written by the specialist, (N,)."""
        return np.array([visit.label for visit in self.visits])

    @property
    def conditions(self) -> NDArray[np.str_]:
        """True conditions, (N,)."""
        return np.array([visit.condition for visit in self.visits])

    def cause(self, name: str) -> Real:
        """Return one cause of the middle ears' states, (N,)."""
        return np.array([getattr(visit.state, name) for visit in self.visits])


def read_cohort(seed: int, folder: Path) -> Cohort:
    """Write the cohort, unless it exists, and read it with the package's readers."""
    out = folder / f"seed{seed}"
    write_cohort(out, seed, workers=1)
    visits = draw_cohort(seed)
    measured = [
        measure(visit.ear, visit.state, probes()[visit.probe], sample_rng(seed, index).spawn(2)[1])
        for index, visit in enumerate(visits)
    ]
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as file:
        cells = [(row["otoscopy"], row["wbt"]) for row in csv.DictReader(file)]
    otoscopy, wbt = Otoscopy(), WBT()
    pictures = [np.rint(255 * otoscopy.read(out / picture)).astype(np.uint8) for picture, _ in cells]
    grids = [wbt.read(out / sweep).ravel() for _, sweep in cells]
    return Cohort(visits, measured, np.stack(grids).astype(np.float64), np.stack(pictures))


def near(name: str, center: float, within: float, value: float) -> Row:
    """Return a row whose target is ``center`` ± ``within``."""
    return name, center - within, center + within, float(value)


def ambient(measured: Measurement) -> Real:
    """Return absorbance at 0 daPa and :data:`CHECKED_HZ`, interpolated linearly in pressure and log-frequency."""
    order = np.argsort(measured.pressure)
    interpolate = RegularGridInterpolator((measured.pressure[order], np.log(FREQUENCIES)), measured.absorbance[order])
    return np.asarray(interpolate(np.column_stack([np.zeros(len(CHECKED_HZ)), np.log(CHECKED_HZ)])))


def tympanogram(measured: Measurement) -> tuple[float, float]:
    """Return peak compensated static admittance (mmho) and width (daPa) of the 226 Hz tympanogram."""
    order = np.argsort(measured.pressure)
    fine = np.arange(measured.pressure.min(), measured.pressure.max(), 1.0)
    curve = np.interp(fine, measured.pressure[order], measured.admittance[order, 0])
    curve = np.convolve(np.pad(curve, 12, mode="edge"), np.full(25, 1 / 25), mode="valid")
    peak = int(np.argmax(curve))
    height = float(curve[peak] - curve[np.argmin(np.abs(fine - 200))])
    below = curve < curve[peak] - height / 2
    left = int(np.flatnonzero(below[:peak])[-1]) if below[:peak].any() else 0
    right = peak + int(np.argmax(below[peak:])) if below[peak:].any() else len(fine) - 1
    return height, float(right - left)


def sound_rows(cohort: Cohort) -> Iterator[Row]:
    """Yield rows of absorbance and tympanograms."""
    levels = np.stack([ambient(one) for one in cohort.measured])
    height, width = np.array([tympanogram(one) for one in cohort.measured]).T
    yield near("adult network, |Y| at 226 Hz, mmho", 0.77, 0.005, float(abs(1e3 / Network().impedance(226.0))))
    for condition, published, within in (("NOE", PASS, 0.07), ("OME", FAIL, 0.10)):
        means = levels[cohort.conditions == condition].mean(0)
        for hertz, center, value in zip(CHECKED_HZ, published, means, strict=True):
            yield near(f"{condition} mean absorbance, {hertz} Hz, 0 daPa", center, within, value)
    noe = cohort.conditions == "NOE"
    for share, center in ((5, 0.29), (50, 0.42), (95, 0.59)):
        yield near(f"NOE peak admittance, {share} %, mmho", center, 0.07, np.percentile(height[noe], share))
    for share, low, high in ((5, 70, 95), (50, 90, 120), (95, 120, 160)):
        yield f"NOE tympanogram width, {share} %, daPa", low, high, float(np.percentile(width[noe], share))
    for condition in ("OME", "AOM"):
        of = cohort.labels == condition
        yield near(f"{condition} flat (under 0.2 mmho), share", 0.80, 0.07, np.mean(height[of] < 0.2))


def diagnosis_rows(train: Cohort, test: Cohort, seed: int) -> Iterator[Row]:
    """Yield rows of how well classifiers trained on one cohort diagnose another."""
    labels, truth = train.labels, test.labels
    yield "labels that are true, share", -ANY, ANY, float(np.mean(truth == test.conditions))

    def predict(learn: NDArray[np.bool_], judge: NDArray[np.bool_], names: NDArray[np.str_]) -> NDArray[np.str_]:
        return np.asarray(sound_classifier().fit(train.grids[learn], names[learn]).predict(test.grids[judge]))

    all_train, all_test = np.full(len(labels), True), np.full(len(truth), True)
    effusion = predict(all_train, all_test, np.where(labels == "NOE", "NOE", "OM"))
    yield near("WBT: NOE or OM, accuracy", 0.92, 0.02, np.mean((effusion == "NOE") == (truth == "NOE")))
    train_media, test_media = labels != "NOE", truth != "NOE"
    kind = predict(train_media, test_media, labels)
    value = float(balanced_accuracy_score(truth[test_media], kind))
    yield "WBT: OME or AOM, balanced accuracy", 0.0, 0.65, value

    # Probabilities of both modalities have classes in alphabetical order, so that they can be joined.
    classes = np.unique(labels)
    of_sound = sound_odds().fit(train.grids, labels).predict_proba(test.grids)
    network = ImageClassifier(train.pictures, labels, seed)
    of_image = network.probabilities(test.pictures)
    of_both = joined(of_image, of_sound, np.mean(labels[:, None] == classes, 0))
    by_sound, by_image, by_both = (
        float(np.mean(classes[odds.argmax(1)] == truth)) for odds in (of_sound, of_image, of_both)
    )
    yield "WBT: three classes, accuracy", -ANY, ANY, by_sound
    yield "image: three classes, accuracy", 0.78, 0.86, by_image
    yield "both: three classes, accuracy", 0.84, 0.89, by_both
    yield "both over the better of either", 0.0, ANY, by_both - max(by_sound, by_image)


def coherence_rows(train: Cohort, test: Cohort, seed: int) -> Iterator[Row]:
    """Yield rows of how far causes read from WBT and from the image of an ear agree within a condition."""
    rng = np.random.default_rng(seed)
    for cause, conditions in (("fill", ("OME", "AOM")), ("pressure", ("NOE",))):
        rows = np.isin(train.conditions, conditions)
        values = train.cause(cause)[rows]
        of_sound = sound_reader().fit(train.grids[rows], values).predict(test.grids)
        of_image = ImageReader(train.pictures[rows], values, seed).read(test.pictures)
        for condition in conditions:
            by_sound, by_image = np.stack([of_sound, of_image])[:, test.conditions == condition]
            name = f"{condition}: {cause} read from WBT and from image, correlation"
            yield name, 0.15, 1.0, correlation(by_sound, by_image)
            shuffled = np.mean([correlation(by_sound, rng.permutation(by_image)) for _ in range(100)])
            yield f"{condition}: the same, pairs shuffled", -0.03, 0.03, float(shuffled)


def correlation(a: Real, b: Real) -> float:
    """Return Pearson's correlation."""
    return float(np.corrcoef(a, b)[0, 1])


def similarity_rows(cohort: Cohort) -> Iterator[Row]:
    """Yield rows of how similar a patient's ears and visits are, and of the association of camera and label."""
    labels, cameras = cohort.labels, np.array([visit.camera for visit in cohort.visits])
    center = cohort.pictures[:, :2, 20:44, 20:44].mean((2, 3))
    # A camera tints all its pictures and a patient keeps the same camera, which is no similarity of ears.
    hue = without_means(np.log(center[:, 0] / center[:, 1]), labels, cameras)
    level = without_means(cohort.grids.mean(1), labels)
    rng = np.random.default_rng(0)
    for name, values in (("absorbance", level), ("hue", hue)):
        for title, by_ear in (("left and right", False), ("visits of an ear", True)):
            pairs = related_pairs(cohort.visits, by_ear)
            yield f"{title}, {name}, correlation", 0.15, 0.95, intraclass(values[pairs])
        strangers = np.mean([intraclass(values[swapped(pairs, labels, rng)]) for _ in range(20)])
        yield f"strangers of one label, {name}, correlation", -0.03, 0.03, float(strangers)
    yield "camera and label, Cramer's V", 0.0, 0.12, association(labels, cameras)


def without_means(values: Real, *groupings: NDArray[np.generic]) -> Real:
    """Return values less the mean of their group."""
    _, group = np.unique(np.column_stack([np.unique(one, return_inverse=True)[1] for one in groupings]), axis=0,
                         return_inverse=True)  # fmt: skip
    return np.asarray(values - (np.bincount(group, values) / np.bincount(group))[group])


def related_pairs(visits: list[Visit], by_ear: bool) -> NDArray[np.int_]:
    """Return pairs of one patient and one label: left and right at a visit, or an ear at successive visits."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, visit in enumerate(visits):
        groups[visit.patient_id, visit.ear.side if by_ear else visit.number].append(index)
    pairs = [(a, b) for group in groups.values() for a, b in pairwise(group)]
    return np.array([(a, b) for a, b in pairs if visits[a].label == visits[b].label])


def swapped(pairs: NDArray[np.int_], labels: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Return the pairs with their second halves exchanged within each label."""
    mixed = pairs.copy()
    for label in CONDITIONS:
        rows = np.flatnonzero(labels[pairs[:, 0]] == label)
        mixed[rows, 1] = pairs[rng.permutation(rows), 1]
    return mixed


def intraclass(pairs: Real) -> float:
    """Return the intraclass correlation of pairs (P, 2) around a common mean (Fisher)."""
    a, b = (pairs - pairs.mean()).T
    return float(2 * (a * b).sum() / ((a**2).sum() + (b**2).sum()))


def association(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Return Cramer's V of two groupings: 0 if they are independent, 1 if one determines the other."""
    counts = np.array([[np.sum((a == x) & (b == y)) for y in np.unique(b)] for x in np.unique(a)])
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    return float(np.sqrt(((counts - expected) ** 2 / expected).sum() / counts.sum() / (min(counts.shape) - 1)))


def target(low: float, high: float) -> str:
    """Return the target in words."""
    if high == ANY:
        return "none" if low == -ANY else f"over {low:.4g}"
    return f"{low:.4g} to {high:.4g}"


def verdict(low: float, high: float, values: Real) -> str:
    """Return whether every seed meets the target, or the mean of seeds, or neither."""
    if low == -ANY:
        return ""
    if ((low <= values) & (values <= high)).all():
        return "yes"
    return "on average" if low <= values.mean() <= high else "no"


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = step_parser("calibration", "--seeds 5")
    parser.add_argument("--seeds", type=int, default=5, help="cohorts, of seeds 0, 1, ... (default 5, at least 2)")
    parser.add_argument("--folder", type=Path, help="cache of cohorts (default: none)")
    given = parser.parse_args(arguments)
    if given.seeds < 2:
        parser.error("give at least 2 seeds: classifiers learn from one cohort and are evaluated on the next")
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        cohorts = [read_cohort(seed, folder) for seed in track(range(given.seeds), "simulating", transient=True)]
    by_seed: list[list[Row]] = []
    for seed in track(range(given.seeds), "evaluating", transient=True):
        train, test = cohorts[seed - 1], cohorts[seed]
        by_seed.append(
            [
                *sound_rows(test),
                *diagnosis_rows(train, test, seed),
                *coherence_rows(train, test, seed),
                *similarity_rows(test),
            ]
        )
    table = Table("quantity", "target", "mean", "lowest and highest seed", "met")
    verdicts = []
    for rows in zip(*by_seed, strict=True):
        name, low, high, _ = rows[0]
        values = np.array([value for *_, value in rows])
        verdicts.append(verdict(low, high, values))
        spread = f"{values.min():.3f} to {values.max():.3f}"
        table.add_row(name, target(low, high), f"{values.mean():.3f}", spread, verdicts[-1])
    console.print(table)
    counts = ", ".join(f"{count} {word}" for word, count in Counter(verdicts).items() if word)
    facts = identity()
    console.print(f"seeds 0 to {given.seeds - 1}, targets met: {counts}")
    console.print(f"simulator version {facts['simulator_version']}, sources {facts['simulator_sha256'][:16]}")
