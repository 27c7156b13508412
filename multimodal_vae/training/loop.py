"""The training loop: one function an idea, one idea a step."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal_vae import distributed
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, DataError, TrainingError, did_you_mean
from multimodal_vae.loggers.base import MEMORY
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import evaluating, seeded
from multimodal_vae.training.averaging import averaged_model, weight_average
from multimodal_vae.training.checkpoint import Position, TrainingState
from multimodal_vae.training.display import Display
from multimodal_vae.training.interruption import interruption
from multimodal_vae.training.memory import peak_gib
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import chosen_precision, training_in
from multimodal_vae.training.settings import EarlyStopping, Training


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: from 1.
        steps: optimizer steps since the start.
        training: ``loss`` and every term, means over the epoch's batches, with augmentation and corruption.
        validation: the same over the validation set, without; empty where there is none.
        seconds: wall-clock time of the epoch.
        memory: most memory that was taken until its end, in GiB; None where the system does not tell.
    """

    number: int
    steps: int
    training: dict[str, float]
    validation: dict[str, float]
    seconds: float
    memory: float | None

    @property
    def values(self) -> dict[str, float]:
        """The same as a logger takes it, by name."""
        memory = {} if self.memory is None else {MEMORY: round(self.memory, 3)}
        return {
            "epoch": self.number,
            **{f"training.{term}": value for term, value in self.training.items()},
            **{f"validation.{term}": value for term, value in self.validation.items()},
            "machine.seconds": round(self.seconds, 3),
            **memory,
        }


_APART = 1_000_003  # between the seeds of two processes


def train(
    vae: MultimodalVAE,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    settings: Training,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    show: bool = True,
    checkpoint: Path | None = None,
) -> None:
    """Train a model in place.

    Args:
        vae: the model; left on the CPU, in evaluation mode.
        data: training samples.
        validation: samples to evaluate the objective on after each epoch, if any.
        settings: how.
        on_epoch: called after each epoch.
        show: whether to show progress.
        checkpoint: a file; where it exists, the training goes on from there, and gives what it would have given
            uninterrupted, bit for bit on the same machine.

    Raises:
        DataError: if the data is not the model's, none of its samples has one of the modalities, or a sample lacks
            one that the fusion needs.
        TrainingError: if a term is not finite, or the figure of early stopping is none.
        RunError: if a checkpoint cannot be read or written.
        KeyboardInterrupt: on SIGTERM or Ctrl-C, after the step that was under way, with a checkpoint.
    """
    vae.check(data)
    _require_every_modality(data)
    _require_answers(vae, data)
    device = distributed.local_device(find_device(settings.device))
    with seeded(settings.seed), interruption() as asked:
        vae.calibrate(data)
        generator = torch.Generator().manual_seed(settings.seed)
        batches = BalancedBatches(data.labels, data.classes, settings.per_class, generator, settings.unlabeled)
        distributed.require_shares(sum(batches.counts))
        if distributed.world() > 1:  # the same batches for all, and to each its own noise
            torch.manual_seed(settings.seed + _APART * distributed.rank())
        vae.to(device).train()
        module = distributed.wrapped(vae)
        average = weight_average(vae, settings.average) if settings.average else None
        state = TrainingState(vae, adam(vae, settings.learning_rate), batches, average)
        if checkpoint and checkpoint.exists():
            state.restore(checkpoint)
        position, saved = state.position, time.monotonic()
        show = show and distributed.rank() == 0
        try:
            done = (position.epoch - 1) * len(batches) + position.batches
            precision = chosen_precision(settings.precision, settings.device)
            shown = Display(settings.epochs, len(batches), device, shown=show, done=done)
            with training_in(vae, precision), shown as display:
                started = time.monotonic()
                while position.epoch <= settings.epochs and not _exhausted(position, settings.early_stopping):
                    _advance(state, module, data, settings, display)
                    if position.batches == len(batches):
                        _finish_epoch(state, data, validation, settings, on_epoch, time.monotonic() - started)
                        started = time.monotonic()
                    due = time.monotonic() - saved >= settings.checkpoint_seconds
                    stop, due = distributed.any_of([bool(asked), due], device)
                    if checkpoint and (stop or due):
                        state.save(checkpoint)
                        saved = time.monotonic()
                    if stop:
                        raise KeyboardInterrupt
            vae.load_state_dict(state.best or _evaluated_model(state, data, settings.seed).state_dict())
        finally:
            vae.to("cpu").eval()


