"""The training loop, from a whole training down to one step."""

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal_vae import distributed
from multimodal_vae.allocation import keep_freed_memory
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.batches import BalancedBatches
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import ConfigurationError, DataError, TrainingError, did_you_mean
from multimodal_vae.loggers.base import MEMORY
from multimodal_vae.model import MultimodalVAE
from multimodal_vae.scopes import evaluating, seeded
from multimodal_vae.trainable import Trainable
from multimodal_vae.training.averaging import averaged_model, estimate_statistics, weight_average
from multimodal_vae.training.batch_metrics import BatchMetrics, reading_interval, require_finite_metrics, stack_metrics
from multimodal_vae.training.checkpoint import Position, TrainingState
from multimodal_vae.training.display import Display
from multimodal_vae.training.interruption import StopRequest, catch_signals
from multimodal_vae.training.memory import peak_gib
from multimodal_vae.training.noise import measure_noise
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.precision import resolve_precision, train_precision
from multimodal_vae.training.settings import WARMUP, Length, Training
from multimodal_vae.training.staging import loader
from multimodal_vae.training.threads import LEAST_BATCHES, suitable_threads, use_threads


@dataclass(frozen=True)
class Epoch:
    """Metrics of one epoch.

    Attributes:
        number: number of the epoch, from 1.
        steps: optimizer steps since the start.
        training: ``loss`` and its terms, means over the epoch's batches, with augmentation and corruption.
        validation: ``loss`` and its terms on the validation set, without augmentation; empty without such a set.
        seconds: wall-clock time of the epoch.
        memory: peak memory so far, in GiB; None where the system does not report it.
    """

    number: int
    steps: int
    training: dict[str, float]
    validation: dict[str, float]
    seconds: float
    memory: float | None

    @property
    def values(self) -> dict[str, float]:
        """All values by name, as loggers take them."""
        memory = {} if self.memory is None else {MEMORY: round(self.memory, 3)}
        return {
            "epoch": self.number,
            **{f"training.{term}": value for term, value in self.training.items()},
            **{f"validation.{term}": value for term, value in self.validation.items()},
            "machine.seconds": round(self.seconds, 3),
            "machine.threads": torch.get_num_threads(),
            **memory,
        }


