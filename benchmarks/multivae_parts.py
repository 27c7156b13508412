"""What the benchmarks need of MultiVae, importable beside a torchvision whose compiled operators do not fit this torch.

MultiVae imports torchvision, which registers fake versions of its operators on import; MultiVae calls none of them.
"""

import torch
from torch import Tensor, nn

_OPERATORS = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from multivae import models, samplers  # noqa: E402
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
    "Decoder",
    "Encoder",
    "IncompleteDataset",
    "ModelOutput",
    "MultimodalBaseDataset",
    "models",
    "samplers",
]


class Encoder(BaseEncoder):  # type: ignore[misc]  # MultiVae has no types
    """A network with linear heads for mean and log-variance.

    Args:
        body: maps samples to (N, features).
        features: number of its outputs.
        latent_dim: dimensions of the latent.
    """

    def __init__(self, body: nn.Module, features: int, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.body, self.mean, self.logvar = body, nn.Linear(features, latent_dim), nn.Linear(features, latent_dim)

    def forward(self, x: Tensor) -> ModelOutput:
        """Encode samples."""
        features = self.body(x)
        return ModelOutput(embedding=self.mean(features), log_covariance=self.logvar(features))


class Decoder(BaseDecoder):  # type: ignore[misc]  # MultiVae has no types
    """A network from latents to samples.

    Args:
        body: maps (N, latent_dim) to samples.
        latent_dim: dimensions of the latent.
    """

    def __init__(self, body: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.body = body

    def forward(self, z: Tensor) -> ModelOutput:
        """Decode latents."""
        return ModelOutput(reconstruction=self.body(z))
