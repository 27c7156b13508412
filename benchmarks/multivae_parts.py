"""What is needed of MultiVae, imported beside a torchvision whose compiled operators do not fit this torch.

MultiVae imports torchvision, which declares properties of its operators as it is imported; it calls none of them.
"""

import torch

_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from multivae import models  # noqa: E402
from multivae.data.datasets import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models.base import BaseDecoder, BaseEncoder, ModelOutput  # noqa: E402
from multivae.models.nn import BaseJointEncoder  # noqa: E402
from multivae.trainers import BaseTrainer, BaseTrainerConfig  # noqa: E402

__all__ = [
    "BaseDecoder",
    "BaseEncoder",
    "BaseJointEncoder",
    "BaseTrainer",
    "BaseTrainerConfig",
    "IncompleteDataset",
    "ModelOutput",
    "MultimodalBaseDataset",
    "models",
]
