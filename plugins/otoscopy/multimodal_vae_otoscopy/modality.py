"""Otoscopy: images of the eardrum, cropped to the disc that the otoscope shows."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae import DataError, Image
from multimodal_vae.modalities.grid import Losses, Network
from multimodal_vae.modalities.pictures import read_picture, resample
from multimodal_vae.nn import random_erasing, random_flip, random_rotation
from multimodal_vae_otoscopy.crop import MIN_CONTRAST, crop_square, find_square

Probability = Annotated[float, Field(ge=0, le=1)]


class Otoscopy(Image):
    """An otoscopy image: RGB in [0, 1], (3, size, size), cropped to the disc that the otoscope shows.

    Defaults are those of Sundgaard et al., "Multi-modal data generation with a deep metric variational autoencoder".
    Each image of a batch is augmented independently, with torch's default generator.

    Args:
        size: height and width in pixels.
        width: number of features of the network's first block.
        network: ``"residual"``, the paper's; or ``"compact"``, which at a width of 16 takes less than a tenth of the
            time.
        loss: weights of the reconstruction losses of :data:`multimodal_vae.nn.PIXEL_LOSSES`.
        flip: probability of a horizontal flip of input and target, which turns a left ear into a right one.
        rotate: probability of a rotation of input and target. The angle is uniform and may be near 0, so the default
            rotates every image.
        degrees: maximum angle of a rotation, in either direction; uncovered pixels are black like the surround.
        erase: probability that a random rectangle of the input becomes black; 0.5 as in Zhong et al. 2020.
        erase_target: erase the target together with the input, so that the network learns to generate erased images;
            by default it learns to restore them. The paper's text allows both.
        network_size: height and width at which the networks work, a whole factor below ``size``; see
            :class:`~multimodal_vae.Image`. Default: ``size``.

    Example:
        >>> Otoscopy(width=8).shape
        (3, 64, 64)
    """

    def __init__(
        self,
        size: PositiveInt = 64,
        width: Annotated[int, Field(ge=4)] = 64,
        network: Network = "residual",
        loss: Losses = {"ssim": 1.0},  # noqa: B006  (parts copy their settings)
        flip: Probability = 0.5,
        rotate: Probability = 1.0,
        degrees: Annotated[float, Field(ge=0, le=180)] = 20.0,
        erase: Probability = 0.5,
        erase_target: bool = False,
        network_size: PositiveInt | None = None,
    ) -> None:
        square = (network_size, network_size) if network_size else None
        super().__init__((size, size), 3, width, network, loss, network_size=square)
        self.flip = flip
        self.rotate = rotate
        self.degrees = degrees
        self.erase = erase
        self.erase_target = erase_target

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read an image file of any size, such as PNG or JPEG, into (3, size, size) in [0, 1].

        The image is cropped by :func:`~multimodal_vae_otoscopy.crop.find_square` and resampled with an antialiasing
        Lanczos filter. An image that already has this size, such as one from :meth:`write`, and an array in a ``.npy``
        file are read unchanged.

        Raises:
            DataError: if the file is not an image, is damaged, or is entirely black.
        """
        if Path(cell).suffix.lower() == ".npy":
            return super().read(cell)
        frame = read_picture(cell, "RGB", self.notes)
        if frame.shape[:2] == self.size:
            if frame.max() < MIN_CONTRAST:
                raise DataError("is entirely black; leave its cell empty, or record it again")
            return frame.transpose(2, 0, 1)
        square = find_square(frame)
        if not square.has_surround:
            self.notes["cropped to the center, without a dark surround"] += 1
        return resample(crop_square(frame, square), self.size).transpose(2, 0, 1)

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Flip and rotate images (N, 3, size, size), and erase a rectangle if ``erase_target``; return a new tensor."""
        x = random_flip(x, self.flip) if self.flip else x
        if self.rotate and self.degrees:  # rounding may leave [0, 1]
            x = random_rotation(x, self.rotate, self.degrees).clamp(0, 1)
        return self._erase(x) if self.erase_target else x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Erase a rectangle of images (N, 3, size, size) unless ``erase_target``; return a new tensor."""
        return x if self.erase_target else self._erase(x)

    def _erase(self, x: Tensor) -> Tensor:
        return random_erasing(x, self.erase) if self.erase else x
