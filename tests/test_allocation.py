"""Memory that a program frees stays with it, where the C library can be told so."""

import ctypes
import platform
import resource
from types import SimpleNamespace

import pytest
import torch

from multimodal_vae import allocation

KEPT = {
    allocation.TRIM_THRESHOLD: allocation.KEPT,
    allocation.TOP_PAD: allocation.ADDED,
}


@pytest.mark.parametrize(("most", "largest"), [(2**40, 2**30), (2**25, 2**25)])
def test_the_library_is_told_as_much_as_it_takes(monkeypatch, most, largest):
    told = {}

    def mallopt(parameter, value):
        if parameter == allocation.MMAP_THRESHOLD and value > most:
            return 0
        told[parameter] = value
        return 1

    monkeypatch.setattr(allocation.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert allocation.keep_freed_memory()
    assert told == KEPT | {allocation.MMAP_THRESHOLD: largest}


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_other_libraries_are_left_as_they_are(monkeypatch, system):
    monkeypatch.setattr(allocation.sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not allocation.keep_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc takes these settings")
def test_glibc_keeps_freed_memory():
    assert allocation.keep_freed_memory()
    torch.zeros(2**20).sum()  # later ones of this size take the same pages
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        torch.zeros(2**20).sum()
    pages = 100 * 4 * 2**20 / resource.getpagesize()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < pages / 4  # about all of them otherwise
