"""Errors that a user can fix: each message is one line that says what is wrong, where, and what to do."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


def printable(text: str) -> str:
    r"""Return text that a terminal shows as one line; names and paths may hold what would command it.

    Control characters, also those that change the direction of writing, become escapes.

    Example:
        >>> print(printable("a\x1b[31m\nb"))
        a\u001b[31m\u000ab
    """
    if text.isprintable():
        return text
    return "".join(f"\\u{ord(letter):04x}" if _commands(letter) else letter for letter in text)


def _commands(letter: str) -> bool:
    joiners = "\u200c\u200d"  # parts of words and of pictographs
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in joiners


LONGEST = 2000
"""Most characters of a message, which may quote a file."""


class _OneLine(Exception):  # noqa: N818  (the base of errors and warnings)
    """An exception whose message is one line without control characters, and is cut in its middle if it is long."""

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 3 :]}"
        return printable(" ".join(text.split()))


class MultimodalVAEError(_OneLine):
    """Base of all errors in the user's input; the command line prints one line and exits with code 2."""


class MultimodalVAEWarning(_OneLine, UserWarning):
    """Something a user should know but need not fix; the command line prints it as one line."""


class ConfigurationError(MultimodalVAEError):
    """A setting is unknown, missing, of the wrong type or out of range."""


class PluginError(MultimodalVAEError):
    """A part cannot be found, loaded or constructed."""


class DataError(MultimodalVAEError):
    """A manifest, file or array is not valid for its modality."""


class RunError(MultimodalVAEError):
    """A run folder cannot be written, is damaged, or does not match the installed code."""


class TrainingError(MultimodalVAEError):
    """Training cannot continue, for example because a loss term is not finite, or a trained model gives such values."""


class TrainingInterrupted(_OneLine):
    """Training was stopped by Ctrl-C or SIGTERM; the run folder holds a checkpoint to resume from."""


class SamplerError(MultimodalVAEError):
    """A sampler cannot be fitted to the given latents, or has not been fitted."""


def one_line(error: BaseException) -> str:
    """Return an exception in one line: its class, then its message."""
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))


def listing(names: Iterable[str], most: int = 20) -> str:
    """Return names from a file as part of a message: the first ones, shortened, and the number of the others.

    Example:
        >>> listing(["I", "II", "III", "aVR"], most=2)
        'I, II and 2 more'
    """
    names = list(names)
    shown = ", ".join(shorten(name) or "''" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known word and all of them.

    Args:
        word: the unknown word.
        known: the words that are valid.

    Example:
        >>> did_you_mean("epoch", ["epochs", "seed"])
        "did you mean 'epochs'? There are: epochs, seed"
    """
    # Names may come from a damaged file: of many lines, or long, or many.
    known = sorted(shorten(" ".join(each.splitlines())) for each in known)
    near = get_close_matches(shorten(word), known, n=1) if len(known) <= _MOST_COMPARED else []
    more = f" and {len(known) - _MOST_LISTED:,} more" if len(known) > _MOST_LISTED else ""
    listed = f"There are: {', '.join(known[:_MOST_LISTED])}{more}" if known else "There are none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed[0].lower() + listed[1:]


_MOST_LISTED, _MOST_COMPARED = 50, 10_000


def shorten(text: str) -> str:
    """Return a text of at most 80 characters, which ends with dots if it was longer."""
    return text if len(text) <= 80 else f"{text[:77]}..."
