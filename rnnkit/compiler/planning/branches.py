"""Decisions of one row as jumps: what only one of two values needs is computed where that is taken.

A plan by rows chooses between values, which is right for lanes of which each decides by itself. One row can jump. Here
the lines of such a plan are arranged anew: each goes into the innermost branch in which all that reads it is, and
branches of one condition become one where nothing between them forbids it. A choice of what costs little stays one: a
jump that isn't foreseen takes longer. But a row whose state begins anew on one of the two ways doesn't wait for what
it was before. Jumps are to be measured with other numbers at each call: a processor learns decisions that come again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import takewhile

from rnnkit.compiler.ir.plan import (
    BLOCK,
    CALL,
    EFFECTS,
    Branch,
    Check,
    Element,
    Fill,
    Look,
    Pointwise,
    Put,
    RowLine,
    RowLoop,
    RowPlan,
    Slot,
    all_lines,
    read_by,
)  # fmt: skip
from rnnkit.compiler.planning.side_by_side import all_given_by, is_expensive

LEAST = 3  # lines that a jump has to save
_COSTLY = 10  # lines that an expensive operation counts for
_ATTEMPTS = 16

Literal = tuple[str, bool]  # a condition's name, and whether it holds


def branched(
    plan: RowPlan, lines: list[RowLine], wanted: Iterable[str], exits: bool, facts: frozenset[Literal] = frozenset()
) -> list[RowLine]:
    """Return lines of a plan with branches for its decisions; `wanted` are the names that are read behind them.

    With `exits`, a row ends where a `Check` fails, so that it holds for what follows. `facts` are conditions that are
    known, with their values.
    """
    return _branched(plan, lines, wanted, exits, facts)[0]


def _branched(plan, lines, wanted, exits, facts) -> tuple[list[RowLine], list[tuple[_Path, Literal, int]]]:
    """Return the lines, and what their checks let be known behind them."""
    known = {line.name: line for line in lines if isinstance(line, Pointwise)}
    checks = [line for line in lines if isinstance(line, Check)]  # by which others are known
    ordered = [_choice(line, known) for line in lines if not isinstance(line, Check)] + checks
    several, chosen = True, frozenset[str]()
    for _ in range(_ATTEMPTS):
        made = _Arrangement(plan, ordered, tuple(wanted), exits, facts, several, chosen)
        if worthless := made.worthless():
            chosen |= worthless
            continue
        try:
            return [*made.written(()), *made.renamed()], made.checked
        except _Circle:
            if not several:
                break
            several = False
    return lines, []


class _Circle(Exception):
    """Two lines need each other."""


@dataclass(eq=False)
class _Group:
    """Choices by one condition that become a branch; the name by which it is asked may be of what negates it."""

    condition: str
    asked: Literal
    members: int = 0  # bits of the lines in it
    joined: list[int] = field(default_factory=list)
    acts: bool = False


_Path = tuple[tuple[_Group, bool], ...]


class _Arrangement:
    """The places of lines in branches.

    Attributes
    ----------
    paths : dict of int to tuple
        The branches in which a line is, by its place; a line that nothing reads has none.
    same : dict of str to (str, tuple of int)
        Names that are others where they are read, and the checks by which they are.
    chosen : frozenset of str
        Choices that stay choices.
    local : set of Slot
        Arrays that are filled, changed and read by these lines alone.
    """

    def __init__(self, plan, lines, wanted, exits, facts, several, chosen):
        self.plan, self.lines, self.exits, self.facts = plan, lines, exits, facts
        self.several, self.chosen, self.wanted = several, chosen, wanted
        self.maker = {name: i for i, line in enumerate(lines) for name in all_given_by(line)}
        self.conditions = {line.name: line for line in all_lines(plan.lines) if isinstance(line, Pointwise)}
        elements = (line for line in all_lines(plan.lines) if isinstance(line, Element))
        self.states = {line.name for line in elements if line.buffer.kind == "state"}
        self.outside = {name for line in lines for name in _read_by(line)} - self.maker.keys()
        self.before = _order_in_memory(lines, plan.resident)
        self.reach, self.local = self._reach(), self._local()
        self.uses: list[list[_Path]] = [[] for _ in lines]
        self.paths: dict[int, _Path] = {}
        self.groups: dict[tuple[_Path, str], list[_Group]] = {}
        self.group_of: dict[int, _Group] = {}
        self.same: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.checked: list[tuple[_Path, Literal, int]] = []
        self.fails: dict[int, str] = {}
        self.known: dict[_Path, set[Literal]] = {}
        for name in wanted:
            self._use(name, ())
        for i in reversed(range(len(lines))):
            self._place(i)

    def _reach(self) -> list[int]:
        """Of each line, bits of all that need it."""
        reach = [0] * len(self.lines)
        for i in reversed(range(len(self.lines))):
            needed = {self.maker[name] for name in _read_by(self.lines[i]) if name in self.maker}
            for j in needed | self.before[i]:
                reach[j] |= reach[i] | 1 << i
        return reach

    def _use(self, name: str, path: _Path) -> None:
        if name in self.maker:
            self.uses[self.maker[name]].append(path)

    # What is known

    def _literals(self, name: str, holds: bool) -> list[Literal]:
        """Return what is true if a condition is, or if it isn't: itself, and the conditions that it is made of."""
        line = self.conditions.get(name)
        if line is not None and line.op == "logical_not":
            return self._literals(line.args[0], not holds)
        found = [(name, holds)]
        if line is not None and line.op == ("logical_and" if holds else "logical_or"):
            found += [one for arg in line.args for one in self._literals(arg, holds)]
        return found

    def _known(self, path: _Path) -> set[Literal]:
        if path not in self.known:
            found = set()
            for name, holds in (*self.facts, *((group.condition, holds) for group, holds in path)):
                found.update(self._literals(name, holds))
            self.known[path] = found
        return self.known[path]

    def _truth(self, name: str, known: set[Literal]) -> bool | None:
        """Return the value that a condition is known to have; None if it isn't."""
        (own, holds), *_ = self._literals(name, True)
        if (own, holds) in known:
            return True
        if (own, not holds) in known:
            return False
        line = self.conditions.get(own)
        if line is None or line.op not in ("logical_and", "logical_or"):
            return None
        truths = [self._truth(arg, known) for arg in line.args]
        least, most = (False, True) if line.op == "logical_and" else (True, False)
        found = least if least in truths else most if truths == [most, most] else None
        return None if found is None else found == holds

    # Where lines go

    def _place(self, i: int) -> None:
        line = self.lines[i]
        if isinstance(line, Check):
            self._place_check(i, line)
        elif isinstance(line, Put) and line.under:
            self._read(i, self._under(i, self._parts(line.under)), (line.value, line.index))
        elif isinstance(line, (*EFFECTS, RowLoop)):
            self._read(i, self._around(i, line), _read_by(line))
        elif self.uses[i]:
            path = _shared(self.uses[i])
            if isinstance(line, Pointwise) and line.op in ("where", "logical_and", "logical_or"):
                self._place_choice(i, line, path)
            else:
                self._read(i, path, _read_by(line))

    def _read(self, i: int, path: _Path, names) -> None:
        self.paths[i] = path
        for group, _ in path:
            group.members |= 1 << i
        for name in names:
            self._use(name, path)
        around = _shared([path, *self.uses[i]])  # what a change leaves as it was is read there, too
        for j in self.before[i]:  # one of the two writes what the other reads or writes
            self.uses[j].append(around)

    def _around(self, i: int, line: Fill | Put | Check | Branch | RowLoop) -> _Path:
        """Return the branches of all reads of what a line writes; a loop's as far as other rows don't go round."""
        if not self.uses[i] or not _touched(line, {})[1] <= self.local:
            return ()
        path = _shared(self.uses[i])
        if not isinstance(line, RowLoop):
            return path
        fails = [one.fails for one in line.lines[: line.first] if isinstance(one, Check)]
        known = [self._literals(name, True) for name in (line.go, *fails)]
        return tuple(takewhile(lambda turn: all((turn[0].condition, turn[1]) in one for one in known), path))

    def _local(self) -> set[Slot]:
        """Return the arrays of which all places are written first, and that nothing but these lines reads or writes."""
        first: dict[Slot, RowLine] = {}
        for line in reversed(self.lines):
            first |= dict.fromkeys(set().union(*_touched(line, {})), line)
        mine, every = (
            Counter(
                s for one in all_lines(lines) if not isinstance(one, RowLoop) for s in set().union(*_touched(one, {}))
            )
            for lines in (self.lines, self.plan.lines)
        )
        shown = {*self.plan.resident.values(), *(slot for _, slot in self.plan.writes if isinstance(slot, Slot))}
        return {slot for slot, line in first.items() if isinstance(line, Fill) and mine[slot] == every[slot]} - shown

    def _group(self, i: int, path: _Path, name: str) -> _Group:
        """Return the branch of a condition that a line is in or behind."""
        own, holds = self._own(name)
        found = self.groups.setdefault((path, own), [])
        if self.several:
            for group in found:
                if not self.reach[i] & group.members:
                    return group
        found.append(_Group(own, (own, True) if self._is_there(own) else (name, holds)))
        return found[-1]

    def _is_there(self, name: str) -> bool:
        """Return whether a name is one of these lines, or known to have a value outside of them."""
        return name in self.maker or name in self.outside

    def _under(self, i: int, literals: list[str]) -> _Path:
        """Return the branches of some conditions that all hold, those that there are already first."""
        path: _Path = ()
        left = list(literals)
        while left:
            known = self._known(path)
            left = [name for name in left if self._truth(name, known) is not True]
            if not left:
                break
            there = [name for name in left if (path, self._own(name)[0]) in self.groups]
            name = (there or left)[0]
            left.remove(name)
            group = self._group(i, path, name)
            group.acts = True
            self._use(group.asked[0], path)
            path = (*path, (group, self._own(name)[1]))
        return path

    def _own(self, name: str) -> Literal:
        """Return a condition without what negates it."""
        return self._literals(name, True)[0]

    def _parts(self, name: str) -> list[str]:
        """Conditions all of which make one, the outer ones first."""
        line = self.conditions.get(name)
        if line is not None and line.op == "logical_and" and all(map(self._is_there, line.args)):
            return [part for arg in line.args for part in self._parts(arg)]
        return [name]

    def _place_check(self, i: int, line: Check) -> None:
        *around, last = self._parts(line.fails)
        path = self._under(i, around)
        self.fails[i] = last
        self._read(i, path, (last,))
        name, holds = self._own(last)
        self.checked.append((path, (name, not holds), i))

    def _place_choice(self, i: int, line: Pointwise, path: _Path) -> None:
        known = self._known(path)
        condition, *values = line.args if line.op == "where" else (line.args[0], *_of_two(line))
        checks: tuple[int, ...] = ()
        truth = self._truth(condition, known)
        if truth is None and self.exits and line.op == "where":
            for at, literal, j in self.checked:
                if path[: len(at)] == at:
                    truth = self._truth(condition, known | set(self._literals(*literal)))
                    if truth is not None:
                        checks = (j,)
                        break
        if truth is None and line.op != "where":
            other = self._truth(line.args[1], known)
            if other is not None:
                stays = other if line.op == "logical_and" else not other
                self._is(i, path, line.args[0] if stays else line.args[1])
                return
        if truth is not None:
            self._is(i, path, values[0] if truth else values[1], checks)
            return
        if line.name in self.chosen or line.name in self.plan.uniform:
            self._read(i, path, line.args)
            return
        holds = self._own(condition)[1]
        group = self._group(i, path, condition)
        group.joined.append(i)
        group.members |= 1 << i
        self.group_of[i] = group
        self._read(i, path, (group.asked[0],))
        for value, taken in zip(values, (holds, not holds), strict=True):
            self._use(value, (*path, (group, taken)))

    def _is(self, i: int, path: _Path, name: str, checks: tuple[int, ...] = ()) -> None:
        """Let a choice be one of its values."""
        self.same[self.lines[i].name] = name, checks
        self._use(name, path)
        self.paths[i] = path

    def worthless(self) -> frozenset[str]:
        """Return the choices for which no jump is worth while."""
        found = set()
        for several in self.groups.values():
            for group in several:
                if not group.acts and not self._saves(group):
                    found |= {self.lines[i].name for i in group.joined}
        return frozenset(found)

    def _saves(self, group: _Group) -> bool:
        inside = [i for i in self.paths if group.members >> i & 1 and i not in group.joined]
        choices = [self.lines[i] for i in group.joined if self.lines[i].op == "where"]
        if any(line.kind == "bool" for line in choices) and self._is_of_states(group.condition):
            return True  # a mode, which changes seldom, decides by what a row goes on
        if sum(_cost(self.lines[i]) for i in inside) + max(0, len(choices) - 1) >= LEAST:
            return True
        ends = [[line.args[side] for line in choices] for side in (1, 2)]
        anew = [all(self.plan.sections[name] <= BLOCK for name in side) for side in ends]
        return len(choices) > 1 and anew[0] != anew[1]

    def _is_of_states(self, name: str) -> bool:
        """Return whether a value depends on states and on what is the same at all steps alone."""
        found, stack = {name}, [name]
        while stack:
            name = stack.pop()
            if name in self.conditions:
                stack += set(self.conditions[name].args) - found
                found.update(stack)
            elif name not in self.states and self.plan.sections[name] > CALL:
                return False
        return True

    # What is written

    def _now(self, name: str) -> str:
        while name in self.same:
            name, _ = self.same[name]
        return name

    def _needs(self, i: int) -> set[int]:
        """Return the lines that have to be before one."""
        line = self.lines[i]
        names = _read_by(line)
        if isinstance(line, Check):
            names = (self.fails[i],)
        elif isinstance(line, Put):
            names = (line.value, line.index)
        elif i in self.group_of:
            names = (*names, self.group_of[i].asked[0])
        found = {j for j in self.before[i] if j in self.paths}
        return found.union(*map(self._makers, names)) - {i}

    def _makers(self, name: str) -> set[int]:
        """Return the line that gives a value, and the checks by which it does."""
        found: set[int] = set()
        while name in self.same:
            name, checks = self.same[name]
            found.update(checks)
        return found | ({self.maker[name]} if name in self.maker else set())

    def written(self, path: _Path) -> list[RowLine]:
        """Return the lines of a branch, with the branches in it."""
        inside: dict[object, list[int]] = {}
        for i, at in sorted(self.paths.items()):
            if at[: len(path)] == path and not self._is_other(i):
                inside.setdefault(self._owner(i, path), []).append(i)
        found: list[RowLine] = []
        state: dict[object, int] = {}

        def write(owner):
            if state.get(owner) == 1:
                raise _Circle
            if owner in state:
                return
            state[owner] = 1
            mine = inside[owner]
            needed = {j for i in mine for j in self._needs(i)} - set(mine)
            inside_of = {group for i in mine for group, _ in self.paths[i][len(path) :]}
            inside_of |= {owner} if isinstance(owner, _Group) else set()
            needed = needed.union(*(self._makers(group.asked[0]) for group in inside_of)) - set(mine)
            for j in sorted(needed):
                at = self.paths.get(j)
                if at is not None and at[: len(path)] == path and not self._is_other(j):
                    other = self._owner(j, path)
                    if other is not owner:
                        write(other)
            state[owner] = 2
            found.append(self._branch(owner, path) if isinstance(owner, _Group) else self._line(owner))

        for owner in inside:
            write(owner)
        return found

    def renamed(self) -> list[RowLine]:
        """Lines for names that are read behind all and are others."""
        names = [name for name in dict.fromkeys(self.wanted) if name in self.same]
        return [Pointwise(name, "same", (self._now(name),), self.lines[self.maker[name]].kind) for name in names]

    def _is_other(self, i: int) -> bool:
        line = self.lines[i]
        return not isinstance(line, (*EFFECTS, RowLoop)) and line.name in self.same

    def _owner(self, i: int, path: _Path):
        """Return the line, or the branch that it is part of, as a line of another branch around."""
        at = self.paths[i]
        if len(at) > len(path):
            return at[len(path)][0]
        return self.group_of.get(i, i)

    def _branch(self, group: _Group, path: _Path) -> Branch:
        joined, (name, holds) = [], group.asked
        for i in sorted(group.joined):
            line = self.lines[i]
            values = line.args[1:] if line.op == "where" else _of_two(line)
            if not self._own(line.args[0])[1]:
                values = values[::-1]
            joined.append((line.name, *map(self._now, values if holds else values[::-1]), line.kind))
        then, otherwise = (self.written((*path, (group, taken))) for taken in (holds, not holds))
        return Branch(self._now(name), then, otherwise, joined)

    def _line(self, i: int) -> RowLine:
        """Return a line with the names that it reads now."""
        line = self.lines[i]
        if isinstance(line, Check):
            line = replace(line, fails=self.fails[i])
        elif isinstance(line, Put):
            line = replace(line, under="")
        line = _renamed(line, self._now)
        return self._loop(line, self._known(self.paths[i])) if isinstance(line, RowLoop) else line

    def _loop(self, loop: RowLoop, known: set[Literal]) -> RowLoop:
        """Return a loop with branches in its rounds."""
        first, rest = loop.lines[: loop.first], loop.lines[loop.first :]
        taped = [name for one in loop.tapes if not isinstance(one.source, Slot) for name in one.source]
        nexts = [one.next for one in loop.carried]
        outside = frozenset(known) - {one for one in known if one[0] in {c.name for c in loop.carried}}
        read = [name for line in rest for name in _read_by(line)]
        go = (loop.go,) if loop.go else ()
        before, checked = _branched(self.plan, first, (*go, *read, *nexts, *taped), self.exits, outside)
        known = {one for name in go for one in self._literals(name, True)}
        outside |= known
        if self.exits:
            passed = [(path, literal) for path, literal, _ in checked]
            outside |= {
                literal for path, literal in passed if all((group.condition, holds) in known for group, holds in path)
            }
        behind = branched(self.plan, rest, nexts, self.exits, outside)
        return replace(loop, lines=[*before, *behind], first=len(before))


