"""What a part is, its settings in words, and its table in a recipe, all from its class."""

import ast
import doctest
import inspect
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from multimodal_vae import registry
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.part import Part, plain, schema_of

SECTIONS = {
    "modality": "[modalities.NAME]",
    "fusion": "[model.fusion]",
    "metric_loss": "[model.metric_loss]",
    "sampler": "[density.sampler]",
    "refiner": "[refinement.refiners.NAME]",
    "logger": "[[training.loggers]]",
}
"""Header of a part's table in a recipe, by kind."""

_SYMBOLS = {
    "alpha": "\N{GREEK SMALL LETTER ALPHA}",
    "delta": "δ",
    "varepsilon": "ε",
    "rho": "\N{GREEK SMALL LETTER RHO}",
    "tau": "τ",
    "sum": "Σ",
    "le": "≤",
}
"""Unicode symbols of LaTeX commands."""

_WIDTH = 88
_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


@dataclass(frozen=True)
class Setting:
    """One setting of a part, in words.

    Attributes:
        name: name of the constructor's parameter.
        type: type and limits.
        default: default in TOML; ``"required"`` for a setting without one, ``""`` for one whose default is ``None``.
        meaning: what the docstring says about it.
    """

    name: str
    type: str
    default: str
    meaning: str


def settings_of(part: type[Part]) -> list[Setting]:
    """Return the settings of a part, in the order of its constructor.

    Example:
        >>> from multimodal_vae import PoE
        >>> [(each.name, each.type, each.default) for each in settings_of(PoE)]
        [('random_subsets', 'whole number of at least 0', '0')]
    """
    types, meanings = _types(part), _meanings(inspect.getdoc(part) or "")
    defaults = schema_of(part)[1].items()
    return [Setting(name, types[name], _default(default), meanings.get(name, "")) for name, default in defaults]


def part_help(part: type[Part]) -> str:
    """Return the help of a part: what it is; type, default and meaning of each setting; and its table in a recipe.

    Example:
        >>> from multimodal_vae import PoE
        >>> print(part_help(PoE))  # doctest: +ELLIPSIS
        fusion poe
        ...
        Settings:
          random_subsets (whole number of at least 0; default 0)
        ...
        In a recipe:
          [model.fusion]
          name = "poe"
          random_subsets = 0
    """
    text, settings = inspect.getdoc(part) or "", settings_of(part)
    lines = [f"{part.kind.replace('_', '-')} {registry.name_of(part)}", "", *_about(text)]
    if settings:
        lines.append("Settings:")
        for each in settings:
            default = {"": "", "required": "; required"}.get(each.default, f"; default {each.default}")
            lines.append(f"  {each.name} ({each.type}{default})")
            meaning = textwrap.wrap(each.meaning, _WIDTH - 6, break_on_hyphens=False)
            lines += [f"      {line}" for line in meaning]
        lines.append("")
    types = {each.name: each.type for each in settings}
    return "\n".join([*lines, "In a recipe:", *(f"  {line}" for line in _table(part, text, types))])


def _about(text: str) -> list[str]:
    """Return the lines of what a docstring says before its sections; of formulas, the first paragraph's only."""
    about = re.split(r"^(?:Args|Attributes|Example|Raises):$", text, maxsplit=1, flags=re.MULTILINE)[0]
    first, *others = about.strip().split("\n\n")
    lines = []
    for paragraph in [first, *(each for each in others if "math:" not in each)]:
        for item in re.split(r"\n(?=- )", paragraph):
            lines += textwrap.wrap(_without_markup(item), _WIDTH, break_on_hyphens=False)
        lines.append("")
    return lines


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    return "" if value is None else _toml(plain(value))


