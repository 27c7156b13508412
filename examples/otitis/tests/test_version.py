"""The simulator is frozen: sources that were changed without raising the version fail here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import simulator
from simulator import SIMULATOR_VERSION, sources_sha256

RECORDED = {
    "2": "5cbc11de894993233a9453f0500d88b5993e842745cad41c2af27f980ef95790",
    "3": "1f479f581bb6e2c8ad2387d93cdd6a8b6dc9678b976b995be4ad3e5184234bd5",  # draws what version 2 drew
}
"""What each version's sources hash to. A changed simulator gets a new version and a new line; old lines stay."""


def test_the_sources_are_those_recorded_for_the_version() -> None:
    assert RECORDED.get(SIMULATOR_VERSION) == sources_sha256(), (
        f"the simulator's sources are not those of version {SIMULATOR_VERSION}: raise SIMULATOR_VERSION, run "
        f"the study's step calibration anew, and record {sources_sha256()}"
    )


def test_the_version_is_the_newest_recorded() -> None:
    assert max(RECORDED, key=int) == SIMULATOR_VERSION
    assert len(set(RECORDED.values())) == len(RECORDED)


def test_the_hash_sees_any_module_and_no_line_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "simulator"
    shutil.copytree(Path(simulator.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(simulator, "__file__", str(copied / "__init__.py"))

    def of_copy() -> str:
        sources_sha256.cache_clear()
        return sources_sha256()

    try:
        original = of_copy()
        for module in copied.glob("*.py"):
            module.write_bytes(module.read_bytes().replace(b"\n", b"\r\n"))
        assert of_copy() == original
        seen = {original}
        for module in sorted(copied.glob("*.py")):
            module.write_bytes(module.read_bytes() + b"PI = 3\n")
            seen.add(of_copy())
        assert len(seen) == 1 + len(list(copied.glob("*.py")))
    finally:
        sources_sha256.cache_clear()
