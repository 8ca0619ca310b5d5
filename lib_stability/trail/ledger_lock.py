"""The lock of a ledger's folder: several processes append to one, and none of them waits for ever.

By ``filelock``, which torch brings along: the system's own lock where it has one, taken from a process that dies; else (network drives, some
containers) a file that is there while somebody writes.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME, SOFT_NAME = "ledger.lock", "ledger.lock.soft"
#: Seconds that somebody else may hold the lock, and how long a second waits who has just found it held.
PATIENCE, HURRY = 5.0, 0.2
#: Seconds after which the file of a soft lock was left behind by a process that died: a write takes milliseconds.
STALE = 120.0
_POLL = 0.005
_NONE = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
#: Folders whose lock was last found held.
_held: set[Path] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises
    ------
    OSError
        It cannot be had; TimeoutError where somebody else holds it.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    folder = Path(folder)
    if _system_locks(folder):
        lock = FileLock(str(folder / NAME))
    else:
        _sweep(folder / SOFT_NAME)
        lock = SoftFileLock(str(folder / SOFT_NAME))
    seconds = HURRY if folder in _held else PATIENCE
    try:
        lock.acquire(seconds, _POLL)
    except Timeout:
        _held.add(folder)
        raise TimeoutError(f"another process has held the ledger's lock for more than {seconds:g} s") from None
    except NotImplementedError as error:
        raise OSError(errno.ENOLCK, str(error)) from None
    _held.discard(folder)
    try:
        yield
    finally:
        lock.release()


def _system_locks(folder: Path) -> bool:
    """Whether the file system knows locks. Asked every time: a folder may be mounted anew."""
    try:
        import fcntl
    except ImportError:  # Windows, where every file system does
        return True
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NONE
    finally:
        os.close(handle)
    return True


def _sweep(path: Path) -> None:
    """Take away what a process that died has left."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > STALE:
            path.unlink()
