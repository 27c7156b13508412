"""Any loss and miner of the library pytorch-metric-learning, by name and options."""

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
"""Options that are objects themselves: where their classes are, and which base they have."""


class PyTorchMetricLearning(MetricLoss):
    """A loss of pytorch-metric-learning, with a miner where wanted; needs the extra ``metric-learning``.

    A loss that cannot do without ``num_classes`` and ``embedding_size`` is told both; its weights are saved with the
    run. What the library makes of a batch of one class or of a class of one sample is its own affair; an empty batch
    contributes zero. Its distances normalize latents unless they are told ``normalize_embeddings=False``.

    Args:
        loss: the name of a class in ``pytorch_metric_learning.losses``, or a table of it as ``name`` and its options;
            the options ``distance``, ``reducer``, ``embedding_regularizer`` and ``weight_regularizer`` are names or
            tables themselves.
        miner: the same, of ``pytorch_metric_learning.miners``; none where it is None.

    Raises:
        ConfigurationError: if the library is not installed, has no such class, or the class does not take the options.
            The options of a loss are tried when the model is made.

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
        _find(loss, *_LOSS)  # so that what is misspelt is said before any data is read
        self._miner = None if miner is None else _make(miner, *_MINER)

    def build(self, latent_dim: int, classes: int) -> None:
        """Make the loss, with its parameters if it has any."""
        sizes = {"num_classes": classes, "embedding_size": latent_dim, "descriptors_dim": latent_dim}
        self._loss = _make(self.loss, *_LOSS, sizes)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of what the miner picks, or of all."""
        if not len(labels):
            return 0 * latents.sum()
        mined = None if self._miner is None else self._miner(latents, labels)
        loss = self._loss(latents, labels, mined)
        if not isinstance(loss, Tensor) or loss.dim():
            raise ConfigurationError(f"{_split(self.loss)[0]} with this reducer gives no single number; take another")
        # Where it compares nothing, some of the library's losses are constants.
        return loss if loss.requires_grad or not torch.is_grad_enabled() else loss + 0 * latents.sum()


def _split(spec: Spec) -> tuple[str, dict[str, Any]]:
    """The name and the options."""
    table = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"a class of pytorch-metric-learning is given as a name or a table with one, not {spec!r}"
        )
    return name, table


def _find(spec: Spec, module: str, base: str) -> type:
    """The class that is meant: found by its name among the module's, and of the right base, so that no code is run."""
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
    """Make an object, telling its constructor the sizes that it cannot do without."""
    found, (name, options) = _find(spec, module, base), _split(spec)
    told = {key: value for key, value in (sizes or {}).items() if key in _needed(found)}
    made = {key: _make(value, *_OPTIONS[key], sizes) if key in _OPTIONS else value for key, value in options.items()}
    try:
        return found(**{**told, **made})
    except (TypeError, ValueError, AssertionError) as error:
        where = f"pytorch_metric_learning.{module}.{name}"
        raise ConfigurationError(f"{where} cannot be made: {one_line(error)}") from error


def _needed(found: type) -> set[str]:
    """Names of what the constructors of a class and of its bases, which get what it does not know, ask for."""
    constructors = [vars(each)["__init__"] for each in found.__mro__ if inspect.isfunction(vars(each).get("__init__"))]
    parameters = [each for one in constructors for each in inspect.signature(one).parameters.values()]
    return {each.name for each in parameters if each.default is each.empty}
