"""Multi-modal variational autoencoders in which every modality is a plugin.

Names are imported on first use, so that ``import multimodal_vae`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multimodal_vae.configuration import Configuration as Configuration
    from multimodal_vae.data.batch import Batch as Batch
    from multimodal_vae.data.dataset import MultimodalDataset as MultimodalDataset
    from multimodal_vae.distributions import Gaussian as Gaussian
    from multimodal_vae.distributions import GaussianMixture as GaussianMixture
    from multimodal_vae.errors import ConfigurationError as ConfigurationError
    from multimodal_vae.errors import DataError as DataError
    from multimodal_vae.errors import MultimodalVAEError as MultimodalVAEError
    from multimodal_vae.errors import MultimodalVAEWarning as MultimodalVAEWarning
    from multimodal_vae.errors import PluginError as PluginError
    from multimodal_vae.errors import RunError as RunError
    from multimodal_vae.errors import SamplerError as SamplerError
    from multimodal_vae.errors import TrainingError as TrainingError
    from multimodal_vae.errors import TrainingInterrupted as TrainingInterrupted
    from multimodal_vae.fusions.base import Fusion as Fusion
    from multimodal_vae.fusions.concat import Concat as Concat
    from multimodal_vae.fusions.jmvae import JMVAE as JMVAE
    from multimodal_vae.fusions.mmvaeplus import MMVAEPlus as MMVAEPlus
    from multimodal_vae.fusions.moe import MoE as MoE
    from multimodal_vae.fusions.mopoe import MoPoE as MoPoE
    from multimodal_vae.fusions.mvtcae import MVTCAE as MVTCAE
    from multimodal_vae.fusions.poe import PoE as PoE
    from multimodal_vae.fusions.subsets import Subsets as Subsets
    from multimodal_vae.loggers.base import Logger as Logger
    from multimodal_vae.loggers.console import Console as Console
    from multimodal_vae.loggers.jsonl import JSONLines as JSONLines
    from multimodal_vae.loggers.tensorboard import TensorBoard as TensorBoard
    from multimodal_vae.metric_losses.base import MetricLoss as MetricLoss
    from multimodal_vae.metric_losses.center import Center as Center
    from multimodal_vae.metric_losses.proxy_anchor import ProxyAnchor as ProxyAnchor
    from multimodal_vae.metric_losses.pytorch_metric_learning import PyTorchMetricLearning as PyTorchMetricLearning
    from multimodal_vae.metric_losses.supcon import SupCon as SupCon
    from multimodal_vae.metric_losses.triplet import Triplet as Triplet
    from multimodal_vae.modalities.base import Modality as Modality
    from multimodal_vae.modalities.categorical import Categorical as Categorical
    from multimodal_vae.modalities.image import Image as Image
    from multimodal_vae.modalities.signal import Signal as Signal
    from multimodal_vae.modalities.vector import Vector as Vector
    from multimodal_vae.model import MultimodalVAE as MultimodalVAE
    from multimodal_vae.objective import Objective as Objective
    from multimodal_vae.part import Part as Part
    from multimodal_vae.registry import register as register
    from multimodal_vae.run import Run as Run
    from multimodal_vae.run import fit as fit
    from multimodal_vae.run import open_run as open_run
    from multimodal_vae.samplers.base import DensitySampler as DensitySampler
    from multimodal_vae.samplers.flow import Flow as Flow
    from multimodal_vae.samplers.gaussian import ShrunkGaussian as ShrunkGaussian
    from multimodal_vae.samplers.gmm import GMM as GMM
    from multimodal_vae.samplers.interpolation import Interpolation as Interpolation
    from multimodal_vae.samplers.kde import KDE as KDE
    from multimodal_vae.samplers.prior import Prior as Prior
    from multimodal_vae.synthesis.files import write_samples as write_samples
    from multimodal_vae.synthesis.synthesizer import Synthesizer as Synthesizer

_HOME = {
    "configuration": ["Configuration"],
    "data.batch": ["Batch"],
    "data.dataset": ["MultimodalDataset"],
    "distributions": ["Gaussian", "GaussianMixture"],
    "errors": [
        "ConfigurationError",
        "DataError",
        "MultimodalVAEError",
        "MultimodalVAEWarning",
        "PluginError",
        "RunError",
        "SamplerError",
        "TrainingError",
        "TrainingInterrupted",
    ],
    "fusions.base": ["Fusion"],
    "fusions.subsets": ["Subsets"],
    "fusions.concat": ["Concat"],
    "fusions.jmvae": ["JMVAE"],
    "fusions.mmvaeplus": ["MMVAEPlus"],
    "fusions.moe": ["MoE"],
    "fusions.mopoe": ["MoPoE"],
    "fusions.mvtcae": ["MVTCAE"],
    "fusions.poe": ["PoE"],
    "loggers.base": ["Logger"],
    "loggers.console": ["Console"],
    "loggers.jsonl": ["JSONLines"],
    "loggers.tensorboard": ["TensorBoard"],
    "metric_losses.base": ["MetricLoss"],
    "metric_losses.center": ["Center"],
    "metric_losses.proxy_anchor": ["ProxyAnchor"],
    "metric_losses.pytorch_metric_learning": ["PyTorchMetricLearning"],
    "metric_losses.supcon": ["SupCon"],
    "metric_losses.triplet": ["Triplet"],
    "modalities.base": ["Modality"],
    "modalities.categorical": ["Categorical"],
    "modalities.image": ["Image"],
    "modalities.signal": ["Signal"],
    "modalities.vector": ["Vector"],
    "model": ["MultimodalVAE"],
    "objective": ["Objective"],
    "part": ["Part"],
    "registry": ["register"],
    "run": ["Run", "fit", "open_run"],
    "samplers.base": ["DensitySampler"],
    "samplers.flow": ["Flow"],
    "samplers.gaussian": ["ShrunkGaussian"],
    "samplers.gmm": ["GMM"],
    "samplers.interpolation": ["Interpolation"],
    "samplers.kde": ["KDE"],
    "samplers.prior": ["Prior"],
    "synthesis.files": ["write_samples"],
    "synthesis.synthesizer": ["Synthesizer"],
}
_MODULE_OF = {name: f"multimodal_vae.{module}" for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605  (kept in step with the imports above by a test)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("multimodal-vae")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'multimodal_vae' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
