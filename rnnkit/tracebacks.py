"""Tracebacks of mistakes in a user's step: the lines that call it and its own, without rnnkit's between."""

from __future__ import annotations

import contextlib
import dis
import functools
import linecache
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, ParamSpec, TypeVar

import numpy as np

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

_OWN = str(Path(__file__).parent) + os.sep
_NUMPY = (str(Path(np.__file__).parent) + os.sep, "numpy/")  # the second of Cython
_HIDDEN = (_OWN, *_NUMPY, contextlib.__file__, functools.__file__)
_RAISES = {dis.opmap["RAISE_VARARGS"], dis.opmap["RERAISE"]}
_doors: set[CodeType] = set()  # of the functions that call a step


def door(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Mark a function that calls a step, as a decorator: errors inside are the step's."""
    _doors.add(function.__code__)
    return function


def edge(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Shorten the tracebacks of a public function's errors, as a decorator."""

    @functools.wraps(function)
    def at_the_edge(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
        try:
            return function(*arguments, **keywords)
        except Exception as error:
            error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)  # without this function
            shorten(error)
            raise

    return at_the_edge


def shorten(error: BaseException) -> None:
    """Leave rnnkit's and NumPy's frames out of the traceback of a mistake in a step; any other stays as it is.

    A bare ``raise`` adds no frame to it. Frames of failures inside rnnkit, which it doesn't raise itself, stay, too,
    and ``RNNKIT_FULL_TRACEBACK=1`` keeps all.
    """
    entries, known = list(_entries(error.__traceback__)), vars(error).get("_rnnkit_in_words")
    places = [i for i, one in enumerate(entries) if one.tb_frame.f_code in _doors]
    if (not places and known is None) or os.environ.get("RNNKIT_FULL_TRACEBACK", "0") not in ("", "0"):
        return
    if known is None:  # kept, since an outer edge sees a shortened traceback
        known = vars(error)["_rnnkit_in_words"] = in_words(error)  # an error may refuse attributes
    first = next((i for i, one in enumerate(entries) if _is_in(one, _OWN)), len(entries))
    last = max((i for i, one in enumerate(entries) if not _is_in(one, _HIDDEN)), default=-1)
    last = max(last, *places) if places else last
    kept = entries[:first] + [one for one in entries[first : last + 1] if not _is_in(one, _HIDDEN)]
    if not known:
        kept += entries[last + 1 :]
    shown: TracebackType | None = None
    for one in reversed(kept):
        shown = TracebackType(shown, one.tb_frame, one.tb_lasti, one.tb_lineno)
    error.with_traceback(shown)


def in_words(error: BaseException) -> bool:
    """Return whether an error was raised on purpose, rather than by a failure inside rnnkit."""
    entries = [one for one in _entries(error.__traceback__) if not _is_in(one, _HIDDEN[1:])]
    if not entries or not _is_in(entries[-1], _OWN):
        return True
    code = entries[-1].tb_frame.f_code.co_code
    return code[entries[-1].tb_lasti] in _RAISES and not isinstance(error, AssertionError)


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_in(entry: TracebackType, folders) -> bool:
    return entry.tb_frame.f_code.co_filename.startswith(folders)


def name_shapes(error: Exception) -> None:
    """Add the shapes of the arrays of a step's line as a note, if the error is about shapes."""
    if type(error) not in (ValueError, IndexError, np.exceptions.AxisError):
        return
    entries = [one for one in _entries(error.__traceback__) if not _is_in(one, _HIDDEN)]
    if not entries or entries[-1].tb_frame.f_code.co_code[entries[-1].tb_lasti] in _RAISES:
        return
    frame, code = entries[-1].tb_frame, entries[-1].tb_frame.f_code
    start, end, *_ = list(code.co_positions())[entries[-1].tb_lasti // 2]
    lines = [linecache.getline(code.co_filename, i) for i in range(start or 0, (end or -1) + 1)]
    shapes: dict[str, Any] = {}
    for name, part, place in re.findall(r"(?<![.\w])([^\W\d]\w*)(?:\.(\w+)|\[(\d+)\])?", " ".join(lines)):
        value: Any = frame.f_locals.get(name)
        shown = name
        if place and isinstance(value, tuple) and int(place) < len(value):
            value, shown = value[int(place)], f"{name}[{place}]"
        elif part and not hasattr(value, "shape"):
            value, shown = getattr(value, part, None), f"{name}.{part}"
        if isinstance(getattr(value, "shape", None), tuple):
            shapes[shown] = value.shape
    if shapes:
        error.add_note("shapes: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))


def return_of(function) -> str:
    """Return the place of a function's only return, or of its beginning: file, line, and the line itself."""
    code = function.__code__
    lines = {i.positions.lineno for i in dis.get_instructions(code) if i.opname.startswith("RETURN_") and i.positions}
    line = lines.pop() if len(lines) == 1 else None
    line = line or code.co_firstlineno
    return f"{code.co_filename}, line {line}: {linecache.getline(code.co_filename, line).strip()}"
