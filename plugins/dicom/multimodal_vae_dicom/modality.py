"""Pictures in DICOM files, such as radiographs, slices and frames of ultrasound."""

import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from multimodal_vae import ConfigurationError, DataError, Image
from multimodal_vae.modalities.grid import Losses, Network
from multimodal_vae.modalities.pictures import Resize, resize_picture
from multimodal_vae_dicom.picture import LUMINANCE, is_dicom, read_dicom

Finite = Annotated[float, Field(allow_inf_nan=False)]

_FRAME = re.compile(r"(.*)#frame=(\d{1,7})", re.DOTALL)


class DICOM(Image):
    """A picture of (channels, height, width) with values in [0, 1], from a DICOM file or an image file.

    A cell names a file, or a frame of it, as ``cine.dcm#frame=12``; the first frame is 1.

    Args:
        size: (height, width) in pixels.
        channels: 1 for gray, into which colors are converted; 3 for color.
        window: lowest and highest value, which become black and white, in the unit of the file, such as (-160, 240)
            Hounsfield units. Default: the file's own window; without one, its range.
        resize: how pictures of another size get this one, as of :class:`multimodal_vae.Image`; None refuses them.
        width: number of feature maps of the first block; more take more time and memory.
        network: ``"compact"``; or ``"residual"``, which takes several times as long.
        loss: as of :class:`multimodal_vae.Image`.

    Example:
        >>> DICOM(size=(32, 32), width=4).shape
        (1, 32, 32)
    """

    def __init__(
        self,
        size: tuple[PositiveInt, PositiveInt] = (64, 64),
        channels: Literal[1, 3] = 1,
        window: tuple[Finite, Finite] | None = None,
        resize: Resize | None = "pad",
        width: Annotated[int, Field(ge=4)] = 16,
        network: Network = "compact",
        loss: Losses | Literal["normal"] = {"bce": 1.0},  # noqa: B006  (parts copy their settings)
    ) -> None:
        super().__init__(size=size, channels=channels, width=width, network=network, loss=loss, resize=resize)
        if window and window[0] >= window[1]:
            raise ConfigurationError(f"{self.name!r}: 'window' is {window}; give the lower value first")
        self.window = window

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a frame of a DICOM file, an image file, or a finished sample from ``.npy``.

        Raises:
            DataError: see :func:`~multimodal_vae_dicom.picture.read_dicom`; also if the size differs and ``resize`` is
                not set.
        """
        path, frame = _parse(cell)
        if frame is None and path.suffix.lower() not in ("", ".dcm", ".ima", ".dicom") and not is_dicom(path):
            return super().read(path)
        picture = read_dicom(path, frame, self.window, self.notes)
        if picture.shape[2] > self.channels:
            picture = (picture @ np.array(LUMINANCE, np.float32))[..., None]
        picture = np.repeat(picture, self.channels // picture.shape[2], 2)
        if self.resize:
            picture = resize_picture(picture, self.size, self.resize)
        elif picture.shape[:2] != self.size:
            raise DataError(f'has {picture.shape[1]} x {picture.shape[0]} pixels; set resize = "crop" or "pad"')
        return picture.transpose(2, 0, 1)

    def files(self, cell: str | Path) -> list[Path]:
        """Return the file, without the frame."""
        return [_parse(cell)[0]]


def _parse(cell: str | Path) -> tuple[Path, int | None]:
    match = _FRAME.fullmatch(str(cell))
    return (Path(match[1]), int(match[2])) if match else (Path(cell), None)
