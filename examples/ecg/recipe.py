"""Functions that the example's scripts share: reading beats, training by a recipe, generating and measuring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import multimodal_vae as mv
from metrics import (
    accuracy_by_recording,
    balanced_accuracy,
    gaussian_pairs,
    qrs_amplitude,
    qrs_width,
    ripple,
    train_judge,
    train_rhythm_reader,
    within_class_correlation,
)
from multimodal_vae.modalities.base import load_arrays

HERE = Path(__file__).parent
CLASSES = ["other", "PVC"]
TRAINING, HELD_OUT = "real, training recordings", "real, held-out recordings"

Sources = dict[str, tuple[dict[str, NDArray[Any]], NDArray[Any]]]
"""Pairs ``ecg`` (N, 128) and ``rhythm`` (N, 4), and labels (N,), by name of their source."""


@dataclass(frozen=True)
class Beats:
    """Beats and their rhythm.

    Attributes:
        ecg: (N, 1, 128) in mV.
        rhythm: (N, 4): s since the last beat and to the next, and each over the median of ten before.
        y: (N,), an index into :data:`CLASSES`.
        group: (N,), the recording.
    """

    ecg: NDArray[np.float32]
    rhythm: NDArray[np.float32]
    y: NDArray[np.int64]
    group: NDArray[np.int64]

    def __getitem__(self, rows: Any) -> "Beats":
        return Beats(self.ecg[rows], self.rhythm[rows], self.y[rows], self.group[rows])

    def dataset(self, configuration: mv.Configuration) -> mv.MultimodalDataset:
        """Return the beats as samples of the configuration's modalities; each recording is a patient."""
        return mv.MultimodalDataset.from_tensors(
            {name: getattr(self, name) for name in configuration.modalities},
            [CLASSES[label] for label in self.y],
            configuration.modalities,
            CLASSES,
            patients=self.group.tolist(),
        )


def read_beats(path: Path) -> tuple[Beats, Beats]:
    """Read training and test beats from a file written by ``beats.py``.

    Raises:
        DataError: if the file is missing or another one, or if a recording is in both splits.
    """
    try:
        arrays = load_arrays(path)
        beats = Beats(*(arrays[name] for name in ("ecg", "rhythm", "y", "group")))
        train, test = beats[arrays["train"]], beats[arrays["test"]]
    except FileNotFoundError:
        raise mv.DataError(f"there is no file {path}; write it with examples/ecg/beats.py") from None
    except KeyError as error:
        raise mv.DataError(f"{path} has no array {error}; write it with examples/ecg/beats.py") from error
    both = sorted(set(train.group.tolist()) & set(test.group.tolist()))
    if both:
        raise mv.DataError(f"{path} has recording {both[0]} in train and in test; split by recording")
    return train, test


def train(
    beats: Beats, configuration: mv.Configuration, out: Path | None = None, show: bool = False
) -> mv.MultimodalVAE:
    """Train a model by a configuration."""
    vae = configuration.build(CLASSES)
    return mv.fit(vae, beats.dataset(configuration), out=out, configuration=configuration, show=show)


def generate(
    vae: mv.MultimodalVAE,
    data: mv.MultimodalDataset,
    count: int,
    seed: int,
    refiners: Mapping[str, mv.Refiner] | None = None,
) -> dict[str, NDArray[Any]]:
    """Generate pairs, ``count`` per class, refined if there are refiners.

    Returns:
        ``ecg`` (2 * count, 128) and ``rhythm`` (2 * count, 4), classes in order. A row has the same latent and rhythm
        with and without refiners.
    """
    synthesizer = mv.Synthesizer(vae, mv.KDE(), refiners=refiners).fit(data)
    by_class = [synthesizer.sample(label, count, seed) for label in CLASSES]
    return {name: torch.cat([pairs[name] for pairs in by_class]).flatten(1).numpy() for name in by_class[0]}


def with_noise(
    beats: NDArray[Any], vae: mv.MultimodalVAE, data: mv.MultimodalDataset, seed: int
) -> NDArray[np.float64]:
    """Add noise to beats (N, 128).

    A decoder returns the mean beat of a latent, without mains hum, muscle noise and everything else that the latent
    does not determine. The noise is drawn from one Gaussian, the same for both classes, that is fitted to the residuals
    of reconstructed training beats.
    """
    residuals = (data.samples["ecg"] - vae.reconstruct(data)["ecg"])[:, 0].double().numpy()
    mean, covariance = np.zeros(residuals.shape[1]), np.cov(residuals.T)
    noise = np.random.default_rng(seed).multivariate_normal(mean, covariance, len(beats))
    return np.asarray(beats + noise)


def translate(vae: mv.MultimodalVAE, beats: Beats) -> dict[str, NDArray[Any]]:
    """Translate between the modalities: return ``ecg`` (N, 128) from the rhythm and ``rhythm`` (N, 4) from the ECG."""
    ecg = vae.translate({"rhythm": torch.tensor(beats.rhythm)}, to="ecg")
    rhythm = vae.translate({"ecg": torch.tensor(beats.ecg)}, to="rhythm")
    return {"ecg": ecg[:, 0].numpy(), "rhythm": rhythm.numpy()}


