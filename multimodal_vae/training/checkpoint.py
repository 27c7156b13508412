"""All that the next step depends on, in one file, so that a training goes on as if nothing had happened.

The file is safetensors: weights, the optimizer's moments, random states, what waits to be drawn; with the position as
JSON in its header. It is written beside its place, flushed and renamed, so that there is always a whole one.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pydantic
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from multimodal_vae import distributed
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.errors import RunError
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.part import explain


@dataclass
class Position:
    """Where a training is.

    Attributes:
        epoch: that is being trained, from 1.
        batches: of this epoch that are done.
        steps: of the optimizer since the start.
        sums: of this epoch's figures so far.
        best: the best of the watched figure so far, and the epoch in which it was; None before there is one.
    """

    epoch: int = 1
    batches: int = 0
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: tuple[float, int] | None = None

    def next_epoch(self) -> None:
        """Begin another epoch."""
        self.epoch, self.batches, self.sums = self.epoch + 1, 0, {}


_POSITION = pydantic.TypeAdapter(Position)


@dataclass
class TrainingState:
    """What a checkpoint is made from, and what it is put back into.

    Attributes:
        vae: the model, with its weights and buffers.
        optimizer: with its moments.
        batches: with what waits to be drawn, and the state of its generator.
        position: where the training is.
        average: of the weights, where one is kept.
        best: weights of the best epoch so far; empty where none is kept.
    """

    vae: MultimodalVAE
    optimizer: torch.optim.Optimizer
    batches: BalancedBatches
    average: AveragedModel | None = None
    position: Position = field(default_factory=Position)
    best: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write a checkpoint in place of the last one.

        Raises:
            RunError: if it cannot be written; the last one is then still there.
        """
        device = self.vae.device
        randoms = {"cpu": torch.random.get_rng_state()}
        if device.type == "cuda":
            randoms["cuda"] = torch.cuda.get_rng_state(device)
        tensors = {
            f"random.{kind}.{rank}": each
            for kind, state in randoms.items()
            for rank, each in enumerate(distributed.each(state, device))
        }
        if distributed.rank() > 0:
            return
        tensors |= {f"model.{name}": x for name, x in self.vae.state_dict().items()}
        tensors |= {f"best.{name}": x for name, x in self.best.items()}
        tensors |= {f"average.{name}": x for name, x in (self.average.state_dict() if self.average else {}).items()}
        tensors |= {f"batches.{name}": x for name, x in self.batches.state().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(x) for name, x in moments.items()}
        write_tensors(path, tensors, {"position": json.dumps(asdict(self.position))})

    def restore(self, path: Path) -> None:
        """Take everything back, torch's random state included.

        Raises:
            RunError: if the file is damaged, or belongs to another training.
        """
        tensors, metadata = read_tensors(path)
        self.position = _position(path, metadata)
        try:
            self.vae.load_state_dict(_below("model.", tensors))
            self.best = _below("best.", tensors)
            if self.average:
                self.average.load_state_dict(_below("average.", tensors))
            self.batches.restore(_below("batches.", tensors))
            moments: dict[int, dict[str, Tensor]] = {}
            for name, x in _below("optimizer.", tensors).items():
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = x
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
            self._restore_random(_below("random.", tensors))
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(f"{path} is no checkpoint of this training: {str(error).splitlines()[-1]}") from error

    def _restore_random(self, states: dict[str, Tensor]) -> None:
        rank, device = distributed.rank(), self.vae.device
        if f"cpu.{rank}" in states:
            torch.random.set_rng_state(states[f"cpu.{rank}"])
        else:  # more processes than before: noise that none of the others has had
            torch.manual_seed(torch.initial_seed() + self.position.steps)
        if device.type == "cuda" and f"cuda.{rank}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{rank}"], device)


def read_position(path: Path) -> Position:
    """Where the training was when a checkpoint was written; its start where there is none.

    Raises:
        RunError: if the file is damaged.
    """
    return _position(path, read_tensors(path)[1]) if path.exists() else Position()


def _position(path: Path, metadata: dict[str, str]) -> Position:
    try:
        return _POSITION.validate_json(metadata.get("position", ""))
    except pydantic.ValidationError as error:
        raise RunError(f"{path} is no checkpoint: {explain(error)}") from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
