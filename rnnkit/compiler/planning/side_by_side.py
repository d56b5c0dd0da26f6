"""Functions of one row that don't wait for each other, to be computed in lanes of one register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard

from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.compiler.ir.plan import Element, Number, Pointwise, RowLine, RowLoop, given_by

MOST = 16  # that are computed at once
_INSTRUCTIONS = {"sqrt"}  # of the processor's own


def side_by_side(lines: list[RowLine], may_join: Callable[[Pointwise], bool]) -> list[RowLine | tuple[Pointwise, ...]]:
    """Return the same lines with tuples of `MOST` functions at most that are computed at once, where the first stood.

    The cheap lines that the others wait for come before them. `may_join` tells whether a function's argument and result
    are numbers of the row.
    """
    left = list(lines)
    found: list[RowLine | tuple[Pointwise, ...]] = []
    while left:
        line = left.pop(0)
        if not _is_function(line) or not may_join(line):
            found.append(line)
            continue
        group, moved = [line], []  # type: tuple[list[Pointwise], list[Element | Number | Pointwise]]
        makers = {name: one for one in left for name in all_given_by(one)} | {line.name: line}
        for other in left:
            if len(group) == MOST:
                break
            if _is_function(other) and other.op == line.op and may_join(other):
                needed = _cheap(other.args[0], makers)
                if needed is not None:
                    moved += needed
                    group.append(other)
                    makers = {name: one for name, one in makers.items() if one not in needed}
        if len(group) == 1:
            found.append(line)
            continue
        found += [*moved, tuple(group)]
        gone = {id(one) for one in (*moved, *group)}
        left = [one for one in left if id(one) not in gone]
    return found


def is_expensive(line: RowLine) -> TypeGuard[Pointwise]:
    """Tell whether a line is an operation that takes as long as several others."""
    return isinstance(line, Pointwise) and line.op in OPERATIONS and OPERATIONS[line.op].expensive


def _is_function(line: RowLine) -> TypeGuard[Pointwise]:
    return is_expensive(line) and line.kind == "float" and len(line.args) == 1 and line.op not in _INSTRUCTIONS


def all_given_by(line: RowLine) -> tuple[str, ...]:
    """Return the names to which a line gives values; a loop's with how many rounds it went."""
    return (*given_by(line), line.name) if isinstance(line, RowLoop) else given_by(line)


def _cheap(name: str, makers: Mapping[str, RowLine]) -> list[Element | Number | Pointwise] | None:
    """Return the lines that give a value, in order; None if one of them isn't cheap, or reads what others write."""
    if name not in makers:
        return []
    line = makers[name]
    if isinstance(line, Number) or (isinstance(line, Element) and line.buffer.kind != "state"):
        return [line]
    if not isinstance(line, Pointwise) or _is_function(line):
        return None
    found: list[Element | Number | Pointwise] = []
    for arg in line.args:
        needed = _cheap(arg, makers)
        if needed is None:
            return None
        found += [one for one in needed if one not in found]
    return [*found, line]
