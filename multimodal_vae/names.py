"""Names of columns, classes, patients and samples as people write them.

*Missing* are None, NaN, pandas' ``NA`` and ``NaT``, a masked value, and empty text. The words of :data:`MISSING` are
missing numbers; as a name they may be meant, so whoever reads names refuses them.

*Two names differ only in form* if they are equal up to case, blanks, Unicode form, invisible or lookalike letters,
quotes, leading zeros, and the way in which a number or bytes are written, as ``7``, ``007``, ``7.0`` and ``b'7'`` are.
People use both for the same patient or class, so they are refused.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError

_WORDS = (
    r"na n/a n.a. #n/a #na <na> nan -nan nat none null (null) #null! nil \n 1.#ind -1.#ind 1.#qnan -1.#qnan . ? - --"
)
MISSING = frozenset(["", "#n/a n/a", *_WORDS.split()])
"""Lower-case words for a missing value, as programs write them."""


def is_missing_word(text: str) -> bool:
    """Return whether a text is a word for a missing value; an empty text is no word.

    Example:
        >>> is_missing_word("NA"), is_missing_word("Nancy"), is_missing_word("")
        (True, False, False)
    """
    return text != "" and text.lower() in MISSING


def values_of(values: Iterable[Any], what: str) -> list[Any]:
    """Return the values of a list, an array, a tensor or a column as Python objects.

    Raises:
        DataError: if they are no sequence of values, such as a matrix.
    """
    if isinstance(values, str | bytes | set | frozenset | dict) or not hasattr(values, "__iter__"):
        raise DataError(f"{what} are {values!r}; give a list with one per sample")
    shape = tuple(getattr(values, "shape", (1,)))
    if len(shape) != 1:
        advice = f"{what}[:, 0]" if shape[1:] == (1,) else f"{what}.argmax(1)" if len(shape) == 2 else "a list"
        raise DataError(f"{what} have the shape {shape}; give one per sample, such as {advice}")
    return list(values.tolist() if isinstance(values, np.ndarray | Tensor) else values)


def name_of(value: Any) -> str:
    """Return a name as text, without blanks at its ends; empty if it is missing.

    A whole number loses its decimal point, which a column of numbers gains when one of them is missing.

    Raises:
        DataError: if the value is no name, such as a list.

    Example:
        >>> [name_of(value) for value in ("ill ", b"ill", 3.0, None, float("nan"))]
        ['ill', 'ill', '3', '', '']
    """
    value = scalar(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{value!r} is not a name in UTF-8; decode it") from error
    if isinstance(value, complex | np.ndarray | Tensor) or (hasattr(value, "__iter__") and hasattr(value, "__len__")):
        raise DataError(f"{value!r} is not a name; give text or a number")
    try:
        text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"a {type(value).__name__} is not a name ({error})") from error
    return "" if text.lower() in MISSING else text


def scalar(value: Any) -> Any:
    """Return the Python object in an array or tensor of one element, and other values as they are."""
    if value is np.ma.masked:
        return None
    one = isinstance(value, np.ndarray | np.number | np.bool_) and value.size == 1
    return value.item() if one or (isinstance(value, Tensor) and value.numel() == 1) else value


def names_of(values: Iterable[Any], what: str) -> list[str]:
    """Return the names in a list, an array, a tensor or a column; see :func:`name_of`.

    Raises:
        DataError: naming the row whose value is no name.
    """
    names = []
    for row, value in enumerate(values_of(values, what)):
        try:
            names.append(name_of(value))
        except DataError as error:
            raise DataError(f"{what}, row {row}: {error}") from error
    return names


def form(name: str) -> str:
    r"""Return a key that is the same for names that differ only in form.

    Example:
        >>> form("Patient 007") == form("patient\u00a0 7"), form("7.0") == form("07"), form("1 1") == form("11")
        (True, True, False)
    """
    text = name
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_LETTERS).casefold())
    text = text.lower()
    if "'" in text or '"' in text:
        text = _QUOTES.sub("", text)
    if " " in text:
        text = _BLANKS.sub("", " ".join(text.split()))
    if (text[:1] == "+" or "." in text) and (number := _WHOLE.fullmatch(text)):
        text = number[1]
    if "+" in text and (number := _POWER_OF_TEN.fullmatch(text)):
        text = number[1] + number[2].ljust(int(number[3]), "0")
    return _ZEROS.sub("", text) if "0" in text else text


class _Letters(dict[int, str]):
    """Maps a letter to the one it looks like, an invisible one to none, and a digit of any script to ours."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        category = unicodedata.category(letter)
        if category == "Nd":
            seen = str(unicodedata.decimal(letter))
        elif letter.isspace():
            seen = " "
        else:
            seen = {"Pd": "-", "Cf": "", "Cc": ""}.get(category, letter)
        self[code] = seen
        return seen


_CYRILLIC_AND_GREEK = "АВЕЅІЈКМНОРСТУХавеѕіјкмнорстухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_LATIN = "ABESIJKMHOPCTYXabesijkmhopctyxABEZHIKMNOPTYXo"
_INVISIBLE = [
    0x2018,
    0x2019,
    0x201C,
    0x201D,
    0x034F,
    0x115F,
    0x1160,
    0x2800,
    0x3164,
    *range(0xFE00, 0xFE10),
]  # quotes, and what is not so by category
_LETTERS = _Letters(
    {ord(letter): latin for letter, latin in zip(_CYRILLIC_AND_GREEK, _LATIN, strict=True)}
    | dict.fromkeys(_INVISIBLE, "")
)
_QUOTES = re.compile(r"^b(?=['\"])|['\"]")
_BLANKS = re.compile(r"(?<!\d) | (?!\d)")
_WHOLE = re.compile(r"\+?(-?\d+)(?:\.0*)?")
_POWER_OF_TEN = re.compile(r"(\d)\.?(\d*)e\+(\d\d?)")
_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")


