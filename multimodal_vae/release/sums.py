"""``SHA256SUMS``: a checksum per file of a folder, in the format of ``sha256sum``, and one digest of the whole.

Only the standard library is imported, so that a folder is checked fast, and without torch.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from multimodal_vae.errors import RunError, shorten

SUMS = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64})  ([^\r\n]+)")
_LONGEST = 2**28
"""Maximum size of the list in bytes; two million files take it."""


def write_sums(folder: Path) -> str:
    """Write the checksums of all files of a folder, and return the digest of the list."""
    files, _ = list_files(folder)
    content = _text({name: sha256(folder / name) for name in files})
    (folder / SUMS).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read_sums(folder: Path) -> tuple[dict[str, str], str]:
    """Return the checksum of each file as listed, and the digest of the list.

    The list has one form: sorted by name, each name once. So any change of it is seen.

    Raises:
        RunError: if it is missing or has another form.
    """
    path = folder / SUMS
    try:
        facts = os.lstat(path)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LONGEST:
            raise RunError(f"{path} is no list of checksums; ask for the folder anew")
        content = path.read_bytes()
        sums = {name: checksum for checksum, name in _LINE.findall(content.decode())}
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{folder} is no release: it has no {SUMS}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is no list of checksums: it is not UTF-8; ask for the folder anew") from error
    if _text(sums) != content:
        raise RunError(f"{path} was changed: it is not sorted, one checksum per line; ask for the folder anew")
    return sums, hashlib.sha256(content).hexdigest()


def list_files(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of all regular files below a folder but the list itself, and what else is there.

    Links are not followed. Names are relative, with slashes.

    Returns:
        The sorted names, and one phrase for each link, pipe, empty folder or other thing.
    """
    files, faults = list[str](), list[str]()
    for root, folders, names in os.walk(folder, onerror=_refuse):
        within = Path(root).relative_to(folder)
        if not folders and not names:
            faults.append(f"{shorten(within.as_posix())} is an empty folder")
        for name in (*folders, *names):
            path = (within / name).as_posix()
            mode = os.lstat(folder / path).st_mode
            if stat.S_ISREG(mode):
                files += [path] if path != SUMS else []
            elif not stat.S_ISDIR(mode):
                faults.append(f"{shorten(path)} is {'a link' if stat.S_ISLNK(mode) else 'no file'}")
    return sorted(files), sorted(faults)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{checksum}  {name}\n" for name, checksum in sorted(sums.items())).encode()


def _refuse(error: OSError) -> None:
    raise RunError(f"{error.filename} cannot be read: {error.strerror}") from error
