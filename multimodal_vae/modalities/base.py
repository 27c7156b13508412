"""The base class of modalities, and readers that its subclasses share."""

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Distribution

from multimodal_vae import tables
from multimodal_vae.bounds import require_memory
from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import ConfigurationError, DataError, one_line
from multimodal_vae.files import open_sample
from multimodal_vae.nn.standardize import Calibrated
from multimodal_vae.part import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Noise: TypeAlias = Literal["draw", "mean"]
"""What generated samples are: draws with their observation noise, or expected samples."""


class Modality(Part, ABC):
    """One kind of data: creates the networks, computes the reconstruction loss, and reads, writes and plots samples.

    A modality holds settings but no weights. A subclass implements :attr:`shape`, :meth:`encoder`, :meth:`decoder` and
    either :meth:`likelihood` or, for a loss that is no likelihood, :meth:`reconstruction_loss` and :meth:`observe`. The
    defaults of all other methods suit an array in a ``.npy`` file.

    Samples are float32 of :attr:`shape`, in the range and units that the subclass documents.
    """

    kind = "modality"

    cell: Literal["path", "value"] = "path"
    """Content of a manifest's cell: a path relative to the manifest, or the value itself."""

    suffix: ClassVar[str] = ".npy"
    """Suffix of the files that :meth:`write` creates."""

    range: ClassVar[tuple[float, float] | None] = None
    """Lowest and highest value of a valid sample; None for any finite value."""

    gaps: ClassVar[bool] = False
    """Whether NaN in a sample is a missing element, which the encoder copes with; otherwise it is refused."""

    columns: Sequence[str] = ()
    """The manifest's columns that hold a sample; their cells, as one CSV row, are what :meth:`read` gets. None, the
    default, for one column that is called like the modality."""

    noise: ClassVar[Noise] = "draw"
    """Default of generation: ``"draw"`` with the noise that real samples have, or ``"mean"``, the expected samples."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check that a subclass with networks has a loss.

        Raises:
            TypeError: naming the class and what it must define.
        """
        super().__init_subclass__(**kwargs)
        abstract = any(getattr(getattr(cls, name), "__isabstractmethod__", False) for name in ("encoder", "decoder"))
        if (
            not abstract
            and cls.likelihood is Modality.likelihood
            and cls.reconstruction_loss is Modality.reconstruction_loss
        ):
            raise TypeError(
                f"{cls.__name__} must define likelihood(decoded) or, for a loss that is no likelihood, "
                "reconstruction_loss(decoded, target)"
            )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch dimension."""

    @property
    def elements(self) -> int:
        """Number of measurements in a sample; turns the mean reconstruction loss into a sum."""
        return math.prod(self.shape)

    @abstractmethod
    def encoder(self) -> nn.Module:
        """Return a new network from samples (N, *shape) to features (N, ...); the model flattens them."""

    @abstractmethod
    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a new network from latents (N, latent_dim) to the input of :meth:`likelihood` or the loss."""

    def likelihood(self, decoded: Tensor) -> Distribution | None:
        """Return the distribution of samples (N, *shape) that the decoder's output describes.

        None, the default, if the reconstruction loss is no likelihood. Build distributions with
        ``validate_args=False``, so that a training that diverges is reported by the name of its loss.
        """
        return None

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over the elements of each sample, (N,); do not reduce over the batch.

        By default the negative log-likelihood in nats over :attr:`elements`; elements that are missing, NaN in the
        target, count nothing.
        """
        return -self.log_likelihood(decoded, target) / self.elements

    def least_loss(self, target: Tensor) -> Tensor:
        """Return the smallest value that the reconstruction loss can take for each sample, (N,); by default zero.

        Override it for a loss such as the cross entropy of gray values, whose minimum is their entropy. A calibrated
        objective compares losses above this minimum; it does not need one for a likelihood.
        """
        return target.new_zeros(len(target))

    def log_likelihood(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the log-likelihood of the elements of each sample that are not missing, (N,), in nats."""
        likelihood = self.likelihood(decoded)
        if likelihood is None:
            raise ConfigurationError(
                f"{self.name!r}: likelihood gives None, so the modality must define reconstruction_loss"
            )
        missing = target.isnan()
        # Valid values in their place, since NaN spreads into gradients; to look whether any is missing, one would wait
        # for a GPU.
        if target.device.type != "cpu" or missing.any():
            with torch.no_grad():
                target = torch.where(missing, self.observe(decoded), target)
        log_prob = likelihood.log_prob(target)
        missing = missing.unsqueeze(-1).flatten(log_prob.dim()).any(-1)  # events of several elements count as a whole
        return log_prob.masked_fill(missing, 0).reshape(len(target), -1).sum(1)

    def observe(self, decoded: Tensor) -> Tensor:
        """Return the expected samples (N, *shape): by default the mean of the likelihood, or what the decoder gives."""
        likelihood = self.likelihood(decoded)
        return decoded if likelihood is None else likelihood.mean

    def draw(self, decoded: Tensor) -> Tensor:
        """Draw samples (N, *shape) with their observation noise, from torch's default generator.

        A draw beyond the :attr:`range` of valid samples becomes its nearest value. Without a likelihood the noise is
        unknown, and the result is that of :meth:`observe`.
        """
        likelihood = self.likelihood(decoded)
        return self.observe(decoded) if likelihood is None else within_range(self, likelihood.sample())

    def augment(self, x: Tensor) -> Tensor:
        """Augment a batch at random; the result, valid samples, is both input and target."""
        return x

    def corrupt(self, x: Tensor) -> Tensor:
        """Corrupt a batch at random; the result is the input, while the target stays as it is."""
        return x

    def calibrate(self, encoder: nn.Module, decoder: nn.Module, samples: Tensor) -> None:
        """Set buffers of both networks from training samples (N, *shape), once, before training.

        By default each :class:`~multimodal_vae.nn.Calibrated` layer in them, such as
        :class:`~multimodal_vae.nn.Standardize`, measures the samples. At most 256 MiB of them are passed, evenly spaced
        over the training set.
        """
        for layer in (*encoder.modules(), *decoder.modules()):
            if isinstance(layer, Calibrated):
                layer.measure(samples)

    def settle(self, columns: Mapping[str, Sequence[str]]) -> Self:
        """Return the modality as the columns of a manifest determine it, before any sample is read; by default itself.

        Override it if settings may be left to be found in the data. The result is what the run's configuration holds,
        and settling it again changes nothing.

        Args:
            columns: cells by column, without ``sample_id`` and the like and without columns of other modalities.

        Raises:
            DataError: one sentence; the caller adds manifest and modality.
        """
        return self

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read one sample from a manifest's cell; by default from a ``.npy`` file.

        Count changes to the values in :attr:`notes`.

        Raises:
            DataError: one sentence without subject, such as "has no header"; the caller adds file and row.
        """
        array = _load(cell)
        if not isinstance(array, np.ndarray):
            raise DataError("is an archive of arrays; one array is expected")
        return real_numbers(array)

    def check_notes(self, notes: Mapping[str, int]) -> None:
        """Check the counted :attr:`notes` of all samples of a manifest, for facts on which its files must agree.

        Raises:
            DataError: one sentence; the caller adds manifest and modality.
        """

    def files(self, cell: str | Path) -> list[Path]:
        """Return the files that :meth:`read` opens for a cell; a change of one invalidates the cached sample.

        By default the file that the cell names. Override it if :meth:`read` opens other files as well, or if a cell is
        more than a path.
        """
        return [Path(cell)] if self.cell == "path" else []

    def write(self, sample: Tensor, path: Path) -> None:
        """Write one sample (*shape) to a file that :meth:`read` can read."""
        np.save(path, sample.numpy())

    def format(self, sample: Tensor) -> str:
        """Return one sample as the text of a manifest's cell, for :attr:`cell` ``"value"``."""
        return " ".join(f"{float(value):.9g}" for value in sample.flatten())  # 9 digits identify a float32

    def features(self, samples: Tensor, reference: Tensor | None = None) -> Tensor:
        """Return finite numbers in which samples (N, *shape) are compared, (N, F); by default their elements.

        Override it if elements have different scales, stand for words, or may be missing.

        Args:
            samples: the samples.
            reference: samples that give means and scales. Default: ``samples``.
        """
        return samples.flatten(1)

    def examples(self, count: int) -> Tensor:
        """Return random valid samples (count, *shape) from torch's default generator, for the conformance tests.

        By default uniform over :attr:`range`, or standard normal if it is None. Override it if not every such array
        is valid, for example if the values of a sample must sum to 1.
        """
        if self.range is None:
            return torch.randn(count, *self.shape)
        low, high = self.range
        return low + (high - low) * torch.rand(count, *self.shape)

    def against(self, cohort: Tensor) -> Self:
        """Return the modality that plots samples beside a cohort (N, *shape), such as a class; by default itself."""
        return self

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot one sample (*shape) on a matplotlib axis."""
        ax.plot(sample.reshape(-1, sample.shape[-1]).T.numpy())

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure | None":
        """Return a figure that compares sets of samples, such as real and generated ones of a class.

        None, the default, if pictures of their means and standard deviations by :meth:`plot` say more, as for images.

        Args:
            sets: samples (N, *shape) by name of the set, at least one of each; the first set is the reference.
        """
        return None

    @cached_property
    def notes(self) -> Counter[str]:
        """Counts of the changes that reading made to values, for example clipped values."""
        return Counter()

    def check(self, samples: Tensor) -> None:
        """Check shape, finiteness and range of samples (N, *shape); NaN is valid if the modality has :attr:`gaps`.

        Raises:
            DataError: with the actual and the expected value.
        """
        expected = self.shape
        if samples.shape[1:] != expected:
            actual = tuple(samples.shape[1:])
            same = [size for size in actual if size != 1] == [size for size in expected if size != 1]
            advice = f"; reshape it to {expected}" if same else ""
            raise DataError(f"has shape {actual}, but {self.name!r} expects {expected}{advice}")
        finite = torch.isfinite(samples)
        if self.gaps:
            finite |= samples.isnan()
        if not finite.all():
            where = tuple((~finite).nonzero()[0].tolist()[1:])
            count = int((~finite).sum())
            values = f"{count} values that are not finite, the first" if count > 1 else "a value that is not finite"
            raise DataError(f"holds {values} at {where}")
        if self.range is not None and samples.numel():
            low, high = self.range
            least, most = float(samples.min()), float(samples.max())
            if least < low - 1e-6 or most > high + 1e-6:
                advice = _scaling(most) if (low, high) == (0, 1) and least >= 0 else ""
                raise DataError(
                    f"has values from {least:g} to {most:g}, but {self.name!r} expects {low:g} to {high:g}{advice}"
                )


def _scaling(most: float) -> str:
    """Return what brings values from 0 to ``most`` into the range from 0 to 1, as far as it can be guessed."""
    if most <= 1:
        return ""
    if most <= 10:
        return "; divide by their largest possible value"
    return "; divide by 255" if 100 < most <= 255 else "; divide by 100 if in percent, or by 255" if most <= 100 else ""


def needs_calibration(modality: Modality, encoder: nn.Module, decoder: nn.Module) -> bool:
    """Return whether calibration would use the samples; if not, none are read."""
    own = type(modality).calibrate is not Modality.calibrate
    return own or any(isinstance(layer, Calibrated) for layer in (*encoder.modules(), *decoder.modules()))


def require_size(name: str, modality: Modality) -> None:
    """Check that networks for a modality can fit into memory: two samples, and features and gradients of their size.

    Raises:
        ConfigurationError: if they cannot.
    """
    require_memory(64 * modality.elements, f"modality {name!r}: samples of {modality.shape} are too large")


def within_range(modality: Modality, drawn: Tensor) -> Tensor:
    """Return draws with each value beyond the range of valid samples replaced by the nearest one in it."""
    return drawn if modality.range is None else drawn.clamp(*modality.range)


def check_samples(name: str, modality: Modality, samples: Tensor) -> None:
    """Check samples (N, *shape); errors name the modality.

    Raises:
        DataError: as :meth:`Modality.check` does.
    """
    try:
        modality.check(samples)
    except DataError as error:
        raise DataError(f"modality {name!r}: a sample {error}") from error


def read_table(path: str | Path) -> NDArray[np.float64]:
    """Read a ``.csv`` of numbers, with or without a header row, as (rows, columns); empty cells become NaN.

    See :mod:`multimodal_vae.tables` for the forms that are read.

    Raises:
        DataError: naming the line and its fault, or how to save the file.
    """
    return tables.read_table(path).values


LARGEST_FILE = 2**28
"""Most bytes that the arrays of one file may take, unpacked and as float32."""

MOST_ARRAYS = 1000
"""Most arrays in one file."""


def load_arrays(path: str | Path, limit: int = LARGEST_FILE) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file; refuse pickled objects.

    Args:
        path: the file.
        limit: most bytes of the arrays, unpacked and as float32.

    Raises:
        DataError: if the file is damaged, no ``.npz`` file, holds objects, or is larger.
    """
    archive = _load(path, limit)
    if isinstance(archive, np.ndarray):
        raise DataError("is a single array; an .npz file of named arrays is expected")
    return archive