def has_repeats(names: Sequence[str]) -> bool:
    """Return whether a name occurs more than once; takes little memory.

    Example:
        >>> has_repeats(["a", "b"]), has_repeats(["a", "a"])
        (False, True)
    """
    return len(_first_rows(names)) < len(names)


def _first_rows(names: Sequence[str]) -> NDArray[np.intp]:
    """Return the first row of each name, by hash: equal hashes of two different names are too improbable to matter."""
    return np.unique(np.fromiter(map(hash, names), np.int64, len(names)), return_index=True)[1]


def refuse_forms(what: str, names: Sequence[str], place: Callable[[int], str]) -> None:
    """Refuse names that differ only in form; a name may occur often, and an empty one is none.

    Args:
        what: the kind of names in the plural, for the error.
        names: the names.
        place: describes where a row's name was found.

    Raises:
        DataError: naming two spellings and the first place of each.
    """
    rows_of_names = _first_rows(names).tolist()
    forms = np.fromiter((hash(form(names[row])) for row in rows_of_names), np.int64, len(rows_of_names))
    if len(np.unique(forms)) == len(forms):
        return
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, row)
    first: dict[str, str] = {}
    for name, row in rows.items():
        other = first.setdefault(form(name), name)
        if other != name:
            raise DataError(
                f"the {what} {spelled(other)} ({place(rows[other])}) and {spelled(name)} ({place(row)}) differ only "
                "in form; write both in the same way if they are the same, or give them clearly different names"
            )


def check_names(what: str, names: Sequence[str], place: Callable[[int], str]) -> None:
    """Refuse names of samples or patients that are words for missing values, or differ only in form.

    Raises:
        DataError: naming the places; see :func:`refuse_forms`.
    """
    for row, name in enumerate(names):
        if is_missing_word(name):
            raise DataError(
                f"{place(row)}: the {what} {name!r} is a word for a missing value; leave it empty if it is missing, or "
                "rename it"
            )
    refuse_forms(f"{what}s", names, place)


def spelled(name: str) -> str:
    r"""Return a name in quotation marks, and its code points where letters or blanks may look like others.

    Example:
        >>> print(spelled("ear"), spelled("inner  ear"))
        'ear' 'inner\x20\x20ear'
    """
    shown = repr(name).replace("  ", r"\x20\x20")  # an error's message has no two blanks in a row
    return shown if shown.isascii() else f"{shown}, that is {name!a}"


_PEOPLE = "patients?|patienten|u?subj|subjects?|participants?|persons?|individuals?|probands?|volunteers?|donors?"
_PATIENT = re.compile(
    rf"mrn|[er]id|(id|no|nr)({_PEOPLE}|pat)|({_PEOPLE})|"
    rf"({_PEOPLE}|pat|pt|p)(ids?|idx|index|no|nr|num|number|nummer|code|key|name|identifier|uid)"
)


def clean(column: str) -> str:
    """Return a column's name composed, and without invisible letters and blanks at its ends."""
    if column.isascii() and column.isprintable():
        return column.strip()
    letters = unicodedata.normalize("NFC", column)
    return "".join(letter for letter in letters if unicodedata.category(letter) not in ("Cf", "Cc")).strip()


def refuse_near_columns(
    kind: str, columns: Iterable[str], required: Iterable[str], optional: Sequence[str] = ("patient_id", "split")
) -> None:
    """Refuse columns that are probably meant to be others, which would be ignored as other data.

    Args:
        kind: what the columns are, for the error.
        columns: the names that a user gives.
        required: the names that must be among them.
        optional: the names that may be among them.

    Raises:
        DataError: if a name differs only in form from a required or optional one, or resembles a missing optional one.

    Example:
        >>> refuse_near_columns("column", ["sample_id", "label", "PatientID"], ["sample_id", "label"])
        Traceback (most recent call last):
        multimodal_vae.errors.DataError: the column 'PatientID' seems to be 'patient_id'; rename it to ...
    """
    known, given = {*required, *optional}, {str(column) for column in columns}
    others = {_letters(column): column for column in sorted(given - known)}
    for name in sorted(known) if others else ():
        key = _letters(name)
        found = others.get(key)
        if not found and name in optional and name not in given:
            found = next((column for each, column in others.items() if _resembles(each, key)), None)
        if found:
            raise DataError(
                f"the {kind} {spelled(found)} seems to be {name!r}; rename it to {name!r}, or to something clearly "
                "different if it is not"
            )


def _resembles(found: str, key: str) -> bool:
    return _one_edit_apart(found, key) or (key == "patientid" and _PATIENT.fullmatch(found) is not None)


def _letters(column: str) -> str:
    return re.sub(r"[\W_]+", "", form(column))


def _one_edit_apart(one: str, other: str) -> bool:
    """Return whether texts are equal up to one missing, added or changed letter, or two swapped ones."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    one, other = one[start:], other[start:]
    return one[1:] in (other, other[1:]) or one == other[1:] or (one[:2] == other[1::-1] and one[2:] == other[2:])
