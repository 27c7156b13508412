"""The commands that list, explain, check and create parts; thin, as those of :mod:`multimodal_vae.cli`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from multimodal_vae import registry
from multimodal_vae.errors import PluginError, did_you_mean
from multimodal_vae.options import example, say


def plugins(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND] [NAME]", help="Kind of the parts to list, or name of one part to explain."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Import each part in a separate process and test it.")] = False,
) -> None:
    """List the installed parts, or explain one.

    With a NAME: what the part is, its settings, and its table in a recipe. The list imports no part without --check;
    with it, the exit code is 1 if a part is broken.
    """
    kind, name = _named(what or [])
    if name:
        from multimodal_vae.part_help import part_help

        part: Any = registry.load(kind or _only_kind(name), name)
        say(*part_help(part).split("\n"))
        return
    entries = registry.entries(kind)
    rows = [["kind", "name", "distribution", "version"]]
    rows += [[entry.kind, entry.name, entry.distribution, entry.version] for entry in entries]
    broken = False
    if check:
        states = registry.states_of(entries)
        rows = [[*row, state] for row, state in zip(rows, ["state", *states], strict=True)]
        unreadable = registry.unreadable_distributions()
        rows += [["-", "-", each.distribution, each.version, each.fault] for each in unreadable]
        broken = any(state not in (registry.WORKS, registry.RESTRICTED) for state in states) or any(
            each.offers_parts for each in unreadable
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if broken:
        raise typer.Exit(1)


def check(
    kind: Annotated[str, typer.Argument(help="modality, fusion, metric-loss, sampler, refiner or logger.")],
    name: Annotated[str, typer.Argument(help="Name of the part, as mmvae plugins lists it.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting, as in TOML; repeat for several."),
    ] = None,
) -> None:
    """Run the conformance tests, the laws, of one part."""
    from multimodal_vae.testing import LawBroken, laws
    from multimodal_vae.toml import parse_setting

    part_class: Any = registry.load(_kind(kind), name)
    part = part_class.of({"name": name, **dict(map(parse_setting, settings or []))})
    broken = 0
    for law in laws(part.kind):
        try:
            law(part)
        except LawBroken as error:
            broken += 1
            say(f"BROKEN  {law.name}: actual: {error.actual}; expected: {error.expected}")
        else:
            say(f"holds   {law.name}: {law.statement}")
    say(f"{part!r}: {len(laws(part.kind)) - broken} laws hold, {broken} broken")
    if broken:
        raise typer.Exit(1)


def new(
    kind: Annotated[str, typer.Argument(help="modality, fusion, metric-loss, sampler or refiner.")],
    name: Annotated[str, typer.Argument(help="Name of the part.")],
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: multimodal-vae-NAME.")] = None,
) -> None:
    """Create a plugin: a tested package with a working part.

    It installs and passes all conformance tests, for you to change.
    """
    from multimodal_vae.scaffold.distribution import new_distribution

    folder = new_distribution(kind, name, out)
    say(f'written: {folder}; next: pip install -e "{folder}[test]" && pytest {folder}')


def _named(words: list[str]) -> tuple[str | None, str | None]:
    """Return the kind and the name of parts that one or two words give."""
    if len(words) > 2:
        raise PluginError(f"{' '.join(words)!r} is no part; give a kind, a name, or a kind and a name")
    if len(words) == 1:
        kind = words[0].replace("-", "_")
        return (kind, None) if kind in registry.KINDS else (None, words[0])
    return (_kind(words[0]), words[1]) if words else (None, None)


def _only_kind(name: str) -> str:
    """Return the kind of the parts that have a name."""
    plain = name.rpartition(":")[2]
    kinds = {entry.kind for entry in registry.entries() if entry.name == plain}
    if not kinds:
        known = {entry.name for entry in registry.entries()} | set(registry.KINDS)
        raise PluginError(f"there is no part and no kind {name!r}; {did_you_mean(name, known)}")
    if len(kinds) > 1:
        raise PluginError(f"{name!r} is a {' and a '.join(sorted(kinds))}; write: mmvae plugins KIND {name}")
    return kinds.pop()


def _kind(word: str) -> str:
    kind = word.replace("-", "_")
    if kind not in registry.KINDS:
        raise PluginError(f"{word!r} is no kind of part; {did_you_mean(kind, registry.KINDS)}")
    return kind


COMMANDS: dict[Callable[..., Any], str] = {
    plugins: example("mmvae plugins", "mmvae plugins sampler", "mmvae plugins kde"),
    check: example("mmvae check modality signal --set length=64 --set channels=2"),
    new: example("mmvae new modality spectrum"),
}
"""The commands, with their examples."""
