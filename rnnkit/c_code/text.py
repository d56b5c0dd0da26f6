"""Names, numbers, comments and arrays in C99, for any names of layers and any locale."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

# Reserved words of C and C++, and names in headers.
_RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast
    continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int int8_t int32_t long main mutable namespace new noexcept not not_eq nullptr operator or or_eq
    private protected public register reinterpret_cast restrict return short signed size_t sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename typeof uint8_t uint16_t
    uint32_t uint64_t union unix linux unsigned using virtual void volatile wchar_t while xor xor_eq
    """.split()
)
SUFFIX = {"float32": "f", "float64": ""}
REAL = {"float32": "float", "float64": "double"}


def identifier(text: str, taken: Iterable[str] = (), fallback: str = "value") -> str:
    """Return a C identifier similar to a text, not among `taken`, reserved words or likely macros.

    >>> identifier("my layer-1"), identifier("double"), identifier("W"), identifier("h", {"h"}), identifier("2σ")
    ('my_layer_1', 'double_', 'W_', 'h_1', 'value_2_')
    """
    name = re.sub(r"[^A-Za-z0-9]+", "_", text)
    name = name.lstrip("_") or fallback
    if name[0].isdigit():
        name = f"{fallback}_{name}"
    if name in _RESERVED or name.upper() == name:
        name += "_"
    taken, found, count = set(taken), name, 0
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    return found


def is_identifier(text: str) -> bool:
    """Return whether a text is valid as the name of functions, types and files.

    >>> is_identifier("engine_2"), is_identifier("int"), is_identifier("a-b"), is_identifier("_a")
    (True, False, False, False)
    """
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", text, re.ASCII)) and text not in _RESERVED


def plain(text: object) -> str:
    """Return a text as one line of printable ASCII, safe in comments and strings, without trigraphs.

    >>> plain('a */ b /* ??/ "c\\n')
    "a *_/ b /_* ?_?/ 'c?"
    """
    found = re.sub(r"[^ -~]|\\", "?", str(text)).replace('"', "'")
    found = found.replace("*/", "*_/").replace("/*", "/_*")
    while "??" in found:
        found = found.replace("??", "?_?")
    return found


def comment(text: object) -> str:
    """Return a comment of one line, shortened if too long."""
    found = plain(text)
    return f"/* {found if len(found) <= 96 else found[:93] + '...'} */"


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def declaration(function: str, parameters: list[str], end: str = "") -> list[str]:
    """Return the head of a function, on several lines for many parameters."""
    lines = [f"{function}("]
    for i, parameter in enumerate(parameters or ["void"]):
        piece = parameter + ("," if i < len(parameters) - 1 else f"){end}")
        if len(lines[-1]) + len(piece) > 108:
            lines.append("    " + piece)
        else:
            lines[-1] += piece if lines[-1].endswith("(") else f" {piece}"
    return lines


def number(value: float, dtype) -> str:
    """Return a literal with exactly these bits in a dtype; NaN has any bits.

    >>> number(0.1, "float32"), number(2, "float64"), number(float("-inf"), "float32"), number(-0.0, "float64")
    ('0.1f', '2.0', '-INFINITY', '-0.0')
    """
    return numbers(np.array([value]), dtype)[0]


def numbers(values: np.ndarray, dtype) -> list[str]:
    """Return the shortest exact literals of all numbers of an array, flat."""
    suffix = SUFFIX[np.dtype(dtype).name]
    with np.errstate(over="ignore"):
        flat = np.asarray(values, dtype).reshape(-1)
    literals = [f"{value}{suffix}" for value in map(str, flat)]
    for i in np.flatnonzero(~np.isfinite(flat)):
        literals[i] = "NAN" if np.isnan(flat[i]) else "INFINITY" if flat[i] > 0 else "-INFINITY"
    return literals


def initializer(values: np.ndarray, dtype) -> list[str]:
    """Return the lines of an array's initializer in braces; an empty array gets one element."""
    values = np.asarray(values).reshape(-1)
    integers = np.dtype(dtype).kind in "iu"
    literals = list(map(str, values.astype(dtype).tolist())) if integers else numbers(values, dtype)
    lines, line = ["{"], "    "
    for literal in literals or ["0"]:
        if len(line) + len(literal) > 110:
            lines.append(line.rstrip())
            line = "    "
        line += f"{literal}, "
    return [*lines, line.rstrip(" ,"), "}"]


def static_array(kind: str, name: str, array: np.ndarray, dtype) -> list[str]:
    first, *lines, last = initializer(array, dtype)
    return [f"static const {kind} {name}[{max(array.size, 1)}] = {first}", *lines, f"{last};"]


def indented(lines: Iterable[str], by: int = 4) -> list[str]:
    """Indent lines, but for preprocessor lines and empty ones."""
    return [" " * by + line if line and not line.startswith("#") else line for line in lines]