def _meanings(text: str) -> dict[str, str]:
    """Return the meaning of each argument that a docstring explains."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: _without_markup(meaning) for names, meaning in entries for name in names.split(", ")}


def _without_markup(text: str) -> str:
    """Return a docstring's text in one line, with names and formulas but no markup.

    Example:
        >>> _without_markup("A copy of :class:`~multimodal_vae.Gaussian` with *h*, such as ``0.1``.")
        'A copy of Gaussian with h, such as 0.1.'
    """
    text = re.sub(r":math:`([^`]+)`", lambda match: _without_latex(match[1]), text.replace(".. math:: ", ""))
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    return " ".join(re.sub(r"\*+(\w[^*]*)\*+", r"\1", text).split())


def _without_latex(formula: str) -> str:
    r"""Return a formula in LaTeX as plain text; commands without a symbol in ``_SYMBOLS`` keep their names.

    Example:
        >>> print(_without_latex(r"\frac1N \sum_i \mathcal N(z; z_i, \rho), \frac{\operatorname{tr} S}{D}"))
        1/N Σ_i N(z; z_i, ρ), (tr S)/D
    """
    formula = re.sub(r"\\mathcal\s*|\\operatorname\{(\w+)\}", lambda match: match[1] or "", formula)
    formula = re.sub(
        r"\\frac(\{[^{}]+\}|\w)(\{[^{}]+\}|\w)", lambda match: "/".join(map(_group, match.groups())), formula
    )
    return re.sub(r"\\(\w+?)(?=_|\b)", lambda match: _SYMBOLS.get(match[1], match[1]), formula)


def _group(term: str) -> str:
    """Return a LaTeX argument such as ``{a b}`` in parentheses, or bare if it is one word."""
    term = term.strip("{}")
    return f"({term})" if re.search(r"\W", term) else term


def _table(part: type[Part], text: str, types: Mapping[str, str]) -> list[str]:
    """Return the lines of a part's table with its defaults; required settings are those of the docstring's example."""
    defaults = schema_of(part)[1]
    required = [name for name, default in defaults.items() if default is inspect.Parameter.empty]
    example = _example(part, text, list(defaults))
    lines = [SECTIONS[part.kind], f"name = {_toml(registry.name_of(part))}"]
    try:
        settings = part(**{name: example[name] for name in required if name in example}).configuration
    except ConfigurationError:  # the docstring has no example with what is required
        return [*lines, *(f"{name} = ...  # {types[name]}" for name in required)]
    return [*lines, *(f"{name} = {_toml(value)}" for name, value in settings.items() if name != "name")]


def _example(part: type[Part], text: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the first call of a part in its docstring's example whose arguments are literals."""
    try:
        sources = [example.source for example in doctest.DocTestParser().get_examples(text)]
        calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call.func, ast.Name) and call.func.id == part.__name__:
                given = dict(zip(names, call.args, strict=False)) | {
                    str(each.arg): each.value for each in call.keywords
                }
                return {name: ast.literal_eval(value) for name, value in given.items()}
    except (ValueError, SyntaxError):  # of a plugin's docstring
        pass
    return {}


def _toml(value: Any) -> str:
    """Return a value in TOML, in one line.

    Example:
        >>> _toml({"name": "gmm", "components": [2, 3], "shared": True})
        '{ name = "gmm", components = [2, 3], shared = true }'
    """
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


class _AnySchema(GenerateJsonSchema):
    """JSON schemas in which a class of a library may be any value."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        """Return the schema of any value."""
        return {}


def _types(part: type[Part]) -> dict[str, str]:
    """Return the type of each setting in words."""
    schema = schema_of(part)[0].json_schema(schema_generator=_AnySchema)
    return {name: _in_words(each, schema.get("$defs", {})) for name, each in schema.get("properties", {}).items()}


def _in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON schema in words.

    Example:
        >>> _in_words({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"const": "auto"}, {"type": "null"}]}, {})
        'whole number above 0, or "auto"'
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "part" in schema:
        return f"{schema['part'].replace('_', ' ')}, its name or table"
    if "anyOf" in schema:
        return ", or ".join(_in_words(each, definitions) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(map(_toml, schema.get("enum", [schema.get("const")])))
    in_words = {"array": _list_in_words, "object": _table_in_words}.get(schema.get("type", ""), _value_in_words)
    return in_words(schema, definitions)


def _list_in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" not in schema:
        return f"list: {_in_words(schema.get('items', {}), definitions)}"
    items = [_in_words(each, definitions) for each in schema["prefixItems"]]
    return f"list of {len(items)}: {items[0] if len({*items}) == 1 else ', '.join(items)}"


def _table_in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    keys = schema.get("propertyNames", {}).get("enum") or list(schema.get("properties", ()))
    values = schema.get("additionalProperties")
    named = f" with the keys {', '.join(keys)}" if keys else ""
    return f"table{named}{f': {_in_words(values, definitions)}' if isinstance(values, Mapping) else ''}"


def _value_in_words(schema: Mapping[str, Any], _definitions: Mapping[str, Any]) -> str:
    kind = _TYPES.get(schema.get("type", ""), "any value")
    return f"{kind} {' and '.join(_limits(schema))}".rstrip()


def _limits(schema: Mapping[str, Any]) -> list[str]:
    """Return the limits of a number in words."""
    if "minimum" in schema and "maximum" in schema:
        return [f"from {schema['minimum']:g} to {schema['maximum']:.10g}"]
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
        "multipleOf": "a multiple of",
    }
    return [f"{word} {schema[name]:g}" for name, word in words.items() if name in schema]
