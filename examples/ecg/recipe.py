"""What the example's scripts share: reading beats, training by ``beats.toml``, and measuring what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import multimodal_vae as mv
from measures import (
    balanced_accuracy,
    gaussian_pairs,
    judge,
    qrs_amplitude,
    qrs_width,
    recognized_by_recording,
    rhythm_reader,
    ripple,
    within_class_correlation,
)
from multimodal_vae.modalities.base import load_arrays

HERE = Path(__file__).parent
CLASSES = ["other", "PVC"]
TRAINING, HELD_OUT = "real, training recordings", "real, held-out recordings"


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
        """As samples of the configuration's modalities, each recording a patient."""
        return mv.MultimodalDataset.from_tensors(
            {name: getattr(self, name) for name in configuration.modalities},
            [CLASSES[label] for label in self.y],
            configuration.modalities,
            CLASSES,
            patients=self.group.tolist(),
        )


def read_beats(path: Path) -> tuple[Beats, Beats]:
    """Read a file that ``beats.py`` made: training beats, and those of other recordings.

    Raises:
        DataError: if it is no such file, or a recording is on both sides.
    """
    try:
        arrays = load_arrays(path)
        beats = Beats(*(arrays[name] for name in ("ecg", "rhythm", "y", "group")))
        train, test = beats[arrays["train"]], beats[arrays["test"]]
    except FileNotFoundError:
        raise mv.DataError(f"there is no file {path}; examples/ecg/beats.py makes one") from None
    except KeyError as error:
        raise mv.DataError(f"{path} has no array {error}; examples/ecg/beats.py makes one that has") from error
    both = sorted(set(train.group.tolist()) & set(test.group.tolist()))
    if both:
        raise mv.DataError(f"{path} has the recording {both[0]} in train and in test; split by recording")
    return train, test


def trained(
    beats: Beats, configuration: mv.Configuration, out: Path | None = None, show: bool = False
) -> mv.MultimodalVAE:
    """Train a model by a configuration."""
    vae = configuration.build(CLASSES)
    return mv.fit(vae, beats.dataset(configuration), out=out, configuration=configuration, show=show)


def generated(vae: mv.MultimodalVAE, data: mv.MultimodalDataset, count: int, seed: int) -> dict[str, NDArray[Any]]:
    """New pairs, ``count`` of each class in turn: ``ecg`` (2 * count, 128) and ``rhythm`` (2 * count, 4)."""
    synthesizer = mv.Synthesizer(vae, mv.KDE()).fit(data)
    drawn = [synthesizer.sample(label, count, seed) for label in CLASSES]
    return {name: torch.cat([pairs[name] for pairs in drawn]).flatten(1).numpy() for name in drawn[0]}


def with_noise(
    beats: NDArray[Any], vae: mv.MultimodalVAE, data: mv.MultimodalDataset, seed: int
) -> NDArray[np.float64]:
    """Beats (N, 128) with what a decoder leaves out.

    A decoder gives the mean of what a beat with that latent looks like, and a beat is no mean: mains hum, muscle and
    whatever the latent does not hold are missing. One Gaussian, the same for both classes, is fitted to what
    reconstruction leaves of the training beats, and drawn from.
    """
    left = (data.samples["ecg"] - vae.reconstruct(data)["ecg"])[:, 0].double().numpy()
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(left.shape[1]), np.cov(left.T), len(beats))
    return np.asarray(beats + noise)


def translated(vae: mv.MultimodalVAE, beats: Beats) -> dict[str, NDArray[Any]]:
    """Each modality told from the other: ``ecg`` (N, 128) from the rhythm, ``rhythm`` (N, 4) from the beat."""
    ecg = vae.translate({"rhythm": torch.tensor(beats.rhythm)}, to="ecg")
    rhythm = vae.translate({"ecg": torch.tensor(beats.ecg)}, to="rhythm")
    return {"ecg": ecg[:, 0].numpy(), "rhythm": rhythm.numpy()}


