"""MkDocs hook that fills the pages of the reference that list commands and settings, from the code itself."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer
from mkdocs.structure.pages import Page

from multimodal_vae import registry
from multimodal_vae.cli import app
from multimodal_vae.part_help import settings_of

CLASSES = {
    "modality": "modalities",
    "fusion": "fusions",
    "metric_loss": "metric_losses",
    "sampler": "samplers",
    "refiner": "refiners",
    "logger": "loggers",
}
"""Kind of part: page of its classes in reference/api."""


def commands() -> str:
    """Return Markdown of all commands: what each does, its arguments and options, an example."""
    return "\n\n".join(_command(command, path) for command, path in walk(typer.main.get_command(app), "mmvae"))


def walk(command: Any, path: str) -> Iterator[tuple[Any, str]]:
    """Yield a command and all commands in it, each with its full name."""
    yield command, path
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, f"{path} {name}")


def _command(command: Any, path: str) -> str:
    context = command.context_class(command, info_name=path)
    records = [each.get_help_record(context) for each in command.get_params(context)]
    rows = [_parameter(*record) for record in records if record and record[0] != "--help"]
    parts = [f"## {path}", _text(re.sub(r"\s*\n\s*", " ", command.help or ""))]
    parts += [_table(["argument or option", "default", "meaning"], rows)] if rows else []
    examples = re.findall(r"^ {2}(\S.*)$", command.epilog or "", re.MULTILINE)
    parts += ["\n".join(["```console", *(f"$ {each}" for each in examples), "```"])] if examples else []
    return "\n\n".join(parts)


def _parameter(name: str, words: str) -> list[str]:
    """Return the row of an argument or option, from its two columns in the help."""
    meaning, _, facts = words.removesuffix("]").partition("  [")
    default, limits = "", ""
    if said := re.fullmatch(r"(.*?) ?Default: (.+)\.", meaning):
        meaning, default = said.groups()
    for fact in facts.split("; ") if facts else []:
        if fact == "required":
            default = fact
        elif fact.startswith("default: "):
            default = f"`{fact.removeprefix('default: ')}`"
        else:
            limits = f" Range: `{fact}`."
    return [f"`{name}`", default if default.startswith("`") else _text(default), f"{_text(meaning)}{limits}"]


def settings() -> str:
    """Return Markdown of the settings of all installed parts, one table per kind."""
    parts = []
    for kind, page in CLASSES.items():
        rows = []
        for entry in registry.entries(kind):
            part: Any = registry.load(kind, entry.name)
            link = f"[`{entry.name}`](api/{page}.md#{part.__module__}.{part.__qualname__})"
            rows += [
                [link, f"`{each.name}`", _default(each.default), f"*{_text(each.type)}*<br>{_text(each.meaning)}"]
                for each in settings_of(part)
            ] or [[link, "none", "", ""]]
        table = _table(["name", "setting", "default", "type and meaning"], rows)
        parts += [f"## {kind.replace('_', ' ').capitalize()}", table]
    return "\n\n".join(parts)


def _default(default: str) -> str:
    return default if default in {"", "required"} else f"`{default}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _text(words: str) -> str:
    """Return words in which nothing is Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]|^~])", r"\\\1", html.escape(words, quote=False))


FILLED: dict[str, tuple[str, Callable[[], str]]] = {
    "reference/cli.md": ("<!-- commands -->", commands),
    "reference/settings.md": ("<!-- settings -->", settings),
}
"""Page: the line that is replaced, and what replaces it."""


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill a page that lists commands or settings."""
    if page.file.src_uri not in FILLED:
        return markdown
    mark, fill = FILLED[page.file.src_uri]
    before, _mark, after = markdown.partition(mark)
    return f"{before}{fill()}{after}"
