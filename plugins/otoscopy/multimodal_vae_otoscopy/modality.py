"""Otoscopy: pictures of the eardrum, cropped to what the otoscope shows."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae import DataError, Image
from multimodal_vae.modalities.image import Losses, Network, read_picture
from multimodal_vae.nn import random_erasing, random_flip, random_rotation
from multimodal_vae_otoscopy.crop import LEAST_CONTRAST, crop_square, lit_square

Probability = Annotated[float, Field(ge=0, le=1)]


class Otoscopy(Image):
    """An otoscopy image: RGB in [0, 1], (3, size, size), cropped to the disc that the otoscope shows.

    Defaults are those of Sundgaard et al., "Multi-modal data generation with a deep metric variational autoencoder".
    Each picture of a batch is flipped, rotated or erased on its own draw, from torch's default generator.

    Args:
        size: height and width in pixels.
        width: features of the network's first block.
        network: ``"residual"``, the paper's; or ``"compact"``, which at a width of 16 costs less than a tenth of it.
        loss: weights of the reconstruction losses of :data:`multimodal_vae.nn.PIXEL_LOSSES`.
        flip: probability of a horizontal flip, which makes a left ear of a right one; input and target alike.
        rotate: probability of a rotation; input and target alike. The angle is uniform within ``degrees`` and so
            includes hardly any; therefore every picture is rotated by default.
        degrees: greatest angle of a rotation, either way; what turns into view is black, as the surround is.
        erase: probability that a random rectangle of the input is made black (Zhong et al. 2020, whose one half this
            is).
        erase_target: erase the target together with the input, so that the network learns to draw erased pictures;
            by default it has to restore what was erased. The paper's text allows both.

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
    ) -> None:
        super().__init__(size=(size, size), channels=3, width=width, network=network, loss=loss)
        self.flip = flip
        self.rotate = rotate
        self.degrees = degrees
        self.erase = erase
        self.erase_target = erase_target

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read a picture file of any size, such as PNG or JPEG, into (3, size, size) in [0, 1].

        The square found by :func:`~multimodal_vae_otoscopy.crop.lit_square` is resampled with a Lanczos filter as wide
        as the reduction asks, so that fine texture does not alias. A picture that already has this size, such as one
        that :meth:`write` made, is taken as it is; so is an array in a ``.npy`` file.

        Raises:
            DataError: if it is no picture, is damaged, or is black all over.
        """
        if Path(cell).suffix.lower() == ".npy":
            return super().read(cell)
        frame = read_picture(cell, "RGB")
        if frame.shape[:2] == self.size:
            if frame.max() < LEAST_CONTRAST:
                raise DataError("is black all over; leave its cell empty or record it again")
            return frame.transpose(2, 0, 1)
        square = lit_square(frame)
        if not square.found:
            self.notes["cropped to the center, for want of a dark surround"] += 1
        return _resampled(crop_square(frame, square), self.size[0])

    @torch.no_grad()
    def augment(self, x: Tensor) -> Tensor:
        """Flip and rotate pictures (N, 3, size, size), and erase where ``erase_target`` says so; a new tensor."""
        x = random_flip(x, self.flip) if self.flip else x
        if self.rotate and self.degrees:  # interpolation may leave [0, 1] by a rounding error
            x = random_rotation(x, self.rotate, self.degrees).clamp(0, 1)
        return self._erased(x) if self.erase_target else x

    @torch.no_grad()
    def corrupt(self, x: Tensor) -> Tensor:
        """Erase a rectangle of pictures (N, 3, size, size), unless ``erase_target``; a new tensor."""
        return x if self.erase_target else self._erased(x)

    def _erased(self, x: Tensor) -> Tensor:
        return random_erasing(x, self.erase) if self.erase else x


def _resampled(picture: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Resample (side, side, 3) to (3, size, size); the filter's overshoot is cut off."""
    from PIL import Image as Pillow

    planes = [
        Pillow.fromarray(np.ascontiguousarray(picture[..., channel], dtype=np.float32)).resize(
            (size, size), Pillow.Resampling.LANCZOS
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane, dtype=np.float32) for plane in planes]).clip(0, 1)
