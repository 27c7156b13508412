"""A run folder from a stranger: whatever takes the place of a file, each command ends in one line or succeeds.

Each file and folder of a run is replaced in turn by a link, a pipe, an empty, a truncated, a huge and a hostile one,
and each command that uses it is run. Nothing outside the run may change.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

import multimodal_vae as mv
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.privacy import run_audit
from multimodal_vae.report import page, run_evaluation
from multimodal_vae.run import train_run
from stopping import stopped_after

Damage = Callable[[Path, Path], None]

OPENING = ("sample", "audit", "evaluate", "card")
FITTED = ("sample", "audit", "evaluate")
USES = {
    "config.toml": (*OPENING, "resume"),
    "environment.json": (*OPENING, "resume"),
    "status.json": (*OPENING, "resume"),
    "split.json": ("audit", "evaluate"),
    "model.safetensors": (*FITTED, "resume"),
    "checkpoint.safetensors": ("resume",),
    "log.jsonl": ("evaluate", "resume"),
    "timing.jsonl": ("resume",),
    "samplers": (*FITTED, "resume"),
    "samplers/auto.safetensors": (*FITTED, "resume"),
    "judges": ("evaluate",),
    "judges/judge.safetensors": ("evaluate",),
    "judges/judge.json": ("evaluate",),
    "judges/judge-1.safetensors": ("evaluate",),
    "metrics.json": ("evaluate", "card"),
    "privacy.json": ("audit", "evaluate", "card"),
    "metrics.csv": ("evaluate",),
    "report.html": ("evaluate",),
    "card.md": ("card",),
}
"""The commands that read or write each file and folder of a run."""


RECIPE = """
[data]
manifest = "manifest.csv"
split = [0.5, 0.0, 0.5]
cache = false
[modalities.blood]
name = "vector"
size = 2
hidden = 4
cell = "value"
[modalities.gait]
name = "vector"
size = 1
hidden = 4
cell = "value"
[model]
latent_dim = 2
fusion = "poe"
[training]
epochs = 2
per_class = 4
device = "cpu"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cohort and two runs: ``done``, also evaluated and audited, and ``stopped`` in its training."""
    root = tmp_path_factory.mktemp("strangers") / "root"
    (root / "cohort").mkdir(parents=True)
    rows = [f"s{n},p{n // 2},{'ab'[n % 2]},{n % 2} {n % 5},{n % 7}" for n in range(48)]
    table = "\n".join(["sample_id,patient_id,label,blood,gait", *rows, ""])
    (root / "cohort" / "manifest.csv").write_text(table, "utf-8")
    (root / "cohort" / "recipe.toml").write_text(RECIPE, "utf-8")
    recipe = mv.Configuration.read(root / "cohort" / "recipe.toml")
    run = train_run(recipe, root / "done", show=False)
    run_evaluation.write_evaluation(run, count=10)
    run_audit.audit_run(run)
    run_evaluation.write_card(run)
    with pytest.MonkeyPatch.context() as patched, stopped_after(3, patched), pytest.raises(mv.TrainingInterrupted):
        train_run(recipe, root / "stopped", show=False)
    mv.open_run(root / "stopped").synthesizer()
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> dict[tuple[Any, str], Any]:
    """The results of whatever takes long in evaluating and auditing, and uses no files."""
    run = mv.open_run(root / "done")
    metrics, evidence = run_evaluation.measure(run, count=10, resamples=2)
    return {
        (run_evaluation, "evaluate"): metrics["results"],
        (run_evaluation, "likelihood_metrics"): [],
        (run_audit, "audit"): run_audit.audit_run(run)[0],
        (page, "latent_map"): page.latent_map(run.model.modalities, evidence, 2),
        (page, "examples"): {},
        (page, "galleries"): {},
        (page, "_maps"): {},
    }


@pytest.fixture
def stranger(
    root: Path,
    results: dict[tuple[Any, str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mmvae: Callable[..., tuple[int, str, str]],
) -> Callable[..., tuple[int, str]]:
    """Damage a run of one's own, use it by one command, and return the exit code and what the command said."""
    for (module, function), result in results.items():
        monkeypatch.setattr(module, function, lambda *_, result=result, **__: result)
    shutil.copytree(root, tmp_path / "root")
    outside, cohort = tmp_path / "outside", tmp_path / "root" / "cohort"

    def use(place: str, command: str, damage: Damage, linked: bool = False) -> tuple[int, str]:
        run, out = tmp_path / "root" / "run", tmp_path / "out"
        for folder in (run, out, outside):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "root" / ("stopped" if command == "resume" else "done"), run)
        shutil.copytree(run, outside)  # links to it are links to valid files
        damage(run / place, outside / place)
        before = snapshot(outside, linked), snapshot(cohort)
        code, _, said = mmvae(
            *{
                "sample": ("sample", run, "--count", 2, "--out", out),
                "audit": ("audit", run),
                "evaluate": ("evaluate", run, "--count", 10),
                "card": ("card", run),
                "resume": ("train", cohort / "recipe.toml", "--out", run, "--quiet"),
            }[command]
        )
        assert (snapshot(outside, linked), snapshot(cohort)) == before, (
            f"{command} with another {place} changed something outside: {said}"
        )
        assert code in (0, 2), f"{command} with another {place} ended in {code}: {said}"
        notes = [line for line in said.splitlines() if not re.match(r"mmvae: note: |\w+: .*: \d+$", line)]
        assert len(notes) == (code == 2), f"{command} with another {place} said more than one line: {said}"
        return code, said

    return use


