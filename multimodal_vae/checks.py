"""Checks of values that functions take and return."""

import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import ConfigurationError, DataError, MultimodalVAEError, TrainingError, one_line, shorten

P = ParamSpec("P")
T = TypeVar("T")


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of a function that users call against its annotations, and make paths of text.

    Raises:
        ConfigurationError: naming the function, the argument, and what it must be.
        DataError: likewise, if it must be data.

    Example:
        >>> @checked
        ... def draw(count: int) -> None: ...
        >>> draw(1.5)
        Traceback (most recent call last):
        multimodal_vae.errors.ConfigurationError: draw: count is 1.5; give a whole number
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            hint = _hints(function).get(name, Any)
            kind = signature.parameters[name].kind
            values = value if kind is inspect.Parameter.VAR_POSITIONAL else [value]
            wrong = [] if kind is inspect.Parameter.VAR_KEYWORD else [each for each in values if not _fits(each, hint)]
            if wrong:
                place = function.__qualname__.removesuffix(".__init__")
                error = ConfigurationError if all(map(_is_setting, _options(hint))) else DataError
                raise error(f"{place}: {name} is {_show(wrong[0])}; {frame_advice(wrong[0]) or f'give {_words(hint)}'}")
            if isinstance(value, str | os.PathLike) and Path in _options(hint):
                bound.arguments[name] = Path(value)
        return function(*bound.args, **bound.kwargs)

    return call


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


_KINDS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    int: (lambda x: isinstance(x, numbers.Integral) and not isinstance(x, bool), "a whole number"),
    float: (lambda x: isinstance(x, numbers.Real) and not isinstance(x, bool), "a number"),
    Path: (lambda x: isinstance(x, str | os.PathLike) and str(x) != "" and "\0" not in str(x), "a path"),
    str: (lambda x: isinstance(x, str), "text"),
    bool: (lambda x: isinstance(x, bool), "true or false"),
    type(None): (lambda x: x is None, "None"),
}


def _is_setting(hint: Any) -> bool:
    return hint in _KINDS or typing.get_origin(hint) is typing.Literal


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of the kind of an annotation; what it contains is not looked at."""
    options = _options(hint)
    if len(options) > 1:
        if Path in options and isinstance(value, str):
            options = (Path,)
        return any(_fits(value, option) for option in options)
    if hint in _KINDS:
        return _KINDS[hint][0](value)
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    kind = typing.get_origin(hint) or hint
    if kind is Sequence:  # arrays and columns of tables are none of Python's
        kind = Iterable
    if not isinstance(kind, type) or kind in (Any, Tensor):  # many kinds of arrays can become one
        return True
    return isinstance(value, kind) and not (isinstance(value, str | bytes) and issubclass(kind, Iterable))


def _words(hint: Any) -> str:
    names = []
    for option in _options(hint):
        if typing.get_origin(option) is typing.Literal:
            names += [repr(value) for value in typing.get_args(option)]
        else:
            kind = typing.get_origin(option) or option
            names.append(_KINDS[option][1] if option in _KINDS else kind.__name__)
    return " or ".join(dict.fromkeys(names))


def _show(value: Any) -> str:
    plain = isinstance(value, numbers.Number | str | bytes | os.PathLike | type | None)
    return shorten(repr(value)) if plain else f"a {type(value).__name__}"


def frame_advice(value: Any) -> str:
    """Return what to do with a DataFrame that is no valid argument; empty for other values."""
    frame = type(value).__name__ == "DataFrame"
    return "make a data set of it with MultimodalDataset.from_dataframe" if frame else ""


def require_finite(x: Tensor, part: str, error: type[MultimodalVAEError] = TrainingError) -> Tensor:
    """Return a part's output; NaN and infinity are never a result. While torch traces a program, nothing is checked.

    Args:
        x: the output.
        part: the part, as the error names it, such as ``"the decoder of modality 'x'"``.
        error: class of the error.

    Raises:
        TrainingError: naming the part, if a value is NaN or infinite.
    """
    if not torch.compiler.is_compiling() and not bool(torch.isfinite(x).all()):
        raise error(f"{part} gives values that are not finite; check its weights and its input, or train again")
    return x


def require_whole(name: str, value: Any, least: int) -> int:
    """Return a setting that counts.

    Raises:
        ConfigurationError: unless it is a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; give a whole number of at least {least}")
    return int(value)


def real_numbers(values: Any) -> NDArray[np.float32]:
    """Return booleans, integers or real numbers as a float32 array; masked values become NaN.

    Args:
        values: an array or nested lists. The result may share its memory.

    Raises:
        DataError: if they are anything else, such as complex numbers, whose imaginary part would be lost.
    """
    if type(values) is np.ndarray and values.dtype == np.float32 and values.flags.carray:
        return values
    try:
        masked = isinstance(values, list | tuple) and any(isinstance(each, np.ma.MaskedArray) for each in values)
        array = np.ma.array(values) if masked else np.asanyarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise DataError(f"is no array of numbers ({one_line(error)})") from error
    if array.dtype.kind not in "biuf":
        advice = frame_advice(values) or "real numbers are expected"
        raise DataError(f"holds values of type {array.dtype}; {advice}")
    # Values beyond float32 become infinite, which a check refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(array, np.ma.MaskedArray):
            array = np.ma.filled(array.astype(np.float32), np.nan)
        return np.require(array, np.float32, ["C", "W"])


def real_samples(name: str, values: Any) -> Tensor:
    """Return samples of a modality as a float32 tensor on the CPU; see :func:`real_numbers`.

    Raises:
        DataError: naming the modality.
    """
    if isinstance(values, list | tuple) and values and all(isinstance(each, Tensor) for each in values):
        values = [real_samples(name, each).numpy() for each in values]
    try:
        if not isinstance(values, Tensor):
            return torch.from_numpy(real_numbers(values))
        dense = values.layout is torch.strided and not (values.is_nested or values.is_quantized or values.is_meta)
        if values.is_complex() or not dense or torch.masked.is_masked_tensor(values):
            raise DataError(
                f"is a {type(values).__name__} of {values.dtype}, {values.layout} on {values.device}; "
                "a dense tensor of real numbers is expected"
            )
        return values.detach().to("cpu", torch.float32)
    except DataError as error:
        raise DataError(f"modality {name!r}: a sample {error}") from error