def _require_answers(vae: MultimodalVAE, data: MultimodalDataset) -> None:
    """Refuse samples that the fusion does not answer for, by name, before their turn comes in some later batch."""
    lacking = (~data.present.all(1)).nonzero()[:, 0].tolist()
    for row in {tuple(data.present[row].tolist()): row for row in reversed(lacking)}.values():  # one of each kind
        try:
            vae.embed(data.subset([row]))
        except DataError as error:
            raise DataError(
                f"{len(lacking)} of {len(data)} training samples lack a modality, such as {data.ids[row]!r}: {error}"
            ) from error


def _require_every_modality(data: MultimodalDataset) -> None:
    """Refuse to train networks of which nothing would be learned: they would still be asked, and answer noise."""
    for name, found in zip(data.modalities, data.present.any(0).tolist(), strict=True):
        if not found:
            raise DataError(
                f"no training sample has the modality {name!r}, so that nothing can be learned of it; leave it out of "
                "the model, or add samples that have it"
            )


def _advance(
    state: TrainingState, module: nn.Module, data: MultimodalDataset, settings: Training, display: Display
) -> None:
    """Take one step, from one batch or several, and count it."""
    position, total = state.position, len(state.batches)
    rate = settings.learning_rate * _share(settings, position.steps, settings.epochs * _steps_of_epoch(settings, total))
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    count = min(settings.accumulate, total - position.batches)
    device = state.vae.device
    batches = (data.batch(distributed.share(state.batches.draw())).to(device) for _ in range(count))
    kl_share = min(1.0, (position.steps + 1) / (settings.kl_warmup + 1))
    for figures in train_step(state.vae, batches, state.optimizer, count, settings.clip, kl_share, module):
        position.batches += 1
        for key, value in figures.items():
            position.sums[key] = position.sums.get(key, 0.0) + value / total
        display.batch(position.epoch, figures)
    position.steps += 1
    if state.average:
        state.average.update_parameters(state.vae)


def _finish_epoch(
    state: TrainingState,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    settings: Training,
    on_epoch: Callable[[Epoch], None],
    seconds: float,
) -> None:
    """Evaluate, hand the figures on, keep the best weights, and begin another epoch."""
    position, watched = state.position, settings.early_stopping
    checked, weights = dict[str, float](), dict[str, Tensor]()
    if validation is not None or watched is not None:
        model = _evaluated_model(state, data, settings.seed)
        if validation:
            distributed.share_statistics(model)  # of batch norm, which each process has its own of by now
            checked = evaluate(model, validation, settings.seed)
        if watched is not None:
            weights = {name: x.detach().cpu().clone() for name, x in model.state_dict().items()}
    epoch = Epoch(position.epoch, position.steps, dict(position.sums), checked, seconds, peak_gib(state.vae.device))
    on_epoch(epoch)
    if watched is not None:
        if watched.figure not in epoch.values:
            near = did_you_mean(watched.figure, epoch.values)
            raise TrainingError(f"early stopping watches {watched.figure!r}, which is no figure; {near}")
        value = epoch.values[watched.figure]
        if position.best is None or watched.better(value, position.best[0]):
            position.best = (value, position.epoch)
            state.best = weights
    position.next_epoch()


def _evaluated_model(state: TrainingState, data: MultimodalDataset, seed: int) -> MultimodalVAE:
    """Return the model to evaluate and to end with: the trained one, or the average of its weights."""
    return averaged_model(state.average, state.vae, data, seed) if state.average else state.vae


