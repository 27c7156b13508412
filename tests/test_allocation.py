"""Memory that a command frees stays with it, where the C library can be told so."""

import ctypes

import pytest

from multimodal_vae import allocation


class Library:
    """A C library that records what it is told."""

    def __init__(self, settings=None):
        self.settings = settings
        if settings is not None:
            self.mallopt = lambda parameter, value: settings.update({parameter: value}) or 1


@pytest.mark.parametrize(
    ("system", "library", "expected"),
    [
        (
            "linux",
            Library({}),
            {allocation.TRIM_THRESHOLD: allocation.KEPT, allocation.MMAP_THRESHOLD: allocation.KEPT},
        ),
        ("linux", Library(), None),
        ("darwin", Library({}), {}),
    ],
)
def test_the_library_is_told_once_per_setting_where_it_can_be(monkeypatch, system, library, expected):
    monkeypatch.setattr(allocation.sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    allocation.keep_freed_memory()
    assert library.settings == expected
