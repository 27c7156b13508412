"""An extension of Griffe: what docstrings say in reStructuredText's roles, as the site's Markdown has it.

``:class:`` and its like become links where the site has a page for what they name; formulas become MathML, which
browsers show without a script.
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
    """A docstring with its roles turned into links and formulas.

    Args:
        text: the docstring.
        scope: whose it is, from where names are looked up.
    """
    text = MATH_BLOCK.sub(lambda found: found[1] + _formula(" ".join(found[2].split()), "block"), text)
    text = MATH.sub(lambda found: _formula(found[1]), text)
    return NAMED.sub(lambda found: _link(found[2], scope, short=bool(found[1])), text)


def _formula(tex: str, display: str = "inline") -> str:
    """MathML in which Markdown finds nothing to do."""
    return convert(tex, display=display).replace("*", "&#42;").replace("_", "&#95;").replace("\\", "&#92;")


def _link(name: str, scope: griffe.Object, *, short: bool) -> str:
    """A link if the site has the place, and else only the name."""
    shown = html.escape(name.rpartition(".")[2] if short else name).replace("_", "&#95;")
    return f'<autoref identifier="{_path(name, scope)}" optional><code>{shown}</code></autoref>'


def _path(name: str, scope: griffe.Object) -> str:
    """The full name of what is named within a scope; a method may be that of the class, or of one of its bases."""
    first, dot, rest = name.partition(".")
    if first in scope.all_members:
        return f"{scope.all_members[first].canonical_path}{dot}{rest}"
    try:
        found = scope.resolve(first)
    except griffe.NameResolutionError:
        return name
    return f"{found}{dot}{rest}"


class Roles(griffe.Extension):
    """Turns every docstring of a package, once it is read as a whole."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Visit all that the package holds."""
        self._turn(pkg)

    def _turn(self, scope: griffe.Object) -> None:
        if scope.docstring:
            scope.docstring.value = as_markdown(scope.docstring.value, scope)
        for member in scope.members.values():
            if not member.is_alias:
                self._turn(member)