def snapshot(folder: Path, linked: bool = False) -> dict[str, tuple[object, ...]]:
    """Return type, mode, times and content of everything in a folder; a name less of a file is no change of it."""
    facts: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        found = os.lstat(path)
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(found.st_mode) else ""
        changed = 0 if linked else found.st_ctime_ns
        facts[str(path)] = (found.st_mode, found.st_mtime_ns, changed, content)
    return facts


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def to_the_outside(place: Path, outside: Path) -> None:
    remove(place)
    place.symlink_to(outside)


def relative(place: Path, outside: Path) -> None:
    remove(place)
    place.symlink_to(os.path.relpath(outside, place.parent), target_is_directory=outside.is_dir())


def dangling(place: Path, outside: Path) -> None:
    remove(place)
    place.symlink_to(outside.with_name("new"))


def to_itself(place: Path, _: Path) -> None:
    remove(place)
    place.symlink_to(place.name)


def pipe(place: Path, _: Path) -> None:
    remove(place)
    os.mkfifo(place)


def device(place: Path, _: Path) -> None:
    remove(place)
    place.symlink_to("/dev/zero")


def listener(place: Path, _: Path) -> None:
    remove(place)
    before = Path.cwd()
    os.chdir(place.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place.name)
    os.chdir(before)


def hard(place: Path, outside: Path) -> None:
    if place.is_file():
        place.unlink()
        place.hardlink_to(outside)


@pytest.mark.parametrize("place", USES)
@pytest.mark.parametrize("damage", [to_the_outside, relative, dangling, to_itself, pipe, device, listener])
def test_what_could_lead_out_of_a_run_is_refused_by_name(stranger, place, damage):
    for command in USES[place]:
        code, said = stranger(place, command, damage)
        assert code == 2
        assert f"run/{place} is a " in said
        assert "put a copy in its place" in said


@pytest.mark.parametrize("place", [name for name in USES if "." in name])
def test_the_other_name_of_a_file_is_not_written_to(stranger, place):
    for command in USES[place]:
        stranger(place, command, hard, linked=True)


def folder(place: Path, _: Path) -> None:
    remove(place)
    (place / "mine").mkdir(parents=True)


def empty(place: Path, _: Path) -> None:
    remove(place)
    place.touch()


