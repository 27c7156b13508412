"""Real data sets of several modalities for the benchmark in docs/benchmark.md, each split by a seed."""

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image as Pillow
from sklearn.datasets import load_digits
from torch import Tensor

import multimodal_vae as mv
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.evaluation.samples import LabeledSamples

FASHION = ("fashion-mnist", "/usr/share/datasets/fashion-mnist")
"""Folders of Fashion-MNIST: in the folder of the data, or where Debian's package installs it."""

Split = tuple[Sequence[int] | NDArray[np.int64], Sequence[int] | NDArray[np.int64]]


@dataclass(frozen=True)
class Real:
    """A data set, split for training and test.

    Attributes:
        modalities: the package's modalities with their defaults, by name.
        train: training samples.
        test: held-out samples.
    """

    modalities: Mapping[str, mv.Modality]
    train: LabeledSamples
    test: LabeledSamples


def _real(
    modalities: Mapping[str, mv.Modality],
    values: Mapping[str, NDArray[np.float32] | Tensor],
    labels: Sequence[object],
    sizes: tuple[int, int],
    seed: int,
    groups: Sequence[str] | None = None,
) -> Real:
    """Split samples at random into two parts with about equal shares of every class, and of whole groups."""
    labels = torch.from_numpy(np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64))
    owners = [str(row) for row in range(len(labels))] if groups is None else list(groups)
    rest = len(labels) - sum(sizes)
    shares = [size / len(labels) for size in (*sizes, rest)]
    train, test, _ = split_by_patient(owners, labels.tolist(), shares, seed)
    tensors = {name: torch.as_tensor(values[name], dtype=torch.float32) for name in modalities}
    samples = LabeledSamples(tensors, labels, None if groups is None else owners)
    return Real(modalities, samples.take(train), samples.take(test))


def digits(_: Path, seed: int) -> Real:
    """Return scikit-learn's digits, the upper half and the lower half: 2 times 32 numbers, 10 classes."""
    pictures, labels = load_digits(return_X_y=True)
    pictures = (pictures / 16).astype(np.float32)
    modalities = {name: mv.Vector(size=32) for name in ("upper", "lower")}
    values = {"upper": pictures[:, :32], "lower": pictures[:, 32:]}
    return _real(modalities, values, labels, (1200, 597), seed)


def beats(folder: Path, seed: int) -> Real:
    """Return heart beats: a second of one lead and the rhythm around it; premature ventricular beat or another."""
    with np.load(folder / "mitbih_beats.npz", allow_pickle=False) as arrays:
        values, labels = {"ecg": arrays["ecg"], "rhythm": arrays["rhythm"]}, arrays["y"]
    modalities = {"ecg": mv.Signal(length=128), "rhythm": mv.Vector(size=4)}
    return _real(modalities, values, labels, (1200, 800), seed)


def breast(folder: Path, seed: int) -> Real:
    """Return tumors in three views, expression of messenger RNA and of micro-RNA and protein; three subtypes."""
    tables = {name: read_table(folder / "breast_tcga" / f"{name}.csv") for name in ("mrna", "mirna", "protein")}
    rows = [row for row in read_rows(folder / "breast_tcga" / "labels.csv") if row[0] in tables["protein"]]
    values = {name: np.array([table[row[0]] for row in rows], np.float32) for name, table in tables.items()}
    modalities = {name: mv.Vector(size=x.shape[1]) for name, x in values.items()}
    return _real(modalities, values, [row[1] for row in rows], (100, 50), seed)


def gut(folder: Path, seed: int) -> Real:
    """Return stool samples: 100 metabolites and 60 species of bacteria; Crohn's disease, colitis or neither."""
    found = {name: read_table(folder / "hmp2" / f"{name}.tsv", "\t") for name in ("mbx", "mgx")}
    rows = [
        row
        for row in read_rows(folder / "hmp2" / "diagnosis.tsv", "\t")
        if all(row[0] in each for each in found.values())
    ]
    metabolites, species = (np.array([table[row[0]] for row in rows]) for table in found.values())
    complete = np.isfinite(metabolites).all(0)
    values = {
        "metabolites": _most_variable(np.log10(metabolites[:, complete]), 100),
        "species": _most_variable(species, 60),
    }
    modalities = {name: mv.Vector(size=x.shape[1]) for name, x in values.items()}
    return _real(modalities, values, [row[1] for row in rows], (260, 128), seed)


def fashion(folder: Path, seed: int) -> Real:
    """Return clothes: the upper half as a picture of 14 x 28, the lower as 98 means over 2 x 2 pixels; 10 classes."""
    place = next((each for each in (folder / FASHION[0], Path(FASHION[1])) if each.is_dir()), folder / FASHION[0])
    pictures = _idx(place / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28) / np.float32(255)
    labels = _idx(place / "t10k-labels-idx1-ubyte.gz", 8)
    lower = F.avg_pool2d(torch.from_numpy(pictures[:, :, 14:]), 2).flatten(1)
    modalities = {"upper": mv.Image(size=(14, 28), channels=1), "lower": mv.Vector(size=98)}
    return _real(modalities, {"upper": pictures[:, :, :14], "lower": lower}, labels, (1200, 800), seed)


def otoscopy(folder: Path, seed: int) -> Real:
    """Return ear drums: brightness at 64 x 64 and color at 4 x 4, split by scene; three diagnoses."""
    place = folder / "otoscopy"
    _, *rows = csv.reader((place / "manifest.csv").read_text("utf-8").splitlines())
    brightness, color = [], []
    for _, _, _, name in rows:
        with Pillow.open(place / name) as picture:
            channels = np.asarray(picture.convert("YCbCr").resize((64, 64), Pillow.Resampling.BOX), np.float32) / 255
        brightness.append(channels[None, ..., 0])
        color.append(channels[..., 1:].reshape(4, 16, 4, 16, 2).mean((1, 3)).ravel())
    modalities = {"brightness": mv.Image(size=(64, 64), channels=1), "color": mv.Vector(size=32)}
    values = {"brightness": np.array(brightness), "color": np.array(color)}
    labels, scenes = [row[2] for row in rows], [row[1] for row in rows]
    return _real(modalities, values, labels, (185, len(rows) - 185), seed, scenes)


SETS: Mapping[str, Callable[[Path, int], Real]] = {
    "digits": digits,
    "beats": beats,
    "breast": breast,
    "gut": gut,
    "fashion": fashion,
    "otoscopy": otoscopy,
}


def read_rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """Return the rows of a table without its first one."""
    return list(csv.reader(path.read_text("utf-8").splitlines(), delimiter=delimiter))[1:]


def read_table(path: Path, delimiter: str = ",") -> dict[str, list[float]]:
    """Return the numbers of each row by its first cell; an empty cell is NaN."""
    return {name: [float(cell or "nan") for cell in cells] for name, *cells in read_rows(path, delimiter)}


def _most_variable(x: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Return the columns of largest variance over all samples, in their order."""
    return x[:, np.sort(np.argsort(x.var(0))[-count:])].astype(np.float32)


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    """Return the bytes behind the header of a compressed IDX file."""
    return np.frombuffer(gzip.decompress(path.read_bytes())[header:], np.uint8)
