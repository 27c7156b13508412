"""The door for a modality of your own."""

import csv
import math
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from multimodal_vae.errors import DataError
from multimodal_vae.files import bounded_lines
from multimodal_vae.nn.standardize import Standardize
from multimodal_vae.part import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Modality(Part, ABC):
    """One way of seeing a subject: a factory of networks, a loss, and what files and pictures need.

    A modality holds settings and no weights. An author writes :attr:`shape`, :meth:`encoder`, :meth:`decoder` and
    :meth:`reconstruction_loss`; every other method has a default that serves a plain array in a ``.npy`` file.

    Samples are float32 of :attr:`shape`, in the range and the units that the subclass documents.
    """

    kind = "modality"

    cell: Literal["path", "value"] = "path"
    """What a manifest's cell holds: a path relative to the manifest, or the value itself."""

    suffix: ClassVar[str] = ".npy"
    """Ending of the files that :meth:`write` makes."""

    range: ClassVar[tuple[float, float] | None] = None
    """Lowest and highest value that a sample may hold; None for any finite value."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""

    @property
    def elements(self) -> int:
        """How many measurements a sample holds: what turns the loss's mean over them into a sum."""
        return math.prod(self.shape)

    @abstractmethod
    def encoder(self) -> nn.Module:
        """A new network from samples (N, *shape) to features (N, ...), flattened by the core."""

    @abstractmethod
    def decoder(self, latent_dim: int) -> nn.Module:
        """A new network from latents (N, latent_dim) to whatever :meth:`reconstruction_loss` takes."""

    @abstractmethod
    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the elements of each sample, (N,); never reduced over the batch."""

    def observe(self, decoded: Tensor) -> Tensor:
        """Turn a decoder's output into samples (N, *shape), such as a sigmoid of logits."""
        return decoded

    def augment(self, x: Tensor) -> Tensor:
        """Change a batch at random in a way that keeps it a valid sample; input and target both see it."""
        return x

    def corrupt(self, x: Tensor) -> Tensor:
        """Change the input alone, so that the network has to restore what the target still shows."""
        return x

    def calibrate(self, encoder: nn.Module, decoder: nn.Module, samples: Tensor) -> None:
        """Set buffers of both networks from the training samples (N, *shape), once, before training.

        By default every :class:`~multimodal_vae.nn.Standardize` layer in them measures the samples. Where they would
        take more than 256 MiB, as many of them are given as that holds, evenly spaced.
        """
        for layer in (*encoder.modules(), *decoder.modules()):
            if isinstance(layer, Standardize):
                layer.measure(samples)

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read one sample from a manifest's cell: an array in a ``.npy`` file unless a subclass knows better.

        What happened to the values on the way is counted in :attr:`notes`.

        Raises:
            DataError: with one sentence that need not name the file or row; the caller adds them.
        """
        array = _load(cell)
        if not isinstance(array, np.ndarray):
            raise DataError("is an archive of arrays, where one array is wanted")
        return real_numbers(array)

    def files(self, cell: str | Path) -> list[Path]:
        """The files that :meth:`read` takes a cell from: what was read is read anew once one of them has changed.

        By default the one that the cell names. Override it where :meth:`read` opens others as well, or where a cell is
        more than a path.
        """
        return [Path(cell)] if self.cell == "path" else []

    def write(self, sample: Tensor, path: Path) -> None:
        """Write one sample (*shape) to a file that :meth:`read` reads back."""
        np.save(path, sample.numpy())

    def format(self, sample: Tensor) -> str:
        """Write one sample into a manifest's cell, where :attr:`cell` is ``"value"``."""
        return " ".join(f"{float(value):.9g}" for value in sample.flatten())  # 9 digits are all that float32 has

    def examples(self, count: int) -> Tensor:
        """Make up valid samples (count, *shape), with torch's default generator: what the laws of parts are tried on.

        By default uniform over :attr:`range`, or standard normal where there is none. Override it where not every
        such array is a sample, for example where the values of one must sum to 1.
        """
        if self.range is None:
            return torch.randn(count, *self.shape)
        low, high = self.range
        return low + (high - low) * torch.rand(count, *self.shape)

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw one sample (*shape) on a matplotlib axis."""
        ax.plot(sample.reshape(-1, sample.shape[-1]).T.numpy())

    @cached_property
    def notes(self) -> Counter[str]:
        """What reading did to the samples, counted: for example values clipped to the range."""
        return Counter()

    def check(self, samples: Tensor) -> None:
        """Check shape, finiteness and range of samples (N, *shape).

        Raises:
            DataError: with what was seen and what was expected.
        """
        expected = self.shape
        if samples.shape[1:] != expected:
            seen = tuple(samples.shape[1:])
            same = [size for size in seen if size != 1] == [size for size in expected if size != 1]
            advice = f"; reshape it to {expected}" if same else ""
            raise DataError(f"has the shape {seen}, and {self.name!r} takes {expected}{advice}")
        finite = torch.isfinite(samples)
        if not finite.all():
            where = tuple((~finite).nonzero()[0].tolist()[1:])
            count = int((~finite).sum())
            values = f"{count} values that are not finite, the first" if count > 1 else "a value that is not finite"
            raise DataError(f"holds {values} at {where}")
        if self.range is not None and samples.numel():
            low, high = self.range
            least, most = float(samples.min()), float(samples.max())
            if least < low - 1e-6 or most > high + 1e-6:
                advice = "; divide by 255" if (low, high) == (0, 1) and 1 < most <= 255 and least >= 0 else ""
                raise DataError(
                    f"ranges from {least:g} to {most:g}, and {self.name!r} takes {low:g} to {high:g}{advice}"
                )


def check_samples(name: str, modality: Modality, samples: Tensor) -> None:
    """Check samples (N, *shape) that are known by a modality's name.

    Raises:
        DataError: as :meth:`Modality.check` does, with the name before it.
    """
    try:
        modality.check(samples)
    except DataError as error:
        raise DataError(f"modality {name!r}: a sample {error}") from error


def read_table(path: str | Path) -> NDArray[np.float64]:
    """Read a ``.csv`` of numbers, with or without a header row, into (rows, columns); an empty cell is NaN.

    Raises:
        DataError: naming the line and what stands there.
    """
    rows: list[list[float]] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(bounded_lines(file), strict=True), start=1):
                if not row:
                    continue
                try:
                    rows.append([float(cell) if cell.strip() else np.nan for cell in row])
                except ValueError as error:
                    if rows or number > 1:
                        raise DataError(f"line {number} is not all numbers ({error})") from error
                if rows and len(rows[-1]) != len(rows[0]):
                    raise DataError(f"line {number} has {len(rows[-1])} cells, the lines above {len(rows[0])}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is no table of comma-separated numbers ({error})") from error
    if not rows:
        raise DataError("holds no numbers")
    return np.array(rows)


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read every array of a ``.npz`` file, refusing pickled objects.

    Raises:
        DataError: if it is no such file or holds objects.
    """
    archive = _load(path)
    if isinstance(archive, np.ndarray):
        raise DataError("is a single array, where an .npz with named arrays is wanted")
    return archive


# What numpy lets through of the parsers beneath it: of archives, of compression, and of a header's Python literal.
_DAMAGE = (zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError)


def _load(path: str | Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read an ``.npy`` or all of an ``.npz``."""
    try:
        # Opened here, since numpy leaves open what turns out to be no archive.
        with open(path, "rb") as file:
            content: Any = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            arrays = {name: content[name] for name in content.files}
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (*_DAMAGE, ValueError, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise DataError(f"is no whole .npy or .npz file of plain arrays ({error})") from error
    foreign = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if foreign:
        raise DataError(f"holds {foreign[0]!r}, which is no array")
    return arrays


def real_numbers(array: NDArray[Any]) -> NDArray[np.float32]:
    """Take an array of integers, truth values or real numbers as float32.

    Raises:
        DataError: if it holds anything else, such as complex numbers, of which a half would be lost.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"holds values of the type {array.dtype}, where real numbers are wanted")
    return array.astype(np.float32)