def _exhausted(position: Position, watched: EarlyStopping | None) -> bool:
    """Whether no better epoch has come for as long as patience lasts."""
    if watched is None or position.best is None:
        return False
    return position.epoch - 1 - position.best[1] >= watched.patience


def train_step(
    vae: MultimodalVAE,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    count: int = 1,
    clip: float | None = None,
    kl_share: float = 1.0,
    module: nn.Module | None = None,
) -> list[dict[str, float]]:
    """Augment, corrupt, encode, fuse, decode, compare, and take one step; return the loss and its terms, by batch.

    Args:
        vae: the model.
        batches: whose gradients, averaged, make the step.
        optimizer: of the model.
        count: of the batches.
        clip: greatest norm of the gradient.
        kl_share: of the KL divergence's weight that counts yet.
        module: what is called in place of the model, to share the step with other processes.

    Raises:
        TrainingError: naming the term that is not finite; the weights are as before.
    """
    optimizer.zero_grad(set_to_none=True)
    found = []
    for batch in batches:
        with torch.no_grad():
            target = batch.with_samples(vae.augment(batch.samples, batch.present))
            inputs = vae.corrupt(target.samples, batch.present)
        terms = (module or vae)(target, inputs, distributed.gathered)
        loss = vae.objective.total(terms, kl_share)
        figures = distributed.averaged(_figures(loss, terms), vae.device)
        _require_finite(figures, batch)
        (loss / count).backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        found.append(figures)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(vae.parameters(), clip)
    optimizer.step()
    return found


def _require_finite(figures: Mapping[str, float], batch: Batch) -> None:
    if not math.isfinite(figures["loss"]):
        at_fault = [name for name, value in figures.items() if name != "loss" and not math.isfinite(value)]
        raise TrainingError(
            f"the term {' and '.join(at_fault) or 'loss'} is not finite, in the batch of samples "
            f"{', '.join(list(batch.ids)[:3])}, ...; lower the learning rate, or look at those samples"
        )


def evaluate(vae: MultimodalVAE, data: MultimodalDataset, seed: int, batch_size: int = 256) -> dict[str, float]:
    """The objective and its terms over a whole set, without augmentation; shared out by batches among processes.

    Batch number *i* has latents from ``seed + i``, so that the figures do not depend on who evaluates it.
    """
    batches = torch.split(torch.arange(len(data)), batch_size)
    # A row a batch, each filled by one process: their sum is exact, and whatever is made of it the same for all.
    table = torch.zeros(len(batches), len(vae.metric_names), dtype=torch.float64)
    with evaluating(vae), seeded(seed):
        for number in distributed.share(torch.arange(len(batches))).tolist():
            torch.manual_seed(seed + number)
            terms = vae(data.batch(batches[number]).to(vae.device))
            found = _figures(vae.objective.total(terms), terms)
            table[number] = torch.tensor([found[name] for name in vae.metric_names], dtype=torch.float64)
    sizes = torch.tensor([len(rows) for rows in batches], dtype=torch.float64)
    means = (sizes / len(data)) @ distributed.summed(table, vae.device)
    return dict(zip(vae.metric_names, means.tolist(), strict=True))


def _figures(loss: Tensor, terms: Mapping[str, Tensor]) -> dict[str, float]:
    values = torch.stack([loss.detach(), *(term.detach().mean() for term in terms.values())])
    return dict(zip(["loss", *terms], values.tolist(), strict=True))  # one transfer from the device, not one a term


def _share(settings: Training, step: int, steps: int) -> float:
    """Share of the highest learning rate that a step takes, of so many in all."""
    if step < settings.warmup:
        return (step + 1) / (settings.warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - settings.warmup) / max(1, steps - settings.warmup)))


def _steps_of_epoch(settings: Training, batches: int) -> int:
    return -(-batches // settings.accumulate)


def find_device(name: str) -> torch.device:
    """The device of a name, ``"auto"`` being the first accelerator there is.

    Raises:
        ConfigurationError: if it cannot be used.
    """
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
