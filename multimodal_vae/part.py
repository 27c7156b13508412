"""What every pluggable part has in common: its constructor's signature is its configuration.

An author writes an ordinary annotated constructor. Whatever door a part comes by (a call, a name, a table of a TOML
file), its arguments are checked against those annotations by pydantic, and kept, so that a run can be saved with
every default written out.
"""

import copy
import inspect
import time
import typing
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import pydantic
import pydantic_core

from multimodal_vae import registry
from multimodal_vae.errors import ConfigurationError, MultimodalVAEError, PluginError, did_you_mean, one_line

STARTED = time.time()
"""When the session began, as far as parts go: no class of one was imported before."""


class _PartMeta(ABCMeta):
    """Checks a part's arguments before its constructor runs, and keeps them."""

    if not typing.TYPE_CHECKING:  # a type checker should see the constructor's own signature

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            settings = _checked(cls, args, kwargs)
            part = super().__call__(**settings)
            part.__dict__["_settings"] = settings
            return part


class Part(metaclass=_PartMeta):
    """Base of everything that can be plugged in.

    Every constructor parameter of a subclass needs an annotation, and no subclass takes ``*args`` or ``**kwargs``.
    """

    kind: ClassVar[str]
    """The kind of part, a key of :data:`multimodal_vae.registry.KINDS`."""

    behavior_version: ClassVar[int] = 1
    """Raise it in a release in which the same settings and weights give something else than before: a run that was
    trained with another behavior then refuses to open, where another version alone is only mentioned."""

    _settings: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse, where its author defines it, a class that could not work: see :func:`_check_signatures`."""
        super().__init_subclass__(**kwargs)
        _check_signatures(cls)

    @classmethod
    def of(cls, spec: Any) -> Self:
        """Turn an instance, a name or a table with a ``name`` into a part of this kind.

        Args:
            spec: ``Triplet(margin=1.0)``, ``"triplet"`` or ``{"name": "triplet", "margin": 1.0}``. An instance is
                copied, so that two owners never share its state.

        Raises:
            ConfigurationError: if it is none of these, or a setting is wrong.
            PluginError: if there is no such name.
        """
        if isinstance(spec, cls):
            return copy.deepcopy(spec)
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
            hint = f"; write {spec.__name__}(...)" if isinstance(spec, type) and issubclass(spec, cls) else ""
            raise ConfigurationError(
                f"a {cls.kind} is given as an instance, a name or a table with a key 'name', not as {spec!r}{hint}"
            )
        settings = {str(key): value for key, value in spec.items() if key != "name"}
        part: Any = registry.load(cls.kind, spec["name"])
        if not issubclass(part, cls):
            raise ConfigurationError(f"{spec['name']!r} is registered as a {cls.kind}, but {part!r} is none")
        try:
            made: Self = part(**settings)
        except (MultimodalVAEError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever a plugin's constructor does, its owner must be named
            entry = registry.owner_of(part)
            raise PluginError(
                f"{cls.kind} {spec['name']!r} of {entry.owner if entry else 'this session'} could not be made by "
                f"{part.__module__}:{part.__qualname__}: {one_line(error)}"
            ) from error
        return made

    @property
    def name(self) -> str:
        """The name under which this part's class is registered."""
        return registry.name_of(type(self))

    @property
    def configuration(self) -> dict[str, Any]:
        """The part as a table: its name and every setting, defaults included; settings that are None are left out."""
        return {"name": self.name, **plain(self._settings)}

    def anew(self) -> Self:
        """A new part of the same settings, without anything that was learned."""
        return type(self)(**self._settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items())
        return f"{type(self).__name__}({settings})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> pydantic_core.CoreSchema:
        return pydantic_core.core_schema.no_info_plain_validator_function(cls.of)


