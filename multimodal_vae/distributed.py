"""Several processes that train one model or generate together, by ``torch.distributed``; without effect on one process.

Started as ``torchrun --nproc-per-node 2 --no-python mmvae train ...``. Every process holds the whole model, draws the
same class-balanced batches and computes its shard of each; gradients are averaged over all processes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError, TrainingError


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0; process 0 writes the files."""
    return dist.get_rank() if world_size() > 1 else int(os.environ.get("RANK", "0"))


def wait() -> None:
    """Wait until all processes have reached this call."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def main_process_first() -> Iterator[None]:
    """Run a block in process 0, and then in the others."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


@contextmanager
def join_processes(device: torch.device, timeout: timedelta | None = None) -> Iterator[None]:
    """Connect the processes that ``torchrun`` started, within a block.

    Args:
        device: device on which they compute.
        timeout: how long one process may wait for another. Default: torch's, at most half an hour.

    Raises:
        TrainingError: if a process is lost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    try:
        yield
    except RuntimeError as error:
        if "peer" not in str(error) and "Gloo" not in str(error) and "NCCL" not in str(error):
            raise
        raise TrainingError("another process was lost; rerun the command to resume") from error
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Return this process's own accelerator on a machine that has several."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def wrap_model(vae: nn.Module) -> nn.Module:
    """Return a module whose backward pass averages gradients over all processes; on one process, the model itself.

    Batch norm normalizes by each process's own shard; the running statistics are those of process 0.
    """
    if world_size() == 1:
        return vae
    device = next(vae.parameters()).device
    # A hidden or absent modality may leave parameters without a gradient in one process and not in another.
    return nn.parallel.DistributedDataParallel(
        vae, device_ids=[device] if device.type == "cuda" else None, find_unused_parameters=True
    )


def require_even_shards(size: int) -> None:
    """Refuse a batch size that does not divide evenly, since the mean over unequal shards is not the batch's.

    Raises:
        ConfigurationError: naming both numbers.
    """
    if size % world_size():
        raise ConfigurationError(
            f"batches of {size} samples cannot be divided evenly among {world_size()} processes; change per_class"
        )


def shard(rows: Tensor) -> Tensor:
    """Return this process's rows of a batch; numbers of samples per class differ between processes by at most one."""
    return rows[rank() :: world_size()]


def gather(x: Tensor) -> Tensor:
    """Concatenate the rows of all processes, with gradients back to each; on one process, return ``x`` itself.

    Processes that share GPUs exchange tensors of the CPU through them, and wait for the result.

    Every process computes the same loss from the result, and the gradients of all are summed; averaging them over
    processes then yields the gradient of one loss.
    """
    if world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    device = local_device(torch.device("cuda")) if dist.get_backend() == "nccl" else x.device
    parts: tuple[Tensor, ...] = all_gather(x.to(device))  # type: ignore[no-untyped-call]
    return torch.cat(parts).to(x.device)


def any_process(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if world_size() == 1:
        return list(flags)
    values = torch.tensor([float(flag) for flag in flags], device=device)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return [bool(value) for value in values.tolist()]


def sum_over_processes(x: Tensor, device: torch.device) -> Tensor:
    """Return the sum over all processes."""
    if world_size() == 1:
        return x
    total = x.to(device, copy=True)
    dist.all_reduce(total)
    return total.to(x.device)


def broadcast_buffers(vae: nn.Module) -> None:
    """Copy the running statistics of process 0 to all processes, as the next step of :func:`wrap_model` would."""
    if world_size() > 1:
        for buffer in vae.buffers():
            dist.broadcast(buffer, 0)


def gather_list(state: Tensor, device: torch.device) -> list[Tensor]:
    """Return the tensors of all processes, by rank; all must have one shape."""
    if world_size() == 1:
        return [state]
    parts = [torch.empty_like(state, device=device) for _ in range(world_size())]
    dist.all_gather(parts, state.to(device))
    return [part.cpu() for part in parts]