@dataclass(frozen=True)
class Table:
    """Rows of cells, as Markdown."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def measured(train: Beats, test: Beats, vae: mv.MultimodalVAE, data: mv.MultimodalDataset, count: int) -> list[Table]:
    """Everything that the README reports of one model."""
    labels = np.repeat([0, 1], count)
    new = generated(vae, data, count, seed=0)
    sources = {
        TRAINING: ({"ecg": train.ecg[:, 0], "rhythm": train.rhythm}, train.y),
        HELD_OUT: ({"ecg": test.ecg[:, 0], "rhythm": test.rhythm}, test.y),
        "generated": (new, labels),
        "generated, with noise": ({**new, "ecg": with_noise(new["ecg"], vae, data, seed=0)}, labels),
        "Gaussian a class": (gaussian_pairs(train.ecg[:, 0], train.rhythm, train.y, count, seed=0), labels),
    }
    return [
        judged_table(sources, train, test),
        shape_table(sources),
        translation_table(train, test, translated(vae, test)),
        agreement_table(sources, train),
    ]


def judged_table(sources: dict[str, tuple[dict[str, NDArray[Any]], NDArray[Any]]], train: Beats, test: Beats) -> Table:
    """Balanced accuracy of judges from training and held-out recordings, and of one from each source."""
    from_training, from_held_out = judge(train.ecg[:, 0], train.y), judge(test.ecg[:, 0], test.y)
    rows = []
    for name, (pairs, labels) in sources.items():
        taught = judge(pairs["ecg"], labels).predict(test.ecg[:, 0])
        cells = [
            balanced_accuracy(labels, from_training.predict(pairs["ecg"])),
            balanced_accuracy(labels, from_held_out.predict(pairs["ecg"])),
            balanced_accuracy(test.y, taught),
            recognized_by_recording(test.y, taught, test.group),
        ]
        own = {TRAINING: (0,), HELD_OUT: (1, 2, 3)}.get(name, ())  # nobody is asked about what taught him
        rows.append([name, *("" if column in own else f"{cell:.3f}" for column, cell in enumerate(cells))])
    head = [
        *("beats", "judged by training recordings", "judged by held-out recordings"),
        *("as teacher for held-out recordings", "each recording counting alike"),
    ]
    return Table("Balanced accuracy", head, rows)


def shape_table(sources: dict[str, tuple[dict[str, NDArray[Any]], NDArray[Any]]]) -> Table:
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


def translation_table(train: Beats, test: Beats, told: dict[str, NDArray[Any]]) -> Table:
    """How far one modality tells the other, on held-out recordings."""
    referee = judge(train.ecg[:, 0], train.y)
    means = np.stack([train.rhythm[train.y == label].mean(0) for label in (0, 1)])[test.y]
    correlation = within_class_correlation(told["rhythm"], test.rhythm, test.y)
    rows = [
        [
            "beat from rhythm: judged as its true class",
            f"{balanced_accuracy(test.y, referee.predict(told['ecg'])):.3f}",
            "0.500",
        ]
    ]
    for column, interval in enumerate(("previous interval", "next interval")):
        for label, title in enumerate(CLASSES):
            of_class = test.y == label
            error, baseline = (
                1000 * np.abs(guess[of_class, column] - test.rhythm[of_class, column]).mean()
                for guess in (told["rhythm"], means)
            )
            rows.append([f"{interval} from beat, {title}: error, ms", f"{error:.0f}", f"{baseline:.0f}"])
            rows.append([f"{interval} from beat, {title}: correlation", f"{correlation[label, column]:.2f}", "0.00"])
    return Table("One modality from the other, held-out recordings", ["", "told", "class mean"], rows)


def agreement_table(sources: dict[str, tuple[dict[str, NDArray[Any]], NDArray[Any]]], train: Beats) -> Table:
    """How well a beat's own rhythm is what training recordings' beats would lead to expect, within a class."""
    reader = rhythm_reader(train.ecg[:, 0], train.rhythm)
    rows = []
    for name, (pairs, labels) in sources.items():
        if name != TRAINING:  # which the reader knows by heart
            found = within_class_correlation(reader.predict(pairs["ecg"])[:, :2], pairs["rhythm"][:, :2], labels)
            rows.append([name, *(f"{cell:.2f}" for cell in found.flatten())])
    head = [f"{title}, {interval} interval" for title in CLASSES for interval in ("previous", "next")]
    return Table("Beat and rhythm within a class, correlation", ["pairs", *head], rows)
