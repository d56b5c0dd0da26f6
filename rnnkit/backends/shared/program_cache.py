"""Compiled programs by the hash of their text: in memory, and on disk between processes.

An entry on disk is one file, written beside its place and moved there, that starts with the digest of the rest.
Whatever is wrong with it or with the folder is a miss. To load an entry is to run it: none is read where another user
can write. The key covers the text, the kernels that it calls, the versions of Python, NumPy, numba and llvmlite, and
the processor.
"""

from __future__ import annotations

import hashlib
import itertools
import linecache
import os
import pickle
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path

from rnnkit.backends.shared.interrupts import behind_it
from rnnkit.backends.shared.trusted_folder import fault, make, only_ours, trusted

_programs: dict[str, types.ModuleType] = {}
lock = threading.RLock()
_SUFFIX = ".rnnkit"
_KERNELS = ("backends",)  # subpackages whose code programs call or inline
_FORMAT = 2  # another number leaves programs that were written in another way alone


def cache_folder() -> Path:
    """The folder of compiled programs: ``RNNKIT_CACHE_DIR``, or one in the platform's user cache folder."""
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
    """Where compiled programs are kept on disk, how many, their size, and whether they are used.

    Returns
    -------
    dict
        ``folder`` (str), ``programs`` (int), ``bytes`` (int), ``verdict`` (str). A folder that isn't there has no
        programs. The verdict is ``"trusted"``, or ``"not used: "``, why and what to do: programs are code, so a folder
        that another user could have written to is neither read nor written.
    """
    folder, files = cache_folder(), _files()
    why = fault(folder)
    return {
        "folder": str(folder),
        "programs": len(files),
        "bytes": sum(_size(f) for f in files),
        "verdict": "trusted" if why is None else f"not used: {why}",
    }


def clear_cache() -> int:
    """Delete the compiled programs on disk, trusted or not; those that this process has loaded go on running.

    Returns
    -------
    int
        How many were deleted.
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


def address(function) -> int:
    """Where the machine code of a loaded program's function stands."""
    (compiled,) = function.overloads.values()
    return compiled.library.get_pointer_to_function(compiled.fndesc.mangled_name)


def load(text: str, signature: str, target: str = "") -> Callable:
    """The function ``run`` of a program, compiled once for its text, for one signature and one kind of target."""
    key = _key(text + target)
    module = _programs.get(key)
    if module is None:
        with lock:
            module = _programs.get(key)
            if module is None:
                with behind_it():
                    module = _programs[key] = _compile(text, key, signature)
    return module.run


def loaded() -> int:
    """How many programs this process holds."""
    return len(_programs)


def _key(text) -> str:
    return hashlib.sha256((text + surroundings()).encode()).hexdigest()[:32]


@cache
def surroundings() -> str:
    """All that a program depends on besides its text."""
    import llvmlite
    import numba
    import numpy as np
    from numba.core.registry import cpu_target

    kernels = digest_of_kernels(Path(__file__).parents[2])
    versions = (sys.version, np.__version__, numba.__version__, llvmlite.__version__)
    processor = cpu_target.target_context.codegen().magic_tuple()
    return repr((_FORMAT, kernels, versions, processor))


def digest_of_kernels(package: Path) -> str:
    """What the files that programs call say, in all folders below, and where they stand."""
    digest = hashlib.sha256()
    for subpackage in _KERNELS:
        for file in sorted((package / subpackage).rglob("*.py")):
            digest.update(f"{file.relative_to(package).as_posix()} {file.stat().st_size} ".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def number_functions_apart() -> None:
    """Start numba's numbers of functions where no other process does.

    They are part of symbols' names. Programs that several processes compiled meet in one that loads them, and the
    linker takes equal names for the same function: inner functions of one factory, say, for both precisions.
    """
    from numba.core.bytecode import FunctionIdentity

    FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(7), "little"))


def _after_fork():
    """A child may have been forked while another thread, which it doesn't have, held a lock."""
    number_functions_apart.cache_clear()
    lock._at_fork_reinit()  # type: ignore[attr-defined]
    if "numba" in sys.modules:
        from numba.core.compiler_lock import global_compiler_lock

        global_compiler_lock._lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def module_of(text: str, name: str) -> types.ModuleType:
    """A text as a module, whose lines tracebacks and debuggers find."""
    filename = f"<{name}>"
    module = types.ModuleType(name)
    module.__file__ = filename
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    sys.modules[name] = module
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _compile(text, key, signature) -> types.ModuleType:
    from rnnkit.backends.shared.numba_pipeline import compiling  # which takes numba along

    number_functions_apart()
    module = module_of(text, f"rnnkit_program_{key}")
    dispatcher = module.run
    dispatcher._cache = _DiskCache(key)
    with compiling():
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    _free_parts(module)
    return module


def _free_parts(module) -> None:
    """Free what a compiled program does not need: the functions linked into it, and a copy for linking it elsewhere."""
    from numba.core.dispatcher import Dispatcher

    for name, value in list(vars(module).items()):
        if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__ and value is not module.run:
            delattr(module, name)
    for signature, found in module.run.overloads.items():
        found.library._linking_libraries.clear()
        found.library._shared_module = None
        module.run.overloads[signature] = found._replace(type_annotation="")


def read_entry(key: str) -> bytes | None:
    """What is kept on disk under a key, or None whatever the reason."""
    folder = cache_folder()
    if not trusted(folder):
        return None
    try:
        with open(folder / f"{key}{_SUFFIX}", "rb", opener=_open_itself) as file:
            data = file.read() if only_ours(os.fstat(file.fileno())) else b""
    except OSError:
        return None
    digest, payload = data[:32], data[32:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def _open_itself(path, flags):
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))  # a link would lead out of the folder


def write_entry(key: str, payload: bytes) -> None:
    """Write an entry beside its place and move it there; a folder that can't be written to is left alone."""
    folder = cache_folder()
    if not trusted(folder):
        return
    try:
        make(folder)
        if not trusted(folder):  # in /tmp, say, another user may have made it first
            return
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, folder / f"{key}{_SUFFIX}")
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        return


class _DiskCache:
    """What a numba dispatcher asks of a cache: one entry, for one signature."""

    def __init__(self, key):
        self.key = key
        self.cache_path = str(cache_folder())

    def enable(self):
        """Nothing to do: it is always on."""

    disable = flush = enable

    def load_overload(self, sig, target_context):
        """The compiled result, or None whatever the reason."""
        from numba.core import compiler

        payload = read_entry(self.key)
        if payload is None:
            return None
        try:
            target_context.refresh()
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:
            return None

    def save_overload(self, sig, compiled):
        """Keep the compiled result."""
        from numba.core.serialize import dumps

        write_entry(self.key, dumps(compiled._reduce()))