def _renamed(line: RowLine, now: Callable[[str], str]) -> RowLine:
    """Return a line that reads what names stand for now."""
    if isinstance(line, Pointwise):
        return replace(line, args=tuple(map(now, line.args)))
    if isinstance(line, Look):
        return replace(line, index=now(line.index))
    if isinstance(line, Fill):
        return replace(line, names=tuple(map(now, line.names)))
    if isinstance(line, Put):
        return replace(line, index=now(line.index), value=now(line.value), under=now(line.under))
    if isinstance(line, Check):
        return replace(line, fails=now(line.fails))
    if isinstance(line, RowLoop):
        carried = [replace(one, initial=now(one.initial), next=now(one.next)) for one in line.carried]
        tapes = [
            one if isinstance(one.source, Slot) else replace(one, source=tuple(map(now, one.source)))
            for one in line.tapes
        ]
        lines = [_renamed(one, now) for one in line.lines]
        return replace(line, carried=carried, lines=lines, go=now(line.go), tapes=tapes)
    return line


def _read_by(line: RowLine) -> tuple[str, ...]:
    """Return the names that a line reads; a loop's with those of whose rounds it undoes."""
    if not isinstance(line, RowLoop):
        return read_by(line)
    backs = [one.back.name for one in (*all_lines(line.lines), line) if isinstance(one, RowLoop) and one.back]
    return (*read_by(line), *backs)