# Errors of the parsers beneath numpy: of archives, of compression, and of the Python literal in a header. An encrypted
# archive is a RuntimeError, and a claimed shape beyond memory a MemoryError.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    SyntaxError,
    tokenize.TokenError,
    RuntimeError,
    MemoryError,
    OverflowError,
)


def _load(path: str | Path, limit: int = LARGEST_FILE) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read an ``.npy`` file, or all arrays of an ``.npz`` file, whose sizes are checked before unpacking."""
    try:
        # Opened here, since numpy does not close files that are not archives.
        with open_sample(path, limit) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a file is of Python 2
            # Plain arrays have short headers; numpy takes seconds for long ones.
            content: Any = np.load(file, allow_pickle=False, max_header_size=1024)
            single = isinstance(content, np.ndarray)
            if not single:
                _require_bounded(content.zip, limit)
            arrays = {"": content} if single else {name: content[name] for name in content.files}
    except (FileNotFoundError, PermissionError):
        raise
    except (*_DAMAGE, ValueError, TypeError, OSError, EOFError, KeyError) as error:
        raise DataError(f"is not a complete .npy or .npz file of plain arrays ({one_line(error)})") from error
    others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if others:
        raise DataError(f"holds {others[0]!r}, which is not an array")
    if sum(max(array.nbytes, 4 * array.size) for array in arrays.values()) > limit:
        raise DataError(f"holds arrays of more than {limit:,} bytes as float32; cut them into several files")
    return arrays[""] if single else arrays


def _require_bounded(archive: zipfile.ZipFile, limit: int) -> None:
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > limit:
        raise DataError(f"unpacks to {size:,} bytes; at most {limit:,} are read")
    if len(members) > MOST_ARRAYS:
        raise DataError(f"holds {len(members):,} arrays; at most {MOST_ARRAYS:,} are read")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise DataError("is compressed in a way that numpy does not use; save it with numpy.savez_compressed")
