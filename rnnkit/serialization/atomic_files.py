"""Atomic writing of files: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # on Windows
    flock = None  # type: ignore[assignment]

_DAY = 86_400.0  # seconds after which no process still writes


@contextmanager
def replacing(path) -> Iterator[Path]:
    """Yield a file to write beside `path`, which it replaces once complete.

    Errors leave `path` unchanged, and no file beside it; a file left by a killed process is removed by the next one
    that writes to `path`. A `path` that exists and is no file, such as a pipe or the null device, is written to
    directly. A missing folder is a FileNotFoundError, a directory at `path` an IsADirectoryError.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; expected the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} in")
    if path.exists() and not path.is_file():
        yield path
        return
    _remove_leftovers(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{path.suffix}")
    try:
        with _held(beside):
            yield beside
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def _held(beside) -> Iterator[None]:
    """Make a file, and hold a lock on it that ends with this process."""
    # Not by tempfile, whose files are for the owner alone; querying the umask would change it for other threads.
    file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _lock(file)
        if flock is None:  # Windows replaces no file that is open
            os.close(file)
        yield
    finally:
        if flock is not None:
            os.close(file)


def _lock(file: int) -> bool:
    if flock is None:
        return False
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except OSError:  # locked by another process, or a file system without locks
        return False
    return True


def _remove_leftovers(path) -> None:
    """Remove the files beside `path` of killed processes, whose locks are gone."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}{re.escape(path.suffix)}")
    with os.scandir(path.parent) as files:
        left = [file.path for file in files if ours.fullmatch(file.name) and file.is_file(follow_symlinks=False)]
    for name in left:
        with contextlib.suppress(OSError):  # another process was faster
            file = os.open(name, os.O_RDONLY)
            abandoned = _lock(file) or (flock is None and time.time() - os.fstat(file).st_mtime > _DAY)
            os.close(file)
            if abandoned:
                os.unlink(name)
