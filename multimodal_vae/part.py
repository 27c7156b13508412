"""Base class of all parts: the signature of a part's constructor is its configuration.

An author writes an ordinary annotated constructor. pydantic checks its arguments, whether they come from a call or from
a table of a TOML file, and the part keeps them, so that a run is saved with all defaults.
"""

import copy
import inspect
import time
import typing
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Self

import pydantic
import pydantic_core
from typing_extensions import TypedDict

from multimodal_vae import registry
from multimodal_vae.errors import ConfigurationError, MultimodalVAEError, PluginError, did_you_mean, one_line, shorten

STARTED = time.time()
"""Start of the session: no part's class was imported before."""


class _PartMeta(ABCMeta):
    """Validate a part's arguments before its constructor runs, and keep them."""

    if not typing.TYPE_CHECKING:  # a type checker should see the constructor's own signature

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            settings = _validated(cls, args, kwargs)
            part = super().__call__(**settings)
            part.__dict__["_settings"] = settings
            return part

        @property
        def __signature__(cls) -> inspect.Signature:
            """The constructor's parameters, which editors show and :func:`inspect.signature` returns."""
            constructor = _constructor(cls)
            hints = typing.get_type_hints(constructor) if constructor else {}  # without the limits of numbers
            return inspect.Signature([each.replace(annotation=hints[each.name]) for each in _parameters(constructor)])


class Part(metaclass=_PartMeta):
    """Base of all pluggable classes.

    A subclass annotates every constructor parameter and has no ``*args`` or ``**kwargs``.
    """

    kind: ClassVar[str]
    """Kind of the part, a key of :data:`multimodal_vae.registry.KINDS`."""

    behavior_version: ClassVar[int] = 1
    """Raise it in a release that changes what the same settings and weights compute. A run that was trained with
    another ``behavior_version`` refuses to open; another version of the distribution alone is a warning."""

    _settings: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the subclass's signatures: see :func:`_check_signatures`."""
        super().__init_subclass__(**kwargs)
        _check_signatures(cls)

    @classmethod
    def of(cls, spec: Any) -> Self:
        """Return the part of this kind that an instance, a name, or a table with a ``name`` describes.

        Args:
            spec: ``Triplet(margin=1.0)``, ``"triplet"`` or ``{"name": "triplet", "margin": 1.0}``. An instance is
                copied, so that two owners never share its state.

        Raises:
            ConfigurationError: if ``spec`` is none of these, or a setting is invalid.
            PluginError: if the name is unknown, or the part cannot be loaded.
        """
        if isinstance(spec, cls):
            return copy.deepcopy(spec)
        if isinstance(spec, str):
            spec = {"name": spec}
        if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
            hint = f"; write {spec.__name__}(...)" if isinstance(spec, type) and issubclass(spec, cls) else ""
            raise ConfigurationError(
                f"a {cls.kind} must be an instance, a name or a table with a key 'name', not {spec!r}{hint}"
            )
        settings = {str(key): value for key, value in spec.items() if key != "name"}
        part: Any = registry.load(cls.kind, spec["name"])
        if not issubclass(part, cls):
            raise ConfigurationError(f"{spec['name']!r} is registered as a {cls.kind}, but {part!r} is no {cls.kind}")
        try:
            instance: Self = part(**settings)
        except (MultimodalVAEError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin's constructor may even exit; the error names its distribution
            entry = registry.entry_of(part)
            raise PluginError(
                f"{cls.kind} {spec['name']!r} of {entry.release if entry else 'this session'} could not be constructed "
                f"by {part.__module__}:{part.__qualname__}: {one_line(error)}"
            ) from error
        return instance

    @property
    def name(self) -> str:
        """Name under which the part's class is registered."""
        return registry.name_of(type(self))

    @property
    def configuration(self) -> dict[str, Any]:
        """The part as a table: its name and all settings with their defaults, except those that are None."""
        return {"name": self.name, **plain(self._settings)}

    def clone(self) -> Self:
        """Return a new part with the same settings and nothing that was learned or fitted."""
        return type(self)(**self._settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items())
        return f"{type(self).__name__}({settings})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> pydantic_core.CoreSchema:
        return pydantic_core.core_schema.no_info_plain_validator_function(cls.of)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: pydantic_core.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"part": cls.kind}


def parts_within(value: Any) -> Iterator[Part]:
    """Yield every part in a value: the value itself, and those among its settings, in lists and in tables."""
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


def state_of_part(kind: str, name: str) -> str:
    """Load a part, construct it if all settings have defaults, and return what is wrong, or ``works``."""
    try:
        part: Any = registry.load(kind, name)
        _, defaults = schema_of(part)
        if inspect.Parameter.empty not in defaults.values():
            part.of(name)
    except MultimodalVAEError as error:
        return " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001  (any exception says what is wrong with the part)
        return one_line(error)
    return registry.WORKS


