"""The training loop: one function an idea, one idea a step."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from multimodal_vae.data.batch import Batch
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, TrainingError
from multimodal_vae.model import MultimodalVAE, evaluating, seeded
from multimodal_vae.training.display import Display
from multimodal_vae.training.optimiser import adam
from multimodal_vae.training.precision import chosen_precision, training_in
from multimodal_vae.training.settings import Training


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: from 1.
        steps: optimiser steps since the start.
        training: ``loss`` and every term, means over the epoch's batches, with augmentation and corruption.
        validation: the same over the validation set, without; empty where there is none.
        seconds: wall-clock time of the epoch.
    """

    number: int
    steps: int
    training: dict[str, float]
    validation: dict[str, float]
    seconds: float

    @property
    def values(self) -> dict[str, float]:
        """The same as a logger takes it, by name."""
        return {
            "epoch": self.number,
            **{f"training.{term}": value for term, value in self.training.items()},
            **{f"validation.{term}": value for term, value in self.validation.items()},
            "clock.seconds": round(self.seconds, 3),
        }


def train(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    settings: Training,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    show: bool = True,
) -> None:
    """Train a model in place.

    Args:
        vae: the model; left on the CPU, in evaluation mode.
        data: training samples.
        validation: samples to evaluate the objective on after each epoch, if any.
        settings: how.
        on_epoch: called after each epoch.
        show: whether to show progress.

    Raises:
        TrainingError: if a term is not finite.
        KeyboardInterrupt: on Ctrl-C, with the model as it was after its last whole step.
    """
    vae.check(data)
    device = _device(settings.device)
    with seeded(settings.seed):
        vae.calibrate(data)
        batches = BalancedBatches(
            data.labels, data.classes, settings.per_class, torch.Generator().manual_seed(settings.seed)
        )
        vae.to(device).train()
        optimiser = adam(vae, settings.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(settings, settings.epochs * len(batches)))
        steps = 0
        try:
            precision = chosen_precision(settings.precision, settings.device)
            with training_in(vae, precision), Display(settings.epochs, len(batches), shown=show) as display:
                for number in range(1, settings.epochs + 1):
                    started = time.monotonic()
                    means: dict[str, float] = {}
                    for rows in batches:
                        figures = train_step(vae, data.batch(rows).to(device), optimiser)
                        schedule.step()
                        steps += 1
                        means = {key: means.get(key, 0.0) + value / len(batches) for key, value in figures.items()}
                        display.batch(number, figures)
                    checked = evaluate(vae, validation, settings.seed) if validation else {}
                    on_epoch(Epoch(number, steps, means, checked, time.monotonic() - started))
        finally:
            vae.to("cpu").eval()


def train_step(vae: MultimodalVAE, batch: Batch, optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Augment, corrupt, encode, fuse, decode, compare, and take one step; return the loss and its terms.

    Raises:
        TrainingError: naming the term that is not finite; the weights are as before.
    """
    with torch.no_grad():
        target = batch.with_samples(vae.augment(batch.samples))
        inputs = vae.corrupt(target.samples)
    terms = vae(target, inputs)
    loss = vae.objective.total(terms)
    figures = _figures(loss, terms)
    if not math.isfinite(figures["loss"]):
        at_fault = [name for name, value in figures.items() if name != "loss" and not math.isfinite(value)]
        raise TrainingError(
            f"the term {' and '.join(at_fault) or 'loss'} is not finite, in the batch of samples "
            f"{', '.join(list(batch.ids)[:3])}, ...; lower the learning rate, or look at those samples"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
    optimiser.step()
    return figures


def evaluate(vae: MultimodalVAE, data: MultimodalDataset, seed: int, batch_size: int = 256) -> dict[str, float]:
    """The objective and its terms over a whole set, without augmentation and with latents from a seed of their own."""
    sums: dict[str, float] = {}
    with evaluating(vae), seeded(seed):
        for rows in torch.split(torch.arange(len(data)), batch_size):
            terms = vae(data.batch(rows).to(vae.device))
            for key, value in _figures(vae.objective.total(terms), terms).items():
                sums[key] = sums.get(key, 0.0) + value * len(rows) / len(data)
    return sums


def _figures(loss: Tensor, terms: Mapping[str, Tensor]) -> dict[str, float]:
    values = torch.stack([loss.detach(), *(term.detach().mean() for term in terms.values())])
    return dict(zip(["loss", *terms], values.tolist(), strict=True))  # one transfer from the device, not one a term


def _schedule(settings: Training, steps: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < settings.warmup:
            return (step + 1) / (settings.warmup + 1)
        if settings.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - settings.warmup) / max(1, steps - settings.warmup)))

    return factor


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"the device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