_SEED_STRIDE = 1_000_003  # between the seeds of two processes
_ENOUGH, _MOST_DRAWS = 256, 8  # latents of a validation set, and draws of latents per sample of a small one


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
        vae: the model; moved to the CPU and set to evaluation mode at the end.
        data: training samples.
        validation: samples on which to evaluate the objective after each epoch, if any.
        settings: settings of the training, :meth:`~multimodal_vae.training.settings.Training.resolved`.
        on_epoch: called after each epoch.
        show: whether to show progress.
        checkpoint: file to write checkpoints to. If it exists, training resumes from it; on the same machine the result
            is bit-identical to an uninterrupted training.

    Raises:
        DataError: if the data does not match the model, no sample has some modality, or a sample lacks a modality
            that the fusion needs.
        TrainingError: if a term is not finite, or early stopping watches an unknown metric.
        RunError: if a checkpoint cannot be read or written.
        KeyboardInterrupt: on SIGTERM or Ctrl-C, after the current step and a checkpoint.
    """
    vae.check(data)
    _require_every_modality(data)
    _require_encodable(vae, data)
    with seeded(settings.seed), catch_signals() as stop_requested:
        vae.calibrate(data)
        minimize(vae, data, validation, settings, stop_requested, on_epoch, show, checkpoint)
        measure_noise(vae, data, settings.seed)


def minimize(
    model: Trainable,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    settings: Training,
    stop_requested: StopRequest,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    show: bool = True,
    checkpoint: Path | None = None,
    what: str = "the training",
) -> None:
    """Minimize the loss of a model in place, with torch's generator as the caller seeded it.

    Arguments, other than these, and errors are those of :func:`train`.

    Args:
        model: what is trained; moved to the CPU and set to evaluation mode at the end.
        data: training samples.
        validation: samples on which to evaluate the loss after each epoch, if any.
        settings: settings of the training.
        stop_requested: whether to stop after the current step.
        on_epoch: called after each epoch.
        show: whether to show progress.
        checkpoint: file to write checkpoints to.
        what: what is trained, as the progress names it.
    """
    device = distributed.local_device(find_device(settings.device))
    generator = torch.Generator().manual_seed(settings.seed)
    batches = BalancedBatches(data.labels, data.classes, settings.per_class or 2, generator, settings.unlabeled)
    length = settings.length(len(batches))
    distributed.require_even_shards(sum(batches.counts))
    if distributed.world_size() > 1:  # processes draw the same batches, but different noise
        torch.manual_seed(settings.seed + _SEED_STRIDE * distributed.rank())
    keep_freed_memory()
    model.to(device).train()
    module = distributed.wrap_model(model)
    average = weight_average(model, settings.average) if settings.average else None
    state = TrainingState(model, adam(model, settings.learning_rate), batches, length.per_epoch, average)
    if checkpoint and checkpoint.exists():
        state.restore(checkpoint)
    metrics = BatchMetrics(state.optimizer, model.device, reading_interval(state.optimizer, model.device))
    position, saved = state.position, time.monotonic()
    show = show and distributed.rank() == 0
    try:
        done = (position.epoch - 1) * length.per_epoch + position.batches
        precision = resolve_precision(settings.precision, settings.device)
        watched = settings.early_stopping.metric if settings.early_stopping else None
        display = Display(length, device, show=show, done=done, stopping=watched, what=what)
        with train_precision(model, precision):
            position.threads = position.threads or _threads(model, data, settings, length)
        with train_precision(model, precision), use_threads(position.threads), display:
            started, load = time.monotonic(), loader(data, model.device)
            while position.epoch <= length.epochs and not _out_of_patience(position, settings, length):
                _record(position, length, display, _take_step(state, module, load, settings, length, metrics))
                if position.batches == length.batches_in(position.epoch):
                    _record(position, length, display, metrics.read())
                    _finish_epoch(state, data, validation, settings, on_epoch, time.monotonic() - started)
                    started = time.monotonic()
                due = time.monotonic() - saved >= settings.checkpoint_seconds
                stop, due = distributed.any_process([bool(stop_requested), due], device)
                if checkpoint and (stop or due):
                    _record(position, length, display, metrics.read())
                    state.save(checkpoint)
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
        model.load_state_dict(state.best or _evaluated_model(state, data, settings.seed).state_dict())
        if position.best is not None:
            display.chose(position.best[1], position.epoch - 1, position.best[0])
        if state.average:
            estimate_statistics(model, data, settings.seed)
        model.require_finite_weights()  # the last step may have spoiled them
    finally:
        model.to("cpu").eval()


def _threads(model: Trainable, data: MultimodalDataset, settings: Training, length: Length) -> int:
    """Return the number of threads of a training: as set, or measured on a copy, which leaves no trace."""
    most = torch.get_num_threads()
    if settings.threads != "auto":
        return settings.threads
    if most == 1 or length.batches < LEAST_BATCHES or model.device.type != "cpu" or distributed.world_size() > 1:
        return most
    trial = copy.deepcopy(model)
    optimizer, generator = adam(trial, settings.learning_rate), torch.Generator().manual_seed(settings.seed)
    batches = BalancedBatches(data.labels, data.classes, settings.per_class or 2, generator, settings.unlabeled)
    with seeded(settings.seed):
        return suitable_threads(lambda: train_step(trial, [data.batch(batches.draw())], optimizer), most)


def _require_encodable(vae: MultimodalVAE, data: MultimodalDataset) -> None:
    """Raise DataError for samples that the fusion cannot encode, before a later batch would."""
    incomplete = (~data.present.all(1)).nonzero()[:, 0].tolist()
    rows_by_mask = {tuple(data.present[row].tolist()): row for row in reversed(incomplete)}
    for row in rows_by_mask.values():
        try:
            vae.embed(data.subset([row]))
        except DataError as error:
            raise DataError(
                f"{len(incomplete)} of {len(data)} training samples lack a modality, such as {data.ids[row]!r}: {error}"
            ) from error


def _require_every_modality(data: MultimodalDataset) -> None:
    """Raise DataError for a modality without samples: its networks would stay untrained and decode to noise."""
    for name, available in zip(data.modalities, data.present.any(0).tolist(), strict=True):
        if not available:
            raise DataError(
                f"no training sample has the modality {name!r}; remove it from the model, or add samples that have it"
            )


def _take_step(
    state: TrainingState,
    module: nn.Module,
    load: Callable[[Tensor], Batch],
    settings: Training,
    length: Length,
    metrics: BatchMetrics,
) -> list[dict[str, float]]:
    """Take one optimizer step, on one or several batches, advance the position, and return what metrics were read."""
    position = state.position
    factor = _rate_factor(settings, position.steps, length.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor
    count = min(settings.accumulate, length.batches_in(position.epoch) - position.batches)
    batches = (load(distributed.shard(state.batches.draw())) for _ in range(count))
    kl_share = min(1.0, (position.steps + 1) / (settings.kl_warmup + 1))
    clip = settings.clip or None
    read = train_step(state.model, batches, state.optimizer, count, clip, kl_share, module, metrics)
    position.batches += count
    position.steps += 1
    if state.average:
        state.average.update_parameters(state.model)
    return read


def _record(position: Position, length: Length, display: Display, read: list[dict[str, float]]) -> None:
    """Add metrics of batches to those of the epoch, and show them."""
    for metrics in read:
        for name, value in metrics.items():
            position.sums[name] = position.sums.get(name, 0.0) + value / length.batches_in(position.epoch)
    if read:
        display.update(position.epoch, read[-1], len(read))


def _finish_epoch(
    state: TrainingState,
    data: MultimodalDataset,
    validation: MultimodalDataset | None,
    settings: Training,
    on_epoch: Callable[[Epoch], None],
    seconds: float,
) -> None:
    """Evaluate, report the epoch, keep the best weights, and begin the next epoch."""
    position, stopping = state.position, settings.early_stopping or None
    validated, weights = dict[str, float](), dict[str, Tensor]()
    if validation is not None or stopping is not None:
        model = _evaluated_model(state, data, settings.seed)
        if validation:
            distributed.broadcast_buffers(model)  # batch-norm statistics differ between processes
            draws = min(_MOST_DRAWS, math.ceil(_ENOUGH / len(validation)))  # few samples alone would be noisy
            validated = evaluate(model, validation, settings.seed, draws=draws)
        if stopping is not None:
            weights = {name: x.detach().cpu().clone() for name, x in model.state_dict().items()}
    epoch = Epoch(position.epoch, position.steps, dict(position.sums), validated, seconds, peak_gib(state.model.device))
    on_epoch(epoch)
    if stopping is not None:
        if stopping.metric not in epoch.values:
            near = did_you_mean(stopping.metric, epoch.values)
            raise TrainingError(f"early stopping watches {stopping.metric!r}, but there is no such metric; {near}")
        value = epoch.values[stopping.metric]
        if position.best is None or stopping.is_better(value, position.best[0]):
            position.best = (value, position.epoch)
            state.best = weights
    position.next_epoch()


def _evaluated_model(state: TrainingState, data: MultimodalDataset, seed: int) -> Trainable:
    """Return the model that is evaluated and kept: the trained one, or the average of its weights."""
    return averaged_model(state.average, state.model, data, seed) if state.average else state.model


def _out_of_patience(position: Position, settings: Training, length: Length) -> bool:
    """Return whether ``patience`` epochs have passed without a better one."""
    stopping = settings.early_stopping
    if not stopping or position.best is None:
        return False
    return position.epoch - 1 - position.best[1] >= stopping.patience_of(length.epochs)


def train_step(
    model: Trainable,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    count: int = 1,
    clip: float | None = None,
    kl_share: float = 1.0,
    module: nn.Module | None = None,
    metrics: BatchMetrics | None = None,
) -> list[dict[str, float]]:
    """Take one optimizer step: augment, corrupt, compute the loss, and update the weights.

    Args:
        model: the model, in training mode.
        batches: batches whose gradients are averaged.
        optimizer: optimizer of the model's parameters.
        count: number of batches.
        clip: maximum norm of the gradient. Default: no clipping.
        kl_share: factor on the KL weight, below 1 during warm-up.
        module: module to call instead of the model, which shares the step with other processes.
        metrics: metrics of earlier steps on the device. Default: each batch is read.

    Returns:
        The loss and its terms of each batch that was read.

    Raises:
        TrainingError: naming the first term that was read and is not finite; the weights are those before its step.
    """
    metrics = metrics or BatchMetrics(optimizer, model.device)
    optimizer.zero_grad(set_to_none=True)
    read = []
    for batch in batches:
        with torch.no_grad():
            target = batch.with_samples(model.augment(batch.samples, batch.present))
            inputs = model.corrupt(target.samples, batch.present)
        terms = (module or model)(target, inputs, distributed.gather)
        loss = model.total(terms, kl_share)
        read += metrics.add(loss, terms, batch.ids)
        (loss / count).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return read


def evaluate(
    model: Trainable, data: MultimodalDataset, seed: int, batch_size: int = 256, draws: int = 1
) -> dict[str, float]:
    """Return the loss and its terms over a data set, without augmentation; processes share the batches.

    Latents of batch *i* are drawn with ``seed + i``, so the result does not depend on the number of processes.

    Args:
        model: the model.
        data: the samples.
        seed: seed of the latents.
        batch_size: number of samples per batch.
        draws: number of latents per sample over which the terms are averaged.

    Raises:
        TrainingError: naming the term that is not finite.
    """
    batches = torch.split(torch.arange(len(data)), batch_size) * draws
    # Each row is filled by one process and zero elsewhere, so the sum over processes is exact.
    table = torch.zeros(len(batches), len(model.metric_names), dtype=torch.float64)
    with evaluating(model), seeded(seed):
        for number in distributed.shard(torch.arange(len(batches))).tolist():
            torch.manual_seed(seed + number)
            terms = model(data.batch(batches[number]).to(model.device))
            metrics = dict(zip(["loss", *terms], stack_metrics(model.total(terms), terms).tolist(), strict=True))
            table[number] = torch.tensor([metrics[name] for name in model.metric_names], dtype=torch.float64)
    sizes = torch.tensor([len(rows) for rows in batches], dtype=torch.float64)
    means = (sizes / sizes.sum()) @ distributed.sum_over_processes(table, model.device)
    metrics = dict(zip(model.metric_names, means.tolist(), strict=True))
    require_finite_metrics(metrics, data.ids)
    return metrics


def _rate_factor(settings: Training, step: int, steps: int) -> float:
    """Return the factor on the learning rate in one of ``steps`` steps."""
    warmup = min(WARMUP, steps // 10) if settings.warmup is None else settings.warmup
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def find_device(name: str) -> torch.device:
    """Return a device by name; ``"auto"`` is the first accelerator, or else the CPU.

    Raises:
        ConfigurationError: if it cannot be used.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).tolist()  # the device "meta" has no values
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigurationError(
            f"the device {name!r} cannot be used: {str(error).splitlines()[0]}; give cpu, cuda, mps or auto"
        ) from error
    return device