def parts_within(value: Any) -> Iterator[Part]:
    """Every part in a value: itself, those among its settings, and those in lists and tables."""
    if isinstance(value, Part):
        yield value
        value = value._settings
    if isinstance(value, pydantic.BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from parts_within(item)


def report(kind: str, name: str, path: str) -> None:
    """Load a part, read its settings, make it where none is required, and write to a file how it is."""
    try:
        part: Any = registry.load(kind, name)
        if all(default is not inspect.Parameter.empty for _, default in _fields(part).values()):
            part.of(name)
        state = registry.WORKS
    except MultimodalVAEError as error:
        state = " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001  (whatever it is, it is what is wrong with the part)
        state = one_line(error)
    Path(path).write_text(state, "utf-8")


def _check_signatures(part: type[Part]) -> None:
    """Refuse a class whose constructor is no schema, or whose doors do not open as its base's do.

    Raises:
        TypeError: naming the class, the method, and what it must take.
    """
    own = vars(part)
    for parameter in _parameters(own.get("__init__")):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{part.__name__}.__init__ must name each of its settings: it has {parameter}")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"{part.__name__}.__init__ must annotate {parameter.name!r}: annotations are its schema")
    for name, method in own.items():
        doors = (vars(base) for base in part.__mro__[1:] if issubclass(base, Part))
        door = next((base[name] for base in doors if name in base), None)
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if isinstance(door, property):
            raise TypeError(f"{part.__name__}.{name} must be a property: write @property above it")
        if not inspect.isfunction(door):
            continue
        wanted = [parameter for parameter in _parameters(door) if parameter.default is parameter.empty]
        try:
            inspect.signature(method).bind(None, *wanted)
        except TypeError as error:
            arguments = ", ".join(["self", *(parameter.name for parameter in wanted)])
            raise TypeError(f"{part.__name__}.{name} must take ({arguments}): {error}") from None


def _parameters(method: Any) -> list[inspect.Parameter]:
    """Those of a method, without self."""
    return list(inspect.signature(method).parameters.values())[1:] if inspect.isfunction(method) else []


@cache
def _fields(part: type) -> dict[str, tuple[pydantic.TypeAdapter[Any], Any]]:
    """Return a checker and the default of each constructor parameter."""
    author = next(base for base in part.__mro__ if "__init__" in vars(base))
    if not issubclass(author, Part):  # no constructor of its own, so no settings
        return {}
    constructor = vars(author)["__init__"]
    hints = typing.get_type_hints(constructor, include_extras=True)
    fields = {}
    for parameter in _parameters(constructor):
        hint = hints[parameter.name]
        try:
            adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(
                hint, config=pydantic.ConfigDict(arbitrary_types_allowed=True)
            )
        except pydantic.PydanticUserError:  # a pydantic model brings its own configuration
            adapter = pydantic.TypeAdapter(hint)
        fields[parameter.name] = (adapter, parameter.default)
    return fields


def _checked(part: type[Part], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    fields = _fields(part)
    if len(args) > len(fields):
        raise ConfigurationError(f"{_label(part)} takes {len(fields)} settings, not {len(args)}")
    given = dict(zip(fields, args, strict=False))
    twice = given.keys() & kwargs.keys()
    if twice:
        raise ConfigurationError(f"{_label(part)} got {sorted(twice)[0]!r} twice")
    given |= kwargs
    for key in given:
        if key not in fields:
            raise ConfigurationError(f"{_label(part)} has no setting {key!r}; {did_you_mean(key, fields)}")
    settings = {}
    for key, (adapter, default) in fields.items():
        if key not in given and default is inspect.Parameter.empty:
            raise ConfigurationError(f"{_label(part)} needs the setting {key!r}")
        try:
            settings[key] = adapter.validate_python(given.get(key, copy.copy(default)))
        except pydantic.ValidationError as error:
            raise ConfigurationError(f"{_label(part)}, setting {key!r}: {explain(error)}") from error
    return settings


def _label(part: type[Part]) -> str:
    """What an error calls a part; looked up only then, since it reads the installed metadata."""
    return f"{part.kind} {registry.name_of(part)!r}" if hasattr(part, "kind") else part.__name__


def explain(error: pydantic.ValidationError) -> str:
    """Say in one line what pydantic found wrong first, with the place and the value."""
    first = error.errors()[0]
    # pydantic names the branch of a union among the steps, as in tuple[float, float] or function-plain.
    place = ".".join(step for step in map(str, first["loc"]) if "[" not in step and "-" not in step)
    message = first["msg"].removeprefix("Value error, ")
    return f"{place + ': ' if place else ''}{message[0].lower()}{message[1:]}, not {_short(first['input'])}"


def explain_settings(error: pydantic.ValidationError, model: Any) -> str:
    """Like :func:`explain`, for a pydantic model: a misspelt key, the commonest mistake, gets a sentence of its own."""
    first = error.errors()[0]
    if first["type"] != "extra_forbidden":
        return explain(error)
    *section, key = (str(step) for step in first["loc"])
    for step in section:
        annotation = model.model_fields[step].annotation
        # Where a section may be left out it is "Section | None".
        model = next(each for each in (annotation, *typing.get_args(annotation)) if hasattr(each, "model_fields"))
    where = f"[{'.'.join(section)}] has" if section else "there is"
    return f"{where} no key {key!r}; {did_you_mean(key, model.model_fields)}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def plain(value: Any) -> Any:
    """Turn settings into what TOML and JSON can hold."""
    if isinstance(value, Part):
        return value.configuration
    if isinstance(value, pydantic.BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return pydantic_core.to_jsonable_python(value)
