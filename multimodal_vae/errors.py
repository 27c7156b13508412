"""Errors a user can mend: each message is one sentence that says what is wrong, where, and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches


class MultimodalVAEError(Exception):
    """Base of every error of the user's input; the command line turns it into one line and exit code 2."""


class MultimodalVAEWarning(UserWarning):
    """Something a user should know, and need not mend; the command line prints it as one line."""


class ConfigurationError(MultimodalVAEError):
    """A setting is unknown, missing, or of the wrong type or range."""


class PluginError(MultimodalVAEError):
    """A part cannot be found or loaded."""


class DataError(MultimodalVAEError):
    """A manifest, file or array is not what a modality accepts."""


class RunError(MultimodalVAEError):
    """A run folder cannot be written, or is not what it should be."""


class TrainingError(MultimodalVAEError):
    """Training cannot go on, for example because a loss term is not finite."""


class TrainingInterrupted(Exception):  # noqa: N818  (an interruption is no error)
    """Training was stopped from outside (Ctrl-C); what had been reached is in the run folder."""


class SamplerError(MultimodalVAEError):
    """A density cannot be fitted to, or sampled from, what it was given."""


def one_line(error: BaseException) -> str:
    """An exception in one line, its class first."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the tail of a message that helps with a misspelt word.

    Args:
        word: what was written.
        known: what would have been right.

    Example:
        >>> did_you_mean("epoch", ["epochs", "seed"])
        "did you mean 'epochs'? There are: epochs, seed"
    """
    known = sorted(" ".join(each.splitlines()) for each in known)  # names may come from a damaged file
    near = get_close_matches(word, known, n=1)
    listed = f"There are: {', '.join(known)}" if known else "There are none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed[0].lower() + listed[1:]
