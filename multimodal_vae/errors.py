"""Errors that a user can fix: each message is one line that says what is wrong, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class MultimodalVAEError(Exception):
    """Base of all errors in the user's input; the command line prints one line and exits with code 2."""


class MultimodalVAEWarning(UserWarning):
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


class TrainingInterrupted(Exception):  # noqa: N818  (an interruption is no error)
    """Training was stopped by Ctrl-C or SIGTERM; the run folder holds a checkpoint to resume from."""


class SamplerError(MultimodalVAEError):
    """A sampler cannot be fitted to the given latents, or has not been fitted."""


def one_line(error: BaseException) -> str:
    """Return an exception in one line: its class, then its message."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known word and all of them.

    Args:
        word: the unknown word.
        known: the words that are valid.

    Example:
        >>> did_you_mean("epoch", ["epochs", "seed"])
        "did you mean 'epochs'? There are: epochs, seed"
    """
    known = sorted(" ".join(each.splitlines()) for each in known)  # names may come from a damaged file
    near = get_close_matches(word, known, n=1)
    listed = f"There are: {', '.join(known)}" if known else "There are none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed[0].lower() + listed[1:]