@dataclass(frozen=True)
class Table:
    """A Markdown table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def metric_tables(
    training: Beats,
    test: Beats,
    vae: mv.MultimodalVAE,
    data: mv.MultimodalDataset,
    count: int,
    refiners: Mapping[str, mv.Refiner],
) -> list[Table]:
    """Return the tables that the README shows of one model."""
    labels = np.repeat([0, 1], count)
    new = generate(vae, data, count, seed=0)
    sources = {
        TRAINING: ({"ecg": training.ecg[:, 0], "rhythm": training.rhythm}, training.y),
        HELD_OUT: ({"ecg": test.ecg[:, 0], "rhythm": test.rhythm}, test.y),
        "generated": (new, labels),
        "generated, refined": (generate(vae, data, count, 0, refiners), labels),
        "generated, with noise": ({**new, "ecg": with_noise(new["ecg"], vae, data, seed=0)}, labels),
        "Gaussian per class": (gaussian_pairs(training.ecg[:, 0], training.rhythm, training.y, count, seed=0), labels),
    }
    return [
        accuracy_table(sources, training, test),
        shape_table(sources),
        translation_table(training, test, translate(vae, test)),
        agreement_table(sources, training),
    ]


def accuracy_table(sources: Sources, training: Beats, test: Beats) -> Table:
    """Return balanced accuracies of judges trained on training and held-out recordings, and on each source."""
    training_judge, held_out_judge = train_judge(training.ecg[:, 0], training.y), train_judge(test.ecg[:, 0], test.y)
    rows = []
    for name, (pairs, labels) in sources.items():
        predicted = train_judge(pairs["ecg"], labels).predict(test.ecg[:, 0])
        cells = [
            balanced_accuracy(labels, training_judge.predict(pairs["ecg"])),
            balanced_accuracy(labels, held_out_judge.predict(pairs["ecg"])),
            balanced_accuracy(test.y, predicted),
            accuracy_by_recording(test.y, predicted, test.group),
        ]
        on_training_data = {TRAINING: (0,), HELD_OUT: (1, 2, 3)}.get(name, ())
        rows.append([name, *("" if column in on_training_data else f"{cell:.3f}" for column, cell in enumerate(cells))])
    head = [
        *("beats", "judged by training recordings", "judged by held-out recordings"),
        *("as training data, tested on held-out recordings", "with equal weights of recordings"),
    ]
    return Table("Balanced accuracy", head, rows)


def shape_table(sources: Sources) -> Table:
    """QRS width and amplitude and ripple by class: mean and standard deviation."""
    rows = []
    for label, title in enumerate(CLASSES):
        for name, (pairs, labels) in sources.items():
            beats = pairs["ecg"][labels == label]
            widths, heights = qrs_width(beats), qrs_amplitude(beats)
            rows.append(
                [
                    title,
                    name,
                    f"{widths.mean():.0f} ± {widths.std():.0f}",
                    f"{heights.mean():.2f} ± {heights.std():.2f}",
                    f"{1000 * ripple(beats).mean():.0f}",
                ]
            )
    return Table("Shape", ["class", "beats", "QRS width, ms", "QRS amplitude, mV", "ripple, µV"], rows)


def translation_table(training: Beats, test: Beats, translations: dict[str, NDArray[Any]]) -> Table:
    """Return accuracy, errors and correlations of translations on held-out recordings."""
    judge = train_judge(training.ecg[:, 0], training.y)
    means = np.stack([training.rhythm[training.y == label].mean(0) for label in (0, 1)])[test.y]
    correlation = within_class_correlation(translations["rhythm"], test.rhythm, test.y)
    accuracy = balanced_accuracy(test.y, judge.predict(translations["ecg"]))
    rows = [["beat from rhythm: judged as its true class", f"{accuracy:.3f}", "0.500"]]
    for column, interval in enumerate(("previous interval", "next interval")):
        for label, title in enumerate(CLASSES):
            of_class = test.y == label
            error, baseline = (
                1000 * np.abs(guess[of_class, column] - test.rhythm[of_class, column]).mean()
                for guess in (translations["rhythm"], means)
            )
            rows.append([f"{interval} from beat, {title}: error, ms", f"{error:.0f}", f"{baseline:.0f}"])
            rows.append([f"{interval} from beat, {title}: correlation", f"{correlation[label, column]:.2f}", "0.00"])
    return Table("One modality from the other, held-out recordings", ["", "translated", "class mean"], rows)


def agreement_table(sources: Sources, training: Beats) -> Table:
    """Return the within-class correlation of a beat's rhythm with the rhythm that a forest predicts from the beat."""
    reader = train_rhythm_reader(training.ecg[:, 0], training.rhythm)
    rows = []
    for name, (pairs, labels) in sources.items():
        if name != TRAINING:  # the reader's own training data
            predicted = reader.predict(pairs["ecg"])[:, :2]
            correlation = within_class_correlation(predicted, pairs["rhythm"][:, :2], labels)
            rows.append([name, *(f"{cell:.2f}" for cell in correlation.flatten())])
    head = [f"{title}, {interval} interval" for title in CLASSES for interval in ("previous", "next")]
    return Table("Beat and rhythm within a class, correlation", ["pairs", *head], rows)
