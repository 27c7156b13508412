"""Griffe extension that converts reStructuredText roles in docstrings to the site's Markdown.

``:class:`` and similar roles become links if the site has a page for the name. Formulas become
MathML, which needs no script.
"""

import html
import re
from typing import Any

import griffe
from latex2mathml.converter import convert

MATH_BLOCK = re.compile(r"^( *)\.\. math:: (.*(?:\n\1 +\S.*)*)", re.MULTILINE)
MATH = re.compile(r":math:`([^`]+)`")
NAMED = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")


def as_markdown(text: str, scope: griffe.Object) -> str:
    """Convert the roles of a docstring to links and formulas.

    Args:
        text: the docstring.
        scope: object that the docstring belongs to; names are resolved from here.
    """
    text = MATH_BLOCK.sub(lambda match: match[1] + _formula(" ".join(match[2].split()), "block"), text)
    text = MATH.sub(lambda match: _formula(match[1]), text)
    return NAMED.sub(lambda match: _link(match[2], scope, short=bool(match[1])), text)


def _formula(tex: str, display: str = "inline") -> str:
    """Return MathML with Markdown's special characters escaped."""
    return convert(tex, display=display).replace("*", "&#42;").replace("_", "&#95;").replace("\\", "&#92;")


def _link(name: str, scope: griffe.Object, *, short: bool) -> str:
    """Return a link if the site documents the name, else the name."""
    label = html.escape(name.rpartition(".")[2] if short else name).replace("_", "&#95;")
    return f'<autoref identifier="{_path(name, scope)}" optional><code>{label}</code></autoref>'


def _path(name: str, scope: griffe.Object) -> str:
    """Return the full path of a name within a scope; methods of base classes count."""
    first, dot, rest = name.partition(".")
    if first in scope.all_members:
        return f"{scope.all_members[first].canonical_path}{dot}{rest}"
    try:
        path = scope.resolve(first)
    except griffe.NameResolutionError:
        return name
    return f"{path}{dot}{rest}"


class Roles(griffe.Extension):
    """Converts every docstring of a package after loading it."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Convert the docstrings of all members."""
        self._convert(pkg)

    def _convert(self, scope: griffe.Object) -> None:
        if scope.docstring:
            scope.docstring.value = as_markdown(scope.docstring.value, scope)
        for member in scope.members.values():
            if not member.is_alias:
                self._convert(member)
