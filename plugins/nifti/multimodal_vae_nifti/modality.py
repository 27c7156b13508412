"""Scans in NIfTI files, such as of the brain, on a grid along the axes of the body."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from multimodal_vae import ConfigurationError, DataError, Volume
from multimodal_vae.modalities.grid import Losses, Network
from multimodal_vae.modalities.volume import Probability, Size
from multimodal_vae_nifti.scan import Scan, coverage, middle, read_scan, resample, write_scan

Millimeters = Annotated[float, Field(gt=0, le=100)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

QUANTILES = (0.005, 0.995)
"""Quantiles of a scan's values that become 0 and 1, unless a window is set: scanners of MRI have no common scale."""

LEAST_COVER = 0.05
"""Share of the grid below which a scan is refused."""


class NIfTI(Volume):
    """A scan of (channels, depth, height, width) with values in [0, 1], along superior, anterior and right.

    Whatever the file's orientation, the grid runs from inferior to superior, from posterior to anterior and from left
    to right. It lies around the middle of the scan, or of its mask.

    Args:
        size: (depth, height, width) in voxels.
        voxel: their sizes in mm.
        window: lowest and highest value, which become 0 and 1, in the unit of the file, such as (-1000, 400) Hounsfield
            units; values beyond are clipped. Default: the quantiles :data:`QUANTILES` of each scan, within its mask.
        mask: what follows the name of a scan in the name of its mask, such as ``"_mask"`` for ``a.nii.gz`` and
            ``a_mask.nii.gz``, beside it and on the same grid. What is outside becomes 0. Default: no mask.
        channels: volumes of a file, 1 to 4.
        width, network, loss, flip, rotate, degrees, erase: as of :class:`multimodal_vae.Volume`.

    Example:
        >>> NIfTI(size=(16, 16, 16), voxel=(12, 12, 12), width=4).shape
        (1, 16, 16, 16)
    """

    suffix = ".nii.gz"
    ends = ("IS", "PA", "LR")

    def __init__(
        self,
        size: Size = (32, 32, 32),
        voxel: tuple[Millimeters, Millimeters, Millimeters] = (6.0, 6.0, 6.0),
        window: tuple[Finite, Finite] | None = None,
        mask: Annotated[str, Field(pattern=r"^[\w.-]*$")] = "",
        channels: Annotated[int, Field(ge=1, le=4)] = 1,
        width: Annotated[int, Field(ge=4)] = 16,
        network: Network = "compact",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
        flip: Probability = 0.0,
        rotate: Probability = 0.0,
        degrees: Annotated[float, Field(ge=0, le=180)] = 10.0,
        erase: Probability = 0.0,
    ) -> None:
        super().__init__(size, channels, width, network, loss, flip, rotate, degrees, erase)
        if window and window[0] >= window[1]:
            raise ConfigurationError(f"{self.name!r}: 'window' is {window}; give the lower value first")
        self.voxel = voxel
        self.window = window
        self.mask = mask
        self.spacing = voxel

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a ``.nii`` or ``.nii.gz`` file and resample it, or a finished sample from ``.npy``."""
        path = Path(cell)
        if path.suffix.lower() == ".npy":
            return super().read(cell)
        scan = read_scan(path, self.channels)
        if scan.prepared and scan.values.shape == (self.channels, *self.size[::-1]):
            return scan.values.transpose(0, 3, 2, 1)
        self.notes.update(scan.notes)
        inside = self._mask(path, scan) if self.mask else np.ones(scan.values.shape[1:], bool)
        scaled = [self._scaled(values, inside) for values in scan.values]
        center = middle(inside, scan.affine)
        covered = coverage(scan, self.size, self.voxel, center)
        if covered < LEAST_COVER:
            grid = " x ".join(f"{n * mm:g}" for n, mm in zip(self.size, self.voxel, strict=True))
            raise DataError(
                f"covers {covered:.1%} of the grid of {grid} mm; set 'size' and 'voxel' to what scans cover"
            )
        return resample(scan._replace(values=np.stack(scaled)), self.size, self.voxel, center).clip(0, 1)

    def _mask(self, path: Path, scan: Scan) -> NDArray[np.bool_]:
        beside = self.files(path)[1]
        if not beside.is_file():
            raise DataError(f"has no mask {beside.name!r} beside it; copy it there, or correct 'mask'")
        try:
            mask = read_scan(beside)
        except DataError as error:
            raise DataError(f"has a mask {beside.name!r} that {error}") from error
        if mask.values.shape[1:] != scan.values.shape[1:] or not np.allclose(mask.affine, scan.affine, atol=1e-2):
            raise DataError(f"has a mask {beside.name!r} on another grid; resample it to the scan's")
        inside: NDArray[np.bool_] = mask.values[0] > 0
        if not inside.any():
            raise DataError(f"has a mask {beside.name!r} that is empty; correct it, or leave the cell empty")
        return inside

    def _scaled(self, values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return values (i, j, k) in [0, 1], those outside the mask 0."""
        sampled = values[inside][:: 1 + values.size // 2**20]
        low, high = self.window or np.quantile(sampled, QUANTILES)
        if not low < high:
            raise DataError(f"is {low:g} nearly everywhere; set 'window', or leave its cell empty")
        with np.errstate(over="ignore"):
            scaled = ((values - np.float32(low)) / np.float32(high - low)).clip(0, 1)
        return np.where(inside, scaled, np.float32(0))

    def files(self, cell: str | Path) -> list[Path]:
        """Return the scan, and its mask if there is to be one."""
        path = Path(cell)
        if not self.mask or path.suffix.lower() == ".npy":
            return [path]
        stem, dot, ending = path.name.rpartition(".nii")
        return [path, path.with_name(f"{stem}{self.mask}{dot}{ending}")]

    def write(self, sample: Tensor, path: Path) -> None:
        """Write a sample (channels, depth, height, width) as ``.nii.gz``, which is read back exactly."""
        affine = np.diag([*self.voxel[::-1], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(self.size[::-1]) - 1) / 2)
        write_scan(sample.numpy().transpose(0, 3, 2, 1), affine, path)
