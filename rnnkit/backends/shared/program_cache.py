"""Compiled programs by the hash of their text: in memory while they are used, and on disk between processes.

An entry on disk is one file, written beside its place and moved there, that starts with the digest of its key and of
the rest. Whatever is wrong with it, with its name or with the folder is a miss. To load an entry is to run it: none is
read where another user can write. Of several processes that miss the same program at once, one compiles it. The key
covers the text, the kernels that it calls, the versions of Python, NumPy, numba and llvmlite, and the processor.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  # its lock is taken after `lock` before a fork, as in compiling
import contextlib
import errno
import hashlib
import itertools
import linecache
import os
import sys
import tempfile
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from rnnkit.backends.shared.interrupts import behind_it
from rnnkit.backends.shared.trusted_folder import fault, make, only_ours, trusted

_programs: MutableMapping[str, Any] = WeakValueDictionary()  # in use
_recent: deque[Any] = deque(maxlen=256)  # may be wanted again soon
Program = TypeVar("Program")
lock = threading.RLock()  # held while layers are built and programs are compiled: both are rare
_SUFFIX, _UNFINISHED = ".rnnkit", ".tmp"
_LOCK = ".lock"
_LIMIT = 1_000_000_000  # bytes of the folder, unless RNNKIT_CACHE_LIMIT is set
_DAY = 86_400.0  # seconds: precision of the time of an entry's last use
_OFTEN = 32  # writes from one look at the folder's size to the next
_writes = itertools.count()
_PATIENCE = 60.0  # seconds that a process waits for one that compiles the same program


def cache_folder() -> Path:
    """Return the folder of compiled programs: ``RNNKIT_CACHE_DIR``, or one in the platform's user cache folder."""
    if given := os.environ.get("RNNKIT_CACHE_DIR"):
        return Path(given)
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home, as in containers: no folder can be made here, so nothing is kept
        base = os.devnull
    return Path(base) / "rnnkit"


def cache_info() -> dict[str, object]:
    """Return where compiled programs are kept on disk, how many, their size, and whether they are used.

    Returns
    -------
    dict
        ``folder`` (str), ``programs`` (int), ``bytes`` (int), ``limit`` (int), ``verdict`` (str). A folder that isn't
        there has no programs. The limit is ``RNNKIT_CACHE_LIMIT`` in bytes, 1 GB without it; beyond it the programs
        that weren't used for longest are deleted. The verdict is ``"trusted"``, or ``"not used: "``, why and what to
        do: programs are code, so a folder that another user could have written to is neither read nor written.

    Examples
    --------
    >>> import rnnkit as rk
    >>> sorted(rk.cache_info())
    ['bytes', 'folder', 'limit', 'programs', 'verdict']
    """
    folder, files = cache_folder(), _files()
    why = fault(folder)
    return {
        "folder": str(folder),
        "programs": len(files),
        "bytes": sum(_size(f) for f in files),
        "limit": _limit(),
        "verdict": "trusted" if why is None else f"not used: {why}",
    }


def clear_cache() -> int:
    """Delete the compiled programs on disk, trusted or not; those that this process has loaded go on running.

    Returns
    -------
    int
        How many were deleted.

    Examples
    --------
    All programs are compiled again afterwards::

        rk.clear_cache()
    """
    deleted = 0
    for file in _files():
        try:
            file.unlink()
            deleted += 1
        except OSError:
            continue
    return deleted


def _files() -> list[Path]:
    try:
        return sorted(cache_folder().glob(f"*{_SUFFIX}"))
    except OSError:
        return []


def _size(file) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _limit() -> int:
    given = os.environ.get("RNNKIT_CACHE_LIMIT", "").strip() or str(_LIMIT)
    if not (given.isascii() and given.isdigit()):
        raise ValueError(f"expected RNNKIT_CACHE_LIMIT to be a number of bytes, got {given!r}")
    return int(given)


def _trim(folder) -> None:
    """Delete files left by killed processes, and the entries that were used least recently."""
    now, entries = time.time(), []
    with os.scandir(folder) as files:
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # another process deleted it first
                found = file.stat(follow_symlinks=False)
                if file.name.endswith(_SUFFIX):
                    entries.append((found.st_mtime, found.st_size, file.path))
                elif file.name.endswith(_UNFINISHED) and now - found.st_mtime > _DAY:
                    os.unlink(file.path)
    beyond = sum(size for _, size, _ in entries) - _limit()
    for _, size, path in sorted(entries):
        if beyond <= 0:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        beyond -= size


def find(text: str, make: Callable[[str], Program]) -> Program:
    """Return the program of a text, made once in this process by ``make(key)``; the key also names it on disk."""
    return find_all([text], lambda missing: map(make, missing))[0]


def find_all(texts: Sequence[str], make: Callable[[dict[str, str]], Iterable[Program]]) -> list[Program]:
    """As `find`, of several texts: missing programs are made together; all are kept for some time after their use."""
    keys = {text: _key(text) for text in texts}
    found: dict[str, Any] = {key: _programs.get(key) for key in keys.values()}
    if None in found.values():
        with lock:
            found = {key: _programs.get(key) for key in keys.values()}
            missing = {key: text for text, key in keys.items() if found[key] is None}
            if missing:
                with behind_it():
                    found.update(zip(missing, make(missing), strict=True))
                _programs.update(found)
    _recent.extend(found.values())
    return [found[keys[text]] for text in texts]


def loaded() -> int:
    return len(_programs)


def _key(text) -> str:
    return hashlib.sha256((text + surroundings()).encode()).hexdigest()[:32]


