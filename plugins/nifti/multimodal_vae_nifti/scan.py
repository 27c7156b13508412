"""Read scans with their place in space, and resample them to a grid along the axes of the body.

Source of the format: Cox et al. (2004), *A (sort of) new image data format standard: NIfTI-1*.
"""

import gzip
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multimodal_vae import DataError
from multimodal_vae.errors import one_line
from multimodal_vae.files import open_sample

LARGEST = 2**27 + 2**20
"""Most bytes of a file, unpacked: 512 x 512 x 256 voxels of 16 bits, and a header."""

MOST_VOXELS = 2**26
"""Most voxels of a file, all its volumes together."""

PLAUSIBLE = (0.01, 50.0)
"""Sizes of a voxel in mm; a file that states another one states it in another unit."""

MILLIMETERS = {"mm": 1.0, "unknown": 1.0, "meter": 1e3, "micron": 1e-3}
"""Millimeters per unit of length, by nibabel's name of the unit."""

PREPARED = b"multimodal-vae: prepared, 0 to 1"
"""Description in the header of a file that :func:`write_scan` wrote."""


class Scan(NamedTuple):
    """A scan.

    Attributes:
        values: (channels, i, j, k) in the file's order of axes.
        affine: (4, 4) from indices i, j and k to mm toward right, anterior and superior.
        prepared: whether the values are those of a finished sample.
        notes: what was assumed.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    prepared: bool
    notes: list[str]


def read_scan(path: Path, channels: int = 1) -> Scan:
    """Read a ``.nii`` or ``.nii.gz`` file, of NIfTI-1 or NIfTI-2, that holds so many volumes.

    Raises:
        DataError: if it is damaged, holds other volumes or no numbers, or does not state how it lies in space.
    """
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.nifti2 import Nifti1Header, Nifti2Header

    content = _unpacked(path)
    second = content[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # 540, the length of the header
    try:
        with np.errstate(all="ignore"):  # what a damaged header gives is checked below
            # Unchecked, since nibabel prints what it finds.
            header: Any = (
                Nifti2Header(content[:540], check=False) if second else Nifti1Header(content[:348], check=False)
            )
            if not header["magic"].tobytes().startswith((b"n+1\0", b"n+2\0")):
                raise ValueError("it does not begin as one")
            shape = tuple(int(n) for n in header.get_data_shape())
            _check_content(shape, header.get_data_dtype(), channels)
            affine, notes = _affine(header)
            stored: Any = ArrayProxy(BytesIO(content), header)
            values = np.asarray(stored.get_unscaled()).astype(np.float32)
            values = values * np.float32(stored.slope) + np.float32(stored.inter)
    except DataError:
        raise
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"is damaged or no NIfTI file in one piece ({one_line(error)})") from error
    values = np.moveaxis(values.reshape(*shape[:3], channels), 3, 0)
    missing = ~np.isfinite(values)
    if missing.any():
        values[missing] = np.min(values, initial=np.inf, where=~missing) if not missing.all() else 0
        notes.append("voxels that are not finite, taken as the lowest value")
    return Scan(values, affine, header["descrip"].tobytes().startswith(PREPARED), notes)


def write_scan(values: NDArray[np.float32], affine: NDArray[np.float64], path: Path) -> None:
    """Write values (channels, i, j, k) of a finished sample as ``.nii.gz``."""
    import nibabel as nib

    volumes = np.moveaxis(values, 0, 3)
    image: Any = nib.Nifti1Image(volumes[..., 0] if len(values) == 1 else volumes, affine)
    image.header["descrip"] = PREPARED
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _unpacked(path: Path) -> bytes:
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise DataError(f"ends in {path.suffix!r}; a scan is read from .nii, .nii.gz or .npy")
    with open_sample(path, LARGEST) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        try:
            content = gzip.GzipFile(fileobj=file).read(LARGEST + 1) if packed else file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"is cut short or damaged ({one_line(error)}); copy it again") from error
    if len(content) > LARGEST:
        raise DataError(f"unpacks to more than {LARGEST:,} bytes; save it with fewer voxels or with 16 bits")
    return content


def _check_content(shape: tuple[int, ...], dtype: np.dtype[Any], channels: int) -> None:
    size = " x ".join(map(str, shape))
    if len(shape) < 3 or any(n != 1 for n in shape[4:]):
        raise DataError(f"has {len(shape)} axes, {size}; a scan has three, and a fourth for several volumes")
    if min(shape) < 1 or int(np.prod([float(n) for n in shape])) > MOST_VOXELS:
        raise DataError(f"has {size} voxels; from 1 to {MOST_VOXELS:,} are read")
    volumes = shape[3] if len(shape) > 3 else 1
    if volumes != channels:
        advice = "save one of them or their mean as a file, or set 'channels'"
        raise DataError(f"holds {volumes} volumes, {size}, and the setting 'channels' is {channels}; {advice}")
    if dtype.kind not in "iuf":
        raise DataError(f"holds values of type {dtype}, such as colors or complex numbers; save it as numbers")


def _affine(header: Any) -> tuple[NDArray[np.float64], list[str]]:
    """Return the affine in mm, and what was assumed."""
    notes = []
    (qform, qcode), (sform, scode) = (get(coded=True) for get in (header.get_qform, header.get_sform))
    if not qcode and not scode:
        raise DataError("states no orientation (qform and sform codes are 0), so left may be right; convert it again")
    unit = header.get_xyzt_units()[0]
    if unit == "unknown":
        notes.append("no unit of length in the file, taken as mm")
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= MILLIMETERS[unit]
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(0))
    low, high = PLAUSIBLE
    if not ((sizes >= low) & (sizes <= high)).all():
        stated = " x ".join(f"{n:.4g}" for n in sizes)
        raise DataError(f"states voxels of {stated} mm, which no scan has; correct its header, or convert it again")
    if not abs(np.linalg.det(affine[:3, :3])) > 0.1 * sizes.prod():
        raise DataError("states axes that are not at right angles; convert it again from the scanner's files")
    if qcode and scode and np.linalg.det(qform[:3, :3]) * np.linalg.det(sform[:3, :3]) < 0:
        raise DataError("states two orientations, qform and sform, that differ in left and right; remove the wrong one")
    return affine, notes


def resample(
    scan: Scan, size: Sequence[int], voxel: Sequence[float], center: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Resample a scan to (channels, depth, height, width) along superior, anterior and right.

    Values are averaged over what a new voxel covers, by blocks and a Gaussian filter, and interpolated linearly; what
    lies outside the scan is 0.

    Args:
        scan: the scan, of any orientation.
        size: voxels along the three axes of the result.
        voxel: their sizes in mm.
        center: middle of the result, in mm toward right, anterior and superior.
    """
    from scipy.ndimage import affine_transform, gaussian_filter

    values, affine = scan.values, scan.affine
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(0))
    # How many old voxels a new one covers along each axis of the file, whose axes may run along any of the body's.
    shares = np.abs(affine[:3, :3] / sizes)
    ratios = (shares * np.array(voxel)[::-1, None]).sum(0) / shares.sum(0) / sizes
    blocks = [min(max(1, int(ratio / 2)), n) for ratio, n in zip(ratios, values.shape[1:], strict=True)]
    values, affine = _block_means(values, blocks), affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(blocks) - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * blocks
    sigma = np.maximum(0, (ratios / blocks - 1) / 2)
    matrix, offset = _to_indices(affine, size, voxel, center)
    smooth = [gaussian_filter(each, sigma, mode="nearest") for each in values]
    return np.stack([affine_transform(each, matrix, offset, tuple(size), order=1) for each in smooth])


