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
"""Options that are objects: the module of their classes and their base class."""


class PyTorchMetricLearning(MetricLoss):
    """Apply a loss of pytorch-metric-learning, optionally with a miner; needs the extra ``metric-learning``.

    ``num_classes`` and ``embedding_size`` are passed to losses that require them; weights of a loss are saved with the
    run. An empty batch gives zero; the library decides about batches of one class and classes of one sample. Its
    distances normalize latents unless ``normalize_embeddings`` is false.

    Args:
        loss: name of a class in ``pytorch_metric_learning.losses``, or a table with ``name`` and its options. The
            options ``distance``, ``reducer``, ``embedding_regularizer`` and ``weight_regularizer`` are such names or
            tables too.
        miner: the same for ``pytorch_metric_learning.miners``. Default: no miner.

    Raises:
        ConfigurationError: if the library is not installed, has no such class, or the class refuses the options.
            Options of a loss are checked when the model is built.

    Example:
        >>> latents, labels = torch.tensor([[0.0], [1.0], [1.1]]), torch.tensor([0, 0, 1])
        >>> plain = {"name": "LpDistance", "normalize_embeddings": False}
        >>> loss = PyTorchMetricLearning({"name": "TripletMarginLoss", "margin": 0.2, "distance": plain})
        >>> loss.build(latent_dim=1, classes=2)
        >>> loss(latents, labels)
        tensor(0.6000)
    """

    def __init__(self, loss: Spec, miner: Spec | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner
        _find(loss, *_LOSS)  # refuse a misspelled name before data is read
        self._miner = None if miner is None else _make(miner, *_MINER)

    def build(self, latent_dim: int, classes: int) -> None:
        """Make the loss with its parameters."""
        sizes = {"num_classes": classes, "embedding_size": latent_dim, "descriptors_dim": latent_dim}
        self._loss = _make(self.loss, *_LOSS, sizes)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss over the mined pairs or triplets, or over all."""
        if not len(labels):
            return 0 * latents.sum()
        mined = None if self._miner is None else self._miner(latents, labels)
        loss = self._loss(latents, labels, mined)
        if not isinstance(loss, Tensor) or loss.dim():
            raise ConfigurationError(f"{_split(self.loss)[0]} with this reducer gives no scalar; choose another")
        # Some losses of the library are constants if they compare nothing.
        return loss if loss.requires_grad or not torch.is_grad_enabled() else loss + 0 * latents.sum()


def _split(spec: Spec) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a specification."""
    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"give a class of pytorch-metric-learning as a name or a table with a name, not {spec!r}"
        )
    return name, table


def _find(spec: Spec, module: str, base: str) -> type:
    """Return the class by name; only subclasses of ``base`` in the module are found, so nothing else can run."""
    name, _ = _split(spec)
    try:
        found = importlib.import_module(f"pytorch_metric_learning.{module}")
    except ImportError as error:
        raise ConfigurationError(
            "the metric loss 'pytorch_metric_learning' needs its library: pip install 'multimodal-vae[metric-learning]'"
        ) from error
    common = getattr(found, base)
    classes = {key: each for key, each in vars(found).items() if isinstance(each, type) and each is not common}
    known = {key: each for key, each in classes.items() if issubclass(each, common)}
    if name not in known:
        raise ConfigurationError(f"pytorch_metric_learning.{module} has no {name!r}; {did_you_mean(name, known)}")
    return known[name]


def _make(spec: Spec, module: str, base: str, sizes: Mapping[str, int] | None = None) -> Any:
    """Build an object, with those of the sizes that its constructor requires."""
    found, (name, options) = _find(spec, module, base), _split(spec)
    required = {key: value for key, value in (sizes or {}).items() if key in _needed(found)}
    given = {key: _make(value, *_OPTIONS[key], sizes) if key in _OPTIONS else value for key, value in options.items()}
    try:
        return found(**{**required, **given})
    except (TypeError, ValueError, AssertionError) as error:
        where = f"pytorch_metric_learning.{module}.{name}"
        raise ConfigurationError(f"{where} cannot be made: {one_line(error)}") from error


def _needed(found: type) -> set[str]:
    """Return the required parameters of the constructors of a class and of its bases."""
    constructors = [vars(each)["__init__"] for each in found.__mro__ if inspect.isfunction(vars(each).get("__init__"))]
    parameters = [each for one in constructors for each in inspect.signature(one).parameters.values()]
    return {each.name for each in parameters if each.default is each.empty}
