"""Comparisons and checks that the laws share."""

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


def save_and_load(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors after saving them to safetensors and loading them."""
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}
    return safetensors.torch.load(safetensors.torch.save(plain))


def perturb(module: nn.Module) -> None:
    """Change all parameters a little, those that are zero too."""
    with torch.no_grad():
        for parameter in module.parameters():
            size = float(parameter.abs().mean()) if parameter.numel() else 0.0
            parameter.add_(0.1 * (size or 0.1) * torch.randn_like(parameter))


def same(first: Tensor, second: Tensor, tolerance: float = 0.0) -> bool:
    """Return whether two tensors are equal within a tolerance relative to their largest value."""
    first, second = first.detach(), second.detach()
    if first.shape != second.shape:
        return False
    if not first.is_floating_point():
        return torch.equal(first, second)
    scale = 1 + max(float(first.abs().max()), float(second.abs().max())) if first.numel() else 1.0
    return bool(((first == second) | ((first - second).abs() <= tolerance * scale)).all())  # infinities can be equal


def difference(first: Tensor, second: Tensor) -> str:
    """Describe the largest difference between two tensors."""
    if first.shape != second.shape:
        return f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
    return f"a difference of {float((first.detach().double() - second.detach().double()).abs().max()):.3g}"


def expect_gradients(module: nn.Module, what: str) -> None:
    """Require a finite gradient of every parameter."""
    for name, parameter in module.named_parameters():
        expect(parameter.grad is not None, f"no gradient for {name!r} of {what}", "a gradient for every parameter")
        if parameter.grad is not None:
            finite = bool(parameter.grad.isfinite().all())
            expect(finite, f"a gradient of {name!r} of {what} that is not finite", "a finite gradient")


def expect_device_followed(run: Callable[[], Any]) -> None:
    """Require that a computation on the device "meta" uses no tensor of the CPU.

    An operation that needs values, which meta tensors lack, ends the computation without a fault.
    """
    try:
        run()
    except NotImplementedError:
        return
    except RuntimeError as error:
        if "not on the expected device" in str(error) or "same device" in str(error):
            raise LawBroken(str(error), "new tensors on the device of the input") from error
        if "meta tensor" not in str(error):
            raise


def _globals() -> dict[str, Any]:
    state = {
        "working directory": os.getcwd(),
        "environment": dict(os.environ),
        "Python's random state": random.getstate(),
        "numpy's random state": str(np.random.get_state()),  # noqa: NPY002  (checks the global generator)
        "numpy's error handling": np.geterr(),
        "warning filters": list(warnings.filters),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }
    if "matplotlib" in sys.modules:
        state["matplotlib's settings"] = dict(sys.modules["matplotlib"].rcParams)
    if "matplotlib.pyplot" in sys.modules:
        state["pyplot's open figures"] = sys.modules["matplotlib.pyplot"].get_fignums()
    return state


@contextmanager
def nothing_global_changes() -> Iterator[None]:
    """Require that a block changes no global state other than torch's random state, from which it may draw."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        # From a random state: a part that seeds would leave a known one unchanged the second time.
        random.seed()
        np.random.seed()  # noqa: NPY002
        before = _globals()
        yield
        after = _globals()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    for what, value in before.items():
        expect(after[what] == value, f"changed {what}", "no change of global state")


def expect_no_reseeding(run: Callable[[], Any]) -> None:
    """Require that a computation does not seed torch's generator."""
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        run()
        ends.append(torch.random.get_rng_state())
    expect(
        not torch.equal(*ends),
        "the same random state of torch after different seeds",
        "draws from torch's generator without seeding it",
    )
