"""Losses and miners of the library pytorch-metric-learning, by name and options."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from multimodal_vae.errors import ConfigurationError, did_you_mean, one_line
from multimodal_vae.metric_losses.base import MetricLoss

Spec = str | dict[str, Any]

_LOSS = ("losses", "BaseMetricLossFunction")
_MINER = ("miners", "BaseMiner")
_REGULARIZER = ("regularizers", "BaseRegularizer")
_OPTIONS = {
    "distance": ("distances", "BaseDistance"),
    "reducer": ("reducers", "BaseReducer"),
    "embedding_regularizer": _REGULARIZER,
    "weight_regularizer": _REGULARIZER,
}
"""Options that are objects: the module and the base class of each."""


class PyTorchMetricLearning(MetricLoss):
    """A loss of pytorch-metric-learning, optionally with a miner; needs the extra ``metric-learning``.

    Losses with the required parameters ``num_classes`` or ``embedding_size`` get them from the model; weights of a loss
    are saved with the run. An empty batch contributes zero; all else is as in the library. Its distances normalize
    latents by default: set ``normalize_embeddings = false`` to measure them as they are.

    Args:
        loss: name of a class in ``pytorch_metric_learning.losses``, or a table of ``name`` and options. The options
            ``distance``, ``reducer``, ``embedding_regularizer`` and ``weight_regularizer`` are names or tables too.
        miner: name or table of a class in ``pytorch_metric_learning.miners``. Default: no miner.

    Raises:
        ConfigurationError: if the library is not installed or has no such class, or if options do not fit; those of
            the loss are checked when the model is built.

    Example:
        >>> latents, labels = torch.tensor([[0.0], [1.0], [1.1]]), torch.tensor([0, 0, 1])
        >>> loss = PyTorchMetricLearning(
        ...     {
        ...         "name": "TripletMarginLoss",
        ...         "margin": 0.2,
        ...         "distance": {"name": "LpDistance", "normalize_embeddings": False},
        ...     }
        ... )
        >>> loss.build(latent_dim=1, classes=2)
        >>> loss(latents, labels)
        tensor(0.6000)
    """

    def __init__(self, loss: Spec, miner: Spec | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        _find(loss, *_LOSS)  # report a misspelled name before data is read
        self._miner = None if miner is None else _make(miner, *_MINER)

    def build(self, latent_dim: int, classes: int) -> None:
        """Make the loss with its parameters."""
        sizes = {"num_classes": classes, "embedding_size": latent_dim, "descriptors_dim": latent_dim}
        self._loss = _make(self.loss, *_LOSS, sizes)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the mined tuples, or of the whole batch without a miner."""
        if not len(labels):
            return 0 * latents.sum()
        mined = None if self._miner is None else self._miner(latents, labels)
        loss = self._loss(latents, labels, mined)
        if not isinstance(loss, Tensor) or loss.dim():
            raise ConfigurationError(
                f"{_split(self.loss)[0]} with this reducer returns no scalar; set the reducer to 'MeanReducer'"
            )
        # Some losses are constants, without a gradient, if a batch has nothing to compare.
        return loss if loss.requires_grad or not torch.is_grad_enabled() else loss + 0 * latents.sum()


def _split(spec: Spec) -> tuple[str, dict[str, Any]]:
    """Split a specification into name and options."""
    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{spec!r} names no class of pytorch-metric-learning; give a name, or a table with a name"
        )
    return name, table


def _find(spec: Spec, module: str, base: str) -> type:
    """Return the class with this name, if it is in the module and derives from the base."""
    name, _ = _split(spec)
    try:
        imported = importlib.import_module(f"pytorch_metric_learning.{module}")
    except ImportError as error:
        raise ConfigurationError(
            "the metric loss 'pytorch_metric_learning' needs its library: pip install 'multimodal-vae[metric-learning]'"
        ) from error
    parent = getattr(imported, base)
    classes = {
        key: value
        for key, value in vars(imported).items()
        if isinstance(value, type) and issubclass(value, parent) and value is not parent
    }
    if name not in classes:
        raise ConfigurationError(f"pytorch_metric_learning.{module} has no {name!r}; {did_you_mean(name, classes)}")
    return classes[name]


def _make(spec: Spec, module: str, base: str, sizes: Mapping[str, int] | None = None) -> Any:
    """Make an object from its specification; required parameters named in ``sizes`` are added to its options."""
    cls, (name, options) = _find(spec, module, base), _split(spec)
    required = {key: value for key, value in (sizes or {}).items() if key in _required_parameters(cls)}
    options = {key: _make(value, *_OPTIONS[key], sizes) if key in _OPTIONS else value for key, value in options.items()}
    try:
        return cls(**{**required, **options})
    except (TypeError, ValueError, AssertionError) as error:
        path = f"pytorch_metric_learning.{module}.{name}"
        raise ConfigurationError(f"{path} does not accept these options: {one_line(error)}") from error


def _required_parameters(cls: type) -> set[str]:
    """Return names of required parameters of a class's constructor and its bases', which get its keyword arguments."""
    constructors = [vars(base)["__init__"] for base in cls.__mro__ if inspect.isfunction(vars(base).get("__init__"))]
    parameters = [parameter for init in constructors for parameter in inspect.signature(init).parameters.values()]
    return {parameter.name for parameter in parameters if parameter.default is parameter.empty}