def _check_signatures(part: type[Part]) -> None:
    """Check that a constructor can serve as schema, and that methods accept the arguments of their base's.

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
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        bases = (vars(base) for base in part.__mro__[1:] if issubclass(base, Part))
        overridden = next((base[name] for base in bases if name in base), None)
        if isinstance(overridden, property):
            raise TypeError(f"{part.__name__}.{name} must be a property: write @property above it")
        if not inspect.isfunction(overridden):
            continue
        required = [parameter for parameter in _parameters(overridden) if parameter.default is parameter.empty]
        try:
            inspect.signature(method).bind(None, *required)
        except TypeError as error:
            arguments = ", ".join(["self", *(parameter.name for parameter in required)])
            raise TypeError(f"{part.__name__}.{name} must take ({arguments}): {error}") from None


def _parameters(method: Any) -> list[inspect.Parameter]:
    """Return the parameters of a method without self; none for anything else."""
    return list(inspect.signature(method).parameters.values())[1:] if inspect.isfunction(method) else []


def _constructor(part: type) -> Any:
    """Return the constructor whose parameters are the settings; None if no part of the class's bases has one."""
    author = next(base for base in part.__mro__ if "__init__" in vars(base))
    return vars(author)["__init__"] if issubclass(author, Part) else None


@cache
def schema_of(part: type) -> tuple[pydantic.TypeAdapter[dict[str, Any]], dict[str, Any]]:
    """Return the validator of a part's settings, and the default of each."""
    constructor = _constructor(part)
    defaults = {parameter.name: parameter.default for parameter in _parameters(constructor)}
    hints = typing.get_type_hints(constructor, include_extras=True) if constructor else {}
    # Not create_model: a model warns about settings with the names of its methods, such as "copy" and "json".
    typed_dict: Any = TypedDict
    table = typed_dict(part.__name__, {name: hints[name] for name in defaults})
    table.__pydantic_config__ = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.TypeAdapter(table), defaults


def _validated(part: type[Part], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of a part, validated and in order, from the arguments of a call."""
    validator, defaults = schema_of(part)
    if len(args) > len(defaults):
        raise ConfigurationError(f"{_label(part)} takes {len(defaults)} settings, not {len(args)}")
    positional = dict(zip(defaults, args, strict=False))
    for key in kwargs:
        if key in positional:
            raise ConfigurationError(f"{_label(part)} got {key!r} twice")
        if key not in defaults:
            raise ConfigurationError(f"{_label(part)} has no setting {key!r}; {did_you_mean(key, defaults)}")
    settings = {key: copy.copy(default) for key, default in defaults.items()} | positional | kwargs
    for key, value in settings.items():
        if value is inspect.Parameter.empty:
            raise ConfigurationError(f"{_label(part)} needs the setting {key!r}")
    try:
        return validator.validate_python(settings)
    except pydantic.ValidationError as error:
        setting = error.errors()[0]["loc"][0]
        raise ConfigurationError(f"{_label(part)}, setting {setting!r}: {explain(error, within=1)}") from error


def _label(part: type[Part]) -> str:
    """Return how an error names a part; called on errors only, because it reads the installed metadata."""
    return f"{part.kind} {registry.name_of(part)!r}" if hasattr(part, "kind") else part.__name__


def explain(error: pydantic.ValidationError, within: int = 0) -> str:
    """Return the first fault that pydantic found, with its place and value, in one line.

    Args:
        error: from pydantic.
        within: number of leading steps of the place that the caller names itself.
    """
    first = error.errors()[0]
    # pydantic's steps include branches of a union, such as tuple[float, float] or function-plain.
    place = ".".join(step for step in map(str, first["loc"][within:]) if "[" not in step and "-" not in step)
    message = first["msg"].removeprefix("Value error, ")
    return f"{place + ': ' if place else ''}{message[0].lower()}{message[1:]}, not {_short(first['input'])}"


def explain_settings(error: pydantic.ValidationError, model: Any) -> str:
    """Return the first fault of a pydantic model's settings in one line, with a near key for a misspelled one."""
    first = error.errors()[0]
    if first["type"] != "extra_forbidden":
        return explain(error)
    *steps, key = (str(step) for step in first["loc"])
    section = []
    for step in steps:
        if step not in model.model_fields:  # the branch of a union
            continue
        section.append(step)
        annotation = model.model_fields[step].annotation
        # The annotation of an optional section is "Section | None".
        model = next(each for each in (annotation, *typing.get_args(annotation)) if hasattr(each, "model_fields"))
    where = f"[{'.'.join(section)}] has" if section else "there is"
    instead = getattr(model, "other_names", {}).get(key)
    return f"{where} no key {key!r}; {f'set {instead}' if instead else did_you_mean(key, model.model_fields)}"


def _short(value: Any) -> str:
    if isinstance(value, str | bytes):
        value = value[:80]  # it may be a whole file
    return shorten(" ".join(repr(value).split()))


def plain(value: Any) -> Any:
    """Return settings as values that TOML and JSON can hold."""
    if isinstance(value, Part):
        return value.configuration
    if isinstance(value, pydantic.BaseModel):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return pydantic_core.to_jsonable_python(value)