def _choice(line: RowLine, made: dict[str, Pointwise]) -> RowLine:
    """Return ``c and a or not c and b`` as the choice that it is, other lines as they are."""
    if not isinstance(line, Pointwise) or line.op != "logical_or":
        return line
    ways = [made.get(arg) for arg in line.args]
    if not all(way is not None and way.op == "logical_and" for way in ways):
        return line
    (c, a), (negated, b) = (way.args for way in ways)  # type: ignore[union-attr]
    way = made.get(negated)
    if way is None or way.op != "logical_not" or way.args != (c,):
        return line
    return replace(line, op="where", args=(c, a, b))


def _of_two(line: Pointwise) -> tuple[str, str]:
    """Of ``a and b`` or ``a or b``, what it is if a holds and if it doesn't."""
    a, b = line.args
    return (b, a) if line.op == "logical_and" else (a, b)


def _shared(paths: list[_Path]) -> _Path:
    """Return the branches in which all are."""
    together = takewhile(lambda turns: turns.count(turns[0]) == len(turns), zip(*paths, strict=False))
    return tuple(turns[0] for turns in together)


def _cost(line: RowLine) -> int:
    if isinstance(line, Pointwise):
        return _COSTLY if is_expensive(line) else 1
    return 2 if isinstance(line, Look) and line.index else 0


