"""Checkpoints: everything the next step depends on, so that a resumed training is bit-identical to an unbroken one.

The file is safetensors: weights, the optimizer's moments, random states and the rows not yet drawn, with the position
as JSON in the header. It replaces the last checkpoint atomically.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import pydantic
import torch
from pydantic import Field
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from multimodal_vae import distributed
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.errors import RunError
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.part import explain
from multimodal_vae.trainable import Trainable

_Count = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass
class Position:
    """Position of a training.

    Attributes:
        epoch: current epoch, from 1.
        batches: finished batches of this epoch.
        steps: optimizer steps since the start.
        sums: this epoch's metrics, summed so far.
        best: best value of the metric that early stopping watches, and its epoch; None before there is one.
        threads: number of processor threads; None before it is known.
    """

    epoch: Annotated[int, Field(ge=1, lt=2**53)] = 1
    batches: _Count = 0
    steps: _Count = 0
    sums: dict[str, pydantic.FiniteFloat] = field(default_factory=dict)
    best: tuple[float, _Count] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batches, self.sums = self.epoch + 1, 0, {}


_POSITION = pydantic.TypeAdapter(Position)


@dataclass
class TrainingState:
    """State of a training, which checkpoints save and restore.

    Attributes:
        model: what is trained, with its weights and buffers.
        optimizer: the optimizer, with its moments.
        batches: the batches, with the rows not yet drawn and the state of the generator.
        per_epoch: number of batches per epoch.
        average: moving average of the weights, if any.
        position: position of the training.
        best: weights of the best epoch so far; empty without early stopping.
    """

    model: Trainable
    optimizer: torch.optim.Optimizer
    batches: BalancedBatches
    per_epoch: int
    average: AveragedModel | None = None
    position: Position = field(default_factory=Position)
    best: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write a checkpoint in place of the last one.

        Raises:
            RunError: if it cannot be written; the last one then remains.
        """
        device = self.model.device
        random_states = {"cpu": torch.random.get_rng_state()}
        if device.type == "cuda":
            random_states["cuda"] = torch.cuda.get_rng_state(device)
        tensors = {
            f"random.{kind}.{rank}": state
            for kind, own in random_states.items()
            for rank, state in enumerate(distributed.gather_list(own, device))
        }
        if distributed.rank() > 0:
            return
        tensors |= {f"model.{name}": x for name, x in self.model.state_dict().items()}
        tensors |= {f"best.{name}": x for name, x in self.best.items()}
        tensors |= {f"average.{name}": x for name, x in (self.average.state_dict() if self.average else {}).items()}
        tensors |= {f"batches.{name}": x for name, x in self.batches.state().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(x) for name, x in moments.items()}
        write_tensors(path, tensors, {"position": json.dumps(asdict(self.position))})

    def restore(self, path: Path) -> None:
        """Restore everything from a checkpoint, including torch's random state.

        Raises:
            RunError: if the file is damaged, or belongs to another training.
        """
        tensors, metadata = read_tensors(path)
        self.position = _position(path, metadata)
        try:
            if self.position.batches >= self.per_epoch:
                raise ValueError(f"it has {self.position.batches} batches of an epoch with {self.per_epoch}")
            self.model.load_state_dict(_with_prefix("model.", tensors))
            self.best = _with_prefix("best.", tensors)
            if self.best and _shapes(self.best) != _shapes(self.model.state_dict()):
                raise ValueError("its best weights have other shapes")
            if self.average:
                self.average.load_state_dict(_with_prefix("average.", tensors))
            self.batches.restore(_with_prefix("batches.", tensors))
            moments: dict[int, dict[str, Tensor]] = {}
            for name, x in _with_prefix("optimizer.", tensors).items():
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = x
            self._require_moments(moments)
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
            self._restore_random(_with_prefix("random.", tensors))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(f"{path} is not a checkpoint of this training: {str(error).splitlines()[-1]}") from error

    def _require_moments(self, moments: dict[int, dict[str, Tensor]]) -> None:
        """Raise ValueError unless each weight has Adam's moments of its shape, and a number of steps, or nothing."""
        weights = dict(enumerate(each for group in self.optimizer.param_groups for each in group["params"]))
        for index, found in moments.items():
            shape = weights[index].shape
            if _shapes(found) != {"step": torch.Size(), "exp_avg": shape, "exp_avg_sq": shape}:
                raise ValueError(f"the moments of weight {index} have other shapes")
            if not 1 <= float(found["step"]) < 2**53:
                raise ValueError(f"weight {index} has had {float(found['step'])} steps")

    def _restore_random(self, states: dict[str, Tensor]) -> None:
        rank, device = distributed.rank(), self.model.device
        if f"cpu.{rank}" in states:
            torch.random.set_rng_state(states[f"cpu.{rank}"])
        else:  # more processes than before: seed this one differently from all others
            torch.manual_seed(torch.initial_seed() + self.position.steps)
        if device.type == "cuda" and f"cuda.{rank}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{rank}"], device)


def read_position(path: Path) -> Position:
    """Return the position in a checkpoint; the start of the training if there is no such file.

    Raises:
        RunError: if the file is damaged.
    """
    return _position(path, read_tensors(path)[1]) if path.exists() else Position()


def _position(path: Path, metadata: dict[str, str]) -> Position:
    try:
        return _POSITION.validate_json(metadata.get("position", ""))
    except pydantic.ValidationError as error:
        raise RunError(f"{path} is not a checkpoint: {explain(error)}") from error


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: x.shape for name, x in tensors.items()}


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