@cache
def surroundings() -> str:
    """Return all that a program depends on besides its text."""
    import llvmlite
    import numpy as np

    from rnnkit.backends.shared import processor

    kernels = digest_of_kernels(Path(__file__).parents[2])
    versions = (sys.version, np.__version__, _numba(), llvmlite.__version__)
    return repr((kernels, versions, processor.TRIPLE, processor.NAME, processor.FEATURES))


def _numba() -> str:
    """Return numba's version as its own file has it: its import takes long, and so does that of its metadata."""
    spec = find_spec("numba")
    file = Path(spec.origin).with_name("_version.py") if spec and spec.origin else None
    if file is not None and file.exists():
        return file.read_text(encoding="utf-8")
    from importlib.metadata import version

    return version("numba")


def digest_of_kernels(package: Path) -> str:
    """Return a digest of the files that programs call, in all folders below, and of their paths."""
    digest = hashlib.sha256()
    for file in sorted((package / "backends").rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()} {file.stat().st_size} ".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def number_functions_apart() -> None:
    """Start numba's numbers of functions, which are part of symbols' names, at a value that no other process uses.

    Programs of several processes meet in one that loads them, and the linker takes equal names for one function.
    """
    from numba.core.bytecode import FunctionIdentity

    FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(7), "little"))


def _before_fork():
    """Wait until other threads have compiled: a child can't free LLVM's locks, or finish their work."""
    lock.acquire(timeout=_PATIENCE)
    if (held := _of_llvm()) is not None:  # freeing code takes LLVM's lock without rnnkit's
        held.acquire(timeout=_PATIENCE)


def _of_llvm() -> Any:
    module = sys.modules.get("llvmlite.binding.ffi")
    return getattr(getattr(getattr(module, "lib", None), "_lock", None), "_lock", None)


def _in_parent():
    for held in (_of_llvm(), lock):
        with contextlib.suppress(RuntimeError, AttributeError):  # the wait took too long, or LLVM isn't loaded
            held.release()


def _in_child():
    """Free locks of threads that the child doesn't have, also of the user's threads that compile with numba."""
    try:
        lock.release()
    except RuntimeError:
        lock._at_fork_reinit()  # type: ignore[attr-defined]
    if hasattr(held := _of_llvm(), "_at_fork_reinit"):
        held._at_fork_reinit()
    number_functions_apart.cache_clear()
    if "numba" in sys.modules:
        from numba.core.compiler_lock import global_compiler_lock

        global_compiler_lock._lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def module_of(text: str, name: str) -> types.ModuleType:
    """Return a text as a module, whose lines tracebacks and debuggers find."""
    filename = f"<{name}>"
    module = types.ModuleType(name)
    module.__file__ = filename
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    sys.modules[name] = module
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def read_entry(key: str) -> bytes | None:
    """Return the entry on disk under a key, or None whatever the reason."""
    folder = cache_folder()
    if not trusted(folder):
        return None
    try:
        with open(folder / f"{key}{_SUFFIX}", "rb", opener=_open_itself) as file:
            found = os.fstat(file.fileno())
            data = file.read() if only_ours(found) else b""
    except OSError:
        return None
    digest, payload = data[:32], data[32:]
    if _digest(key, payload) != digest:
        return None
    if time.time() - found.st_mtime > _DAY:
        with contextlib.suppress(OSError):  # a folder that can't be written to isn't trimmed either
            os.utime(folder / f"{key}{_SUFFIX}")
    return payload


def _digest(key, payload) -> bytes:
    return hashlib.sha256(key.encode() + payload).digest()  # of both: an entry is invalid under another key


def _open_itself(path, flags):
    # A link would lead out of the folder, and a pipe would wait for a writer.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def write_entry(key: str, payload: bytes) -> None:
    """Write an entry beside its place and move it there; a folder that can't be written to is left alone."""
    folder = cache_folder()
    if not trusted(folder):
        return
    try:
        make(folder)
        if not trusted(folder):  # in /tmp, say, another user may have made it first
            return
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=_UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(key, payload) + payload)
            os.replace(temporary, folder / f"{key}{_SUFFIX}")
        except BaseException:
            os.unlink(temporary)
            raise
        if next(_writes) % _OFTEN == 0:
            _trim(folder)
    except OSError:
        return


def entry(key: str, make: Callable[[], bytes]) -> bytes:
    """Return the entry on disk under a key; without one, the result of `make`, which is kept from then on."""
    return entries([key], lambda keys: [make()])[0]


def entries(keys: Sequence[str], make: Callable[[list[str]], Iterable[bytes]]) -> list[bytes]:
    """As `entry`, of several keys: ``make(missing)`` gives the missing entries."""
    found = {key: read_entry(key) for key in keys}
    missing = [key for key, payload in found.items() if payload is None]
    if missing:
        with _first(missing):
            found |= {key: read_entry(key) for key in missing}
            missing = [key for key in missing if found[key] is None]
            for key, payload in zip(missing, make(missing) if missing else (), strict=True):
                found[key] = payload
                write_entry(key, payload)
    return [payload for payload in (found[key] for key in keys) if payload is not None]


@contextlib.contextmanager
def _first(keys: Sequence[str]) -> Iterator[None]:
    """Hold off other processes that want the same programs, or wait for the one that came first, a minute at most.

    A program's lock is one byte of a file, which goes with its process; all take the bytes in one order, so that no
    two wait for each other. Nobody waits in a folder that isn't used, or where the system has no such locks.
    """
    file = _lock_file()
    try:
        if file is not None:
            for byte in sorted({int(key[:7], 16) for key in keys}):
                _wait(file, byte)
        yield
    finally:
        if file is not None:
            os.close(file)


def _lock_file() -> int | None:
    folder = cache_folder()
    if sys.platform == "win32" or not trusted(folder):
        return None
    try:
        make(folder)
        return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _wait(file: int, byte: int) -> None:
    import fcntl

    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return  # a file system without locks
        time.sleep(0.02)