def _order_in_memory(lines: list[RowLine], resident: dict[int, Slot]) -> list[set[int]]:
    """Of each line, those before it that read or write the same memory, as far as one of the two writes."""
    wrote: dict[Slot, int] = {}
    looked: dict[Slot, list[int]] = {}
    before: list[set[int]] = []
    for i, line in enumerate(lines):
        reads, writes = _touched(line, resident)
        needed = {wrote[slot] for slot in reads | writes if slot in wrote}
        needed.update(j for slot in writes for j in looked.get(slot, ()))
        before.append(needed - {i})
        for slot in writes:
            wrote[slot], looked[slot] = i, []
        for slot in reads - writes:
            looked.setdefault(slot, []).append(i)
    return before


def _touched(line: RowLine, resident: dict[int, Slot]) -> tuple[set[Slot], set[Slot]]:
    """Return the memory that a line reads and writes."""
    if isinstance(line, RowLoop):
        reads, writes = set(), {tape.slot for tape in line.tapes}
        reads |= {tape.source for tape in line.tapes if isinstance(tape.source, Slot)}
        for one in line.lines:
            more = _touched(one, resident)
            reads |= more[0]
            writes |= more[1]
        return reads, writes
    if isinstance(line, (Fill, Put)):
        return set(), {line.slot}
    if isinstance(line, Element) and line.buffer.kind == "state" and line.buffer.attr in resident:
        return {resident[line.buffer.attr]}, set()
    return {line.place} if isinstance(line, Look) and isinstance(line.place, Slot) else set(), set()