def coverage(scan: Scan, size: Sequence[int], voxel: Sequence[float], center: NDArray[np.float64]) -> float:
    """Return the share of a grid, given as in :func:`resample`, that lies within a scan."""
    matrix, offset = _to_indices(scan.affine, size, voxel, center)
    index = np.tensordot(matrix, np.indices(size), 1) + offset[:, None, None, None]
    last = np.array(scan.values.shape[1:])[:, None, None, None] - 0.5
    return float(((index >= -0.5) & (index <= last)).all(0).mean())


def _to_indices(
    affine: NDArray[np.float64], size: Sequence[int], voxel: Sequence[float], center: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset from indices (depth, height, width) of a grid to those of a file."""
    to_mm = np.zeros((3, 3))
    to_mm[[2, 1, 0], [0, 1, 2]] = voxel
    inverse = np.linalg.inv(affine)
    first = center - to_mm @ ((np.array(size) - 1) / 2)
    return inverse[:3, :3] @ to_mm, inverse[:3, :3] @ first + inverse[:3, 3]


def _block_means(values: NDArray[np.float32], blocks: Sequence[int]) -> NDArray[np.float32]:
    """Average blocks of voxels; those that are incomplete at the end are dropped."""
    for axis, block in enumerate(blocks, start=1):
        if block > 1:
            kept = values.shape[axis] // block
            values = values[(slice(None),) * axis + (slice(kept * block),)]
            values = values.reshape(*values.shape[:axis], kept, block, *values.shape[axis + 1 :]).mean(axis + 1)
    return values


def middle(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the center in mm of the box around the voxels (i, j, k) of a mask."""
    index = [np.flatnonzero(mask.any(tuple({0, 1, 2} - {axis})))[[0, -1]].mean() for axis in range(3)]
    return np.asarray(affine[:3, :3] @ index + affine[:3, 3])
