"""Locks of folders, so that two processes never write one folder at once; a lock ends with its process."""

import datetime
import errno
import os
import platform
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from multimodal_vae import distributed
from multimodal_vae.errors import MultimodalVAEWarning, RunError

LOCK = ".mmvae.lock"
"""Name of the file in a folder that is locked while the folder is written, and then removed."""

_handles: set[int] = set()
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
_OWNER = re.compile(r"process \d{1,20} on [\w.-]{1,255} since [\d: -]{1,30} UTC")
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"))
_ATTEMPTS = 100
"""Attempts to lock a file that other processes remove meanwhile."""

if sys.platform == "win32":
    import msvcrt

    _TAKEN: type[OSError] = PermissionError

    def _lock(handle: int, path: Path) -> None:  # noqa: ARG001  (as on other systems)
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # others can read the bytes before this one
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    _TAKEN: type[OSError] = BlockingIOError

    def _lock(handle: int, path: Path) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            writable = os.open(path, os.O_RDWR | _FLAGS)  # which NFS wants
            os.dup2(writable, handle, inheritable=False)
            os.close(writable)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path, name: Path | None = None) -> Iterator[None]:
    """Hold the lock of a folder within a block; a missing folder is created, and removed if it stays empty.

    Blocks may be nested. In a distributed task, process 0 holds the lock for all.

    Args:
        folder: the folder.
        name: path in error messages. Default: the folder.

    Raises:
        RunError: if another process holds the lock, which it names, or if the folder cannot be written.
    """
    name, key = name or folder, folder.resolve()
    if key in _held.get() or distributed.rank() > 0:
        yield
        return
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        handle = _acquire(folder, name)
    except OSError as error:
        _remove_empty(missing)
        raise RunError(f"{name} cannot be written: {error.strerror}") from error
    _handles.add(handle)
    token = _held.set(_held.get() | {key})
    try:
        yield
    finally:
        _held.reset(token)
        _release(folder, handle)
        _remove_empty(missing)


def _acquire(folder: Path, name: Path) -> int:
    """Create the folder and its lock file, lock it, and return its handle."""
    path = folder / LOCK
    for _ in range(_ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # To be read, since a disk with a file open to be written cannot be made read-only.
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | _FLAGS, 0o644)
        except FileNotFoundError:  # another process has just removed the folder
            continue
        try:
            _require_file(handle, name)
            _lock_or_explain(handle, path, name)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.lstat(path)):
                    _write_owner(path)
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another process has removed the file since it was opened
    raise RunError(f"{name} is being written by other processes; wait until they have ended")


def _require_file(handle: int, name: Path) -> None:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        raise RunError(f"{LOCK} of {name} is not a file of its own; remove it")


def _lock_or_explain(handle: int, path: Path, name: Path) -> None:
    try:
        _lock(handle, path)
    except _TAKEN:
        owner = os.pread(handle, 400, 0) if hasattr(os, "pread") else os.read(handle, 400)
        found = _OWNER.fullmatch(owner.decode("utf-8", "replace").strip())
        raise RunError(
            f"{name} is being written by {found[0] if found else 'another process'}; wait until it has ended"
        ) from None
    except OSError as error:  # as on some network file systems
        warnings.warn(
            f"{name} cannot be locked ({error.strerror}); make sure that no other process writes it",
            MultimodalVAEWarning,
            stacklevel=5,
        )


def _write_owner(path: Path) -> None:
    """Note who holds the lock; a full disk is left to what follows."""
    host = re.sub(r"[^\w.-]", "_", platform.node()) or "unknown"
    since = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}"
    with suppress(OSError), open(os.open(path, os.O_WRONLY | os.O_TRUNC | _FLAGS), "wb") as file:
        file.write(f"process {os.getpid()} on {host} since {since} UTC\n".encode())


def _release(folder: Path, handle: int) -> None:
    """Remove the lock file while it is locked, so that nobody else's is removed; Windows allows it only afterwards."""
    if handle not in _handles:  # in a forked child
        return
    _handles.remove(handle)
    with suppress(OSError):
        (folder / LOCK).unlink()
    os.close(handle)
    if sys.platform == "win32":
        with suppress(OSError):
            (folder / LOCK).unlink()


def _leave_to_parent() -> None:
    """Close the locks of a parent process in its forked child, in which they would outlive the parent."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, inner ones first, up to the first that is not empty."""
    with suppress(OSError):
        for each in folders:
            each.rmdir()
