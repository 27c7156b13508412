"""Several processes that train one model or generate together, by torch's distributed engine; on one, nothing.

Started as ``torchrun --nproc-per-node 2 --no-python mmvae train ...``. Every process holds the whole model and draws
the same class-balanced batches, of which each takes its share; gradients are averaged over all.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError, TrainingError


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first one writes."""
    return dist.get_rank() if world() > 1 else int(os.environ.get("RANK", "0"))


def wait() -> None:
    """Go on when all processes have come this far."""
    if world() > 1:
        dist.barrier()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """A block that the other processes enter when the first one has left it."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


@contextmanager
def joined(device: torch.device, patience: timedelta | None = None) -> Iterator[None]:
    """Join the other processes that ``torchrun`` started, for the length of a block.

    Args:
        device: what they compute on.
        patience: how long one may wait for another; torch's own where it is None, half an hour or less.

    Raises:
        TrainingError: if one of them is lost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    try:
        yield
    except RuntimeError as error:
        if "peer" not in str(error) and "Gloo" not in str(error) and "NCCL" not in str(error):
            raise
        raise TrainingError("another of the processes was lost; start them again to go on") from error
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The accelerator of this process, where a machine has several."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def wrapped(vae: nn.Module) -> nn.Module:
    """The module whose forward averages gradients over all processes in its backward; itself on one process.

    Batch norm takes the statistics of each process's own share, and the first process's running ones are everyone's.
    """
    if world() == 1:
        return vae
    device = next(vae.parameters()).device
    # A hidden or absent modality may leave parameters without a gradient in one process and not in another.
    return nn.parallel.DistributedDataParallel(
        vae, device_ids=[device] if device.type == "cuda" else None, find_unused_parameters=True
    )


def require_shares(size: int) -> None:
    """Refuse batches that cannot be shared out evenly, since the mean of unequal shares' means is not the batch's.

    Raises:
        ConfigurationError: with both numbers.
    """
    if size % world():
        raise ConfigurationError(
            f"batches of {size} samples cannot be shared out evenly among {world()} processes; change per_class"
        )


def share(rows: Tensor) -> Tensor:
    """This process's share of a batch, which has as many samples of each class as any other's, or one more."""
    return rows[rank() :: world()]


def gathered(x: Tensor) -> Tensor:
    """All processes' rows, with gradients that reach whoever they come from; on one process, x itself.

    Each process computes the same loss of them, so the gradients that arrive are summed over all; averaging them over
    processes then gives those of one loss.
    """
    if world() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    parts: tuple[Tensor, ...] = all_gather(x)  # type: ignore[no-untyped-call]
    return torch.cat(parts)


def averaged(figures: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each figure over all processes."""
    if world() == 1:
        return dict(figures)
    values = torch.tensor(list(figures.values()), dtype=torch.float64, device=device)
    dist.all_reduce(values)
    return dict(zip(figures, (values / world()).tolist(), strict=True))


def any_of(truths: Sequence[bool], device: torch.device) -> list[bool]:
    """Of each whether it is true in any process."""
    if world() == 1:
        return list(truths)
    values = torch.tensor([float(truth) for truth in truths], device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return [bool(value) for value in values.tolist()]


def summed(x: Tensor, device: torch.device) -> Tensor:
    """The sum over all processes."""
    if world() == 1:
        return x
    total = x.to(device, copy=True)
    dist.all_reduce(total)
    return total.to(x.device)


def share_statistics(vae: nn.Module) -> None:
    """Give every process the first one's running statistics, as the next step of :func:`wrapped` would."""
    if world() > 1:
        for buffer in vae.buffers():
            dist.broadcast(buffer, 0)


def each(state: Tensor, device: torch.device) -> list[Tensor]:
    """Every process's tensor of one shape, by rank."""
    if world() == 1:
        return [state]
    parts = [torch.empty_like(state, device=device) for _ in range(world())]
    dist.all_gather(parts, state.to(device))
    return [part.cpu() for part in parts]
