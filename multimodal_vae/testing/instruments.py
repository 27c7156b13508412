"""What the laws measure with."""

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from multimodal_vae.testing.law import LawBroken, expect


def through_a_file(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they come back from a safetensors file."""
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}
    return safetensors.torch.load(safetensors.torch.save(plain))


def stir(module: nn.Module) -> None:
    """Move parameters a little off their initial values, zeros too."""
    with torch.no_grad():
        for parameter in module.parameters():
            size = float(parameter.abs().mean()) if parameter.numel() else 0.0
            parameter.add_(0.1 * (size or 0.1) * torch.randn_like(parameter))


def same(first: Tensor, second: Tensor, tolerance: float = 0.0) -> bool:
    """Whether two tensors agree, within a tolerance relative to the larger value."""
    first, second = first.detach(), second.detach()
    if first.shape != second.shape:
        return False
    if not first.is_floating_point():
        return torch.equal(first, second)
    scale = 1 + max(float(first.abs().max()), float(second.abs().max())) if first.numel() else 1.0
    return bool(((first - second).abs() <= tolerance * scale).all())


def farthest(first: Tensor, second: Tensor) -> str:
    """How far two tensors are from each other, for a message."""
    if first.shape != second.shape:
        return f"the shapes {tuple(first.shape)} and {tuple(second.shape)}"
    return f"a difference of {float((first.detach().double() - second.detach().double()).abs().max()):.3g}"


def expect_gradients(module: nn.Module, what: str) -> None:
    """Hold that every parameter takes part in what was differentiated."""
    for name, parameter in module.named_parameters():
        expect(parameter.grad is not None, f"no gradient for {name!r} of {what}", "every parameter is used")
        if parameter.grad is not None:
            finite = bool(parameter.grad.isfinite().all())
            expect(finite, f"a gradient for {name!r} of {what} that is not finite", "a finite gradient")


def expect_device_followed(run: Callable[[], Any]) -> None:
    """Hold that a computation on the device "meta" meets no tensor of the CPU.

    What a meta tensor cannot do because it has no values is no fault, and ends the trial.
    """
    try:
        run()
    except NotImplementedError:
        return
    except RuntimeError as error:
        if "not on the expected device" in str(error) or "same device" in str(error):
            raise LawBroken(str(error), "tensors made on the way are made on the device of the input") from error
        if "meta tensor" not in str(error):
            raise


def _globals() -> dict[str, Any]:
    state = {
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "Python's random state": random.getstate(),
        "numpy's random state": str(np.random.get_state()),  # noqa: NPY002  (the global one is what is watched)
        "numpy's error handling": np.geterr(),
        "the filters of warnings": list(warnings.filters),
        "torch's default type": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "whether torch takes gradients": torch.is_grad_enabled(),
        "whether torch is deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if "matplotlib" in sys.modules:
        state["matplotlib's settings"] = dict(sys.modules["matplotlib"].rcParams)
    if "matplotlib.pyplot" in sys.modules:
        state["pyplot's open figures"] = sys.modules["matplotlib.pyplot"].get_fignums()
    return state


@contextmanager
def nothing_global_changes() -> Iterator[None]:
    """Hold that a block leaves the process as it was, torch's random state aside, which may be drawn from."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        # From a state that no part can know, or one that seeds would go unnoticed the second time.
        random.seed()
        np.random.seed()  # noqa: NPY002
        before = _globals()
        yield
        after = _globals()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    for what, value in before.items():
        expect(after[what] == value, f"{what} changed", "what belongs to the whole process stays as it is")


def expect_no_reseeding(run: Callable[[], Any]) -> None:
    """Hold that a computation draws from torch's generator at most, and never seeds it."""
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        run()
        ends.append(torch.random.get_rng_state())
    expect(
        not torch.equal(*ends),
        "torch's random state is the same after it, whatever it was before",
        "torch's generator is drawn from, never seeded: the core seeds it",
    )