def half(place: Path, _: Path) -> None:
    content = place.read_bytes() if place.is_file() else b""
    remove(place)
    place.write_bytes(content[: len(content) // 2])


def huge(place: Path, _: Path) -> None:
    """A terabyte of zeros that take no disk space."""
    remove(place)
    with open(place, "wb") as file:
        file.truncate(2**40)


def longer(place: Path, _: Path) -> None:
    """The same, with the file itself at the beginning."""
    if place.is_dir():
        remove(place)
    with open(place, "ab") as file:
        file.truncate(2**40)


def deep(place: Path, _: Path) -> None:
    remove(place)
    place.write_bytes(b'{"a": ' + b"[" * 100_000)


def garbage(place: Path, _: Path) -> None:
    remove(place)
    place.write_bytes(bytes(range(256)) * 8)


@pytest.mark.parametrize("place", USES)
@pytest.mark.parametrize("damage", [folder, empty, half, huge, longer, deep, garbage])
def test_a_file_of_other_content_ends_in_one_line(stranger, place, damage):
    for command in USES[place]:
        stranger(place, command, damage)


HOSTILE = [
    None,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    "",
    "../x\n\x1b[31m",
    True,
    [],
    [[]],
    {},
    {"name": "x"},
]


def with_another_value(content: object, number: int, value: object) -> object:
    """Return a copy of JSON or TOML data in which one value, or one list or table, is another."""
    count = 0

    def copied(each: object) -> object:
        nonlocal count
        count += 1
        if count == number:
            return value
        if isinstance(each, dict):
            return {key: copied(item) for key, item in each.items()}
        return [copied(item) for item in each] if isinstance(each, list) else each

    return copied(content)


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("config.toml", "card"),
        ("config.toml", "sample"),
        ("config.toml", "resume"),
        ("environment.json", "card"),
        ("environment.json", "resume"),
        ("status.json", "card"),
        ("status.json", "resume"),
        ("split.json", "evaluate"),
        ("metrics.json", "card"),
        ("privacy.json", "card"),
        ("judges/judge.json", "evaluate"),
        ("log.jsonl", "resume"),
        ("log.jsonl", "evaluate"),
    ],
)
def test_values_of_other_types_end_in_one_line(stranger, root, place, command):
    whole = (root / "done" / place).read_text("utf-8")
    first, rest = whole.split("\n", 1) if place == "log.jsonl" else (whole, "")
    content = tomllib.loads(first) if place == "config.toml" else json.loads(first)
    generator = torch.Generator().manual_seed(0)
    for value in HOSTILE:
        number = int(torch.randint(1, min(json.dumps(content).count(",") + 4, 120), (), generator=generator))
        other = with_another_value(content, number, value)
        if place == "config.toml":
            if not isinstance(other, dict) or value is None:
                continue
            text = tomli_w.dumps(other)
        else:
            text = f"{json.dumps(other)}\n{rest}"

        def damage(path: Path, _: Path, text: str = text) -> None:
            path.write_text(text, "utf-8")

        stranger(place, command, damage)


def tensors_of(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(path: Path, _: Path) -> None:
        tensors, facts = read_tensors(path)
        write_tensors(path, change(tensors), facts)
        description = path.with_suffix(".json")
        if description.exists():  # a judge's
            told = json.loads(description.read_text("utf-8"))
            told["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            description.write_text(json.dumps(told), "utf-8")

    return damage


CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "no elements": lambda x: x[:0] if x.dim() else x.reshape(1)[:0],
    "another dimension": lambda x: x[None],
    "a longer one": lambda x: torch.cat([x, x], -1) if x.dim() else torch.stack([x, x]),
    "a scalar": lambda x: x.sum(),
    "whole numbers": lambda x: x.to(torch.int64),
    "true and false": lambda x: x > 0,
    "complex numbers": lambda x: x.to(torch.complex64),
    "half precision": lambda x: x.to(torch.float16),
    "not finite": lambda x: x.float() * float("nan"),
    "infinite": lambda x: x.float() + float("inf"),
    "negative": lambda x: -x.float().abs() - 1,
    "huge": lambda x: x.float() * 1e30,
}


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("model.safetensors", "sample"),
        ("model.safetensors", "evaluate"),
        ("samplers/auto.safetensors", "sample"),
        ("checkpoint.safetensors", "resume"),
        ("judges/judge.safetensors", "evaluate"),
    ],
)
@pytest.mark.parametrize("change", CHANGES)
def test_tensors_of_other_shapes_types_and_values_end_in_one_line(stranger, place, command, change):
    stranger(place, command, tensors_of(lambda all_: {name: CHANGES[change](x) for name, x in all_.items()}))
    stranger(place, command, tensors_of(lambda all_: {**all_, max(all_): CHANGES[change](all_[max(all_)])}))


@pytest.mark.parametrize("place", [name for name in USES if name.endswith(".safetensors")])
def test_missing_and_unknown_tensors_end_in_one_line(stranger, place):
    for command in USES[place]:
        for change in (
            lambda _: {},
            lambda all_: dict([*all_.items()][1:]),
            lambda all_: all_ | {"0.x": torch.zeros(1), "x": torch.zeros(1)},
            lambda all_: {f"{name}.x": x for name, x in all_.items()},
        ):
            stranger(place, command, tensors_of(change))
