import io
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from multimodal_vae.training.display import LAST, Display
from multimodal_vae.training.memory import peak_gib
from multimodal_vae.training.settings import Length

CPU = torch.device("cpu")


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_is_counted_in_the_system_s_own_unit(monkeypatch, platform, unit):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=3 * 2**29 // unit))
    assert peak_gib(CPU) == 1.5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the same in another place")
def test_the_unit_is_that_in_which_linux_tells_the_same_elsewhere():
    kib = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    # A wrong unit is wrong by 1024; what a parent held, and how the kernel counts, by much less.
    assert 1 / 30 < peak_gib(CPU) / (kib / 2**20) < 30


def test_on_a_cuda_device_the_peak_is_the_device_s(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: {1: 5 * 2**29}[device.index])
    assert peak_gib(torch.device("cuda", 1)) == 2.5


def test_where_the_system_does_not_tell_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_gib(CPU) is None


@pytest.mark.parametrize(("peak", "said"), [(0.4125, "/s, 0.41 GiB, left"), (None, "/s, left")])
def test_progress_shows_memory_where_it_is_known(monkeypatch, peak, said):
    monkeypatch.setattr("multimodal_vae.training.display.peak_gib", lambda _: peak)
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Display(Length(6, 3), CPU, screen) as display:
        display.update(1, {"loss": 1.0})
    shown = screen.file.getvalue()
    assert said in shown
    assert ("GiB" in shown) == (peak is not None)


def test_the_first_batches_say_what_the_training_costs(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("multimodal_vae.training.display.time.monotonic", lambda: 60.0 * next(clock))
    monkeypatch.setattr("multimodal_vae.training.display.peak_gib", lambda _: 0.4125)
    screen = Console(file=io.StringIO(), width=200)
    length = Length(batches=70, per_epoch=35)
    with Display(length, CPU, screen, done=10, stopping="validation.loss") as display:
        for _ in range(LAST):
            display.update(1, {"loss": 1.0})
    # Each update looks at the clock twice, so a batch takes two of its minutes; 60 - 10 batches are left.
    expected = (
        "the training takes at most about 1.7 h on this machine (70 steps), with 0.41 GiB of memory so far; it ends "
        "earlier once validation.loss has settled\n"
    )
    assert screen.file.getvalue() == expected
    with Display(length, CPU, screen, show=False) as display:
        for _ in range(LAST):
            display.update(1, {"loss": 1.0})
    assert screen.file.getvalue() == expected


def test_batches_that_are_shown_together_say_the_same_cost(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("multimodal_vae.training.display.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("multimodal_vae.training.display.peak_gib", lambda _: None)
    screen = Console(file=io.StringIO(), width=200)
    with Display(Length(batches=75, per_epoch=15), CPU, screen) as display:
        for _ in range(5):
            clock[0] += 15 * 20.0  # a batch takes 20 seconds; 45 are left after the second epoch
            display.update(1, {"loss": 1.0}, 15)
    assert screen.file.getvalue() == "the training takes about 15 min on this machine (75 steps)\n"


def test_the_end_says_which_weights_the_model_has():
    screen = Console(file=io.StringIO(), width=200)
    for show in (True, False):
        Display(Length(70, 35), CPU, screen, show=show, stopping="validation.loss").chose(1, 2, -0.5)
    said = "the model has the weights of epoch 1 of 2, with the best validation.loss, -0.5000\n"
    assert screen.file.getvalue() == said
