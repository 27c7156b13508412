"""Layers and operations by the number of spatial dimensions: signals, images and volumes share one implementation."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTION: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MEAN: dict[int, type[nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
AVERAGE_POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Torch's name of linear interpolation along each axis."""
SMOOTH = INTERPOLATION | {2: "bicubic"}
"""Torch's name of its smoothest interpolation."""
