"""A plan by rows for one row: what no state needs is computed for many steps at once, and leaves the time loop.

The lanes of these parts are steps. Only what states need goes step by step; values that pass between the two stand in
scratch memory, one behind the other in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rnnkit.backends.cpu.codegen.row_source import RowSourceWriter
from rnnkit.backends.cpu.simd.row_lanes import JOINED
from rnnkit.backends.shared.once import once
from rnnkit.backends.shared.text import indented
from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.compiler.ir.plan import (
    BLOCK,
    CALL,
    EFFECTS,
    PREPACK,
    STEP,
    Element,
    Fill,
    Look,
    Number,
    Pointwise,
    RowLine,
    RowLoop,
    given_by,
    read_by,
    written_names,
)  # fmt: skip
from rnnkit.compiler.planning.side_by_side import is_expensive, side_by_side

_STEPS = 512  # steps of a block, whose values stay in a first-level cache
_COSTLY = 8  # cost of an expensive operation, in lines
_PASSED = 2  # cost of passing a value, in lines


class SingleRowWriter(RowSourceWriter):
    """Writer of the program for calls in which each thread computes one row at a time.

    `arrange` gives lines of a plan with branches, see `rnnkit.compiler.planning.branches.branched`.
    """

    decorator = "deciding"

    def _block_size(self) -> int:
        return _STEPS

    @once
    def parts(self) -> tuple[set[str], set[str]]:
        """Return the names computed before and behind the loop over a block's steps, where that is worth while."""
        plan = self.plan
        made: dict[str, Any] = {name: line for line in plan.lines for name in given_by(line)}
        fills = {line.slot: line for line in plan.lines if isinstance(line, Fill)}

        def under(names) -> set[str]:
            found, stack = set(), list(names)
            while stack:
                name = stack.pop()
                if name in made and name not in found:
                    found.add(name)
                    stack += read_by(made[name])
            return found

        # Values of one lane.
        fixed = {name for name, section in plan.sections.items() if section in (PREPACK, CALL)} - self.single
        fixed |= plan.uniform - self.constant

        def at_once(names, *sections):
            """Return the names that can be computed in lanes of steps."""
            return {
                name
                for name in names
                if isinstance(made[name], Pointwise)
                and self.section(made[name]) in sections
                and {self.kinds[one] for one in (name, *made[name].args)} <= {"float", "bool"}
                and not fixed & {name, *made[name].args}
            }

        def closed(names):
            """Return the names that read only each other, x and values known before all steps."""

            def known(one):
                return one in names or isinstance(made[one], Element) or self.section(made[one]) in (PREPACK, CALL)

            while left := {name for name in names if not all(map(known, made[name].args))}:
                names = names - left
            return names

        def cost(names):
            return sum(_COSTLY if is_expensive(made[name]) else 1 for name in names)

        written = written_names(plan, "output")
        others = [
            name for line in plan.lines if not isinstance(line, (Element, Number, Pointwise)) for name in read_by(line)
        ]
        needed = under([*written, *others, plan.code, *(n for line in fills.values() for n in line.names)])
        needed |= {name for line in plan.lines if isinstance(line, (Look, RowLoop)) for name in given_by(line)}
        shown = under(self.outputs)
        behind = at_once(shown - needed, STEP, BLOCK)
        unlike = under(name for name in shown - behind if self.section(made[name]) in (STEP, BLOCK))
        if behind & unlike:  # lines that others need can't be moved behind the loop
            behind = set()
        steps = {name for name in needed | shown - behind if self.section(made[name]) == STEP}
        if cost(behind) <= _PASSED * (len(self._read_of(behind, steps)) + len(self.outputs)):
            behind = set()
        inside = needed | (shown - behind)
        before = closed(at_once(inside, BLOCK))
        if cost(before) <= _PASSED * len(self._read_of({n for n in inside if self.section(made[n]) == STEP}, before)):
            before = set()
        return before, behind

    @once
    def constant(self) -> set[str]:
        """Names of the lines that are numbers in the text."""
        return {line.name for line in self.plan.lines if isinstance(line, Number)}

    def _read_of(self, readers, names) -> list[str]:
        """Return those of `names` that are read by the lines of `readers`, in order."""
        lines = [line for line in self.plan.lines if not isinstance(line, EFFECTS)]
        read = {one for line in lines if readers.intersection(given_by(line)) for one in read_by(line)}
        return [name for line in lines for name in given_by(line) if name in read and name in names]

    @once
    def passed(self) -> tuple[list[str], list[str]]:
        """Names of the values passed from before the loop into it or behind it, and of those read behind it."""
        before, behind = self.parts
        lines = [line for line in self.plan.lines if self.section(line) in (BLOCK, STEP)]
        inside = self._mine()
        # Elements of x don't go through memory: they are read again instead.
        through = (line for line in inside if not isinstance(line, Element) or line.buffer.kind == "state")
        given = {name for line in through for name in given_by(line)}
        written = set(written_names(self.plan, *(["output"] if behind else [])))
        into = {name for line in inside for name in read_by(line)} | written | {self.plan.code}
        out = {name for line in lines if behind.intersection(given_by(line)) for name in read_by(line)}
        out |= set(self.outputs) if behind else set()
        order = [name for line in lines for name in given_by(line)]
        first, last = (into | out) & before, out & (given | before)
        return [n for n in order if n in first], [n for n in order if n in last]

    def _stages(self) -> list[tuple[str, int]]:
        before, behind = self.passed
        outputs = [f"output_{j}" for j in range(len(self.outputs))] if self.parts[1] else []
        return [(name, 1) for name in [*(f"passed_{n}" for n in dict.fromkeys(before + behind)), *outputs]]

    def _block(self) -> list[str]:
        before, behind = self.parts
        if not before and not behind:
            return super()._block()
        lines = [f"count = min({self.block}, steps - start)"]
        if before:
            lines += self._at_once(before, [(f"passed_{n}", n) for n in self.passed[0]])
        lines += ["for k in range(count):", *indented(self._step())]
        if behind:
            lines += self._at_once(behind, [(f"output_{j}", name) for j, name in enumerate(self.outputs)])
            lines += self._shown()
        return [*lines, *self._next_block()]

    def _at_once(self, names, written) -> list[str]:
        """Return lines that compute `names` for many steps at a time and store `written`, (place, name) pairs."""
        dtype, behind = self.dtype.name, names is self.parts[1]
        passed = set(self.passed[1]) if behind else set()
        wanted = {name for _, name in written} | names
        for line in reversed(self.plan.lines):
            if isinstance(line, Pointwise) and line.name in wanted and line.name not in passed:
                wanted.update(line.args)
        computed, lines = wanted - passed, []
        for line in self.plan.lines:
            for name in given_by(line):
                if name in wanted and name in passed:
                    lines.append(self._back(name, f"vector.load_full_{dtype}"))
            if isinstance(line, (Element, Pointwise)) and line.name in computed and self.section(line) in (BLOCK, STEP):
                if isinstance(line, Element):
                    condition = " != 0.0" if line.kind == "bool" else ""
                    lines.append(f"{line.name} = ({self._several(line)}){condition}")
                else:
                    lines += [one.replace("to_lanes(", f"vector.to_vector_{dtype}(") for one in self.line(line)]
        for j, (place, name) in enumerate(written):
            value = f"vector.to_vector_{dtype}({name})" if self.kinds[name] == "bool" else name
            lines.append(f"value = vector.fill_{dtype}({value})")  # `value` may be a single number
            lines.append(f"vector.store_full(staged_{place} + k * {self.item}, value)")
            if behind and not self.masked:
                at = f"output + r * output_row + (start + k) * output_step + {j * self.item}"
                straight = f"output_step == {self.item}"
                lines += [
                    f"if wanted and {straight}:",
                    f"    vector.store({at}, value, m)",
                    f"if wanted and not {straight}:",
                    f"    vector.store_strided({at}, value, output_step, m)",
                ]
        return [f"for k in range(0, count, {self.side}):", f"    m = vector.first_{dtype}(count - k)", *indented(lines)]

    def _several(self, line: Element) -> str:
        at, row, step = self._sequence(line.buffer)
        address = f"{at} + r * {row} + (start + k) * {step} + {line.index * self.item}"
        dtype = self.dtype.name
        if line.buffer.kind == "residual":
            address = f"{self._kept_at(line.buffer, line.index)} + (start + k) * {step}"
        straight = f"vector.load_{dtype}({address}, m)"
        return f"{straight} if {step} == {self.item} else vector.load_strided_{dtype}({address}, {step}, m)"

    def _back(self, name, load="load") -> str:
        """Return a line that reads a value that was passed."""
        return f"{name} = {load}(staged_passed_{name} + k * {self.item})" + (
            " != 0.0" if self.kinds[name] == "bool" else ""
        )

    def _shown(self) -> list[str]:
        """Return lines for outputs computed behind the loop; masked steps show the last used step's output."""
        if not self.masked:
            return [
                f"{self._held(j)} = load(staged_output_{j} + (count - 1) * {self.item})"
                for j in range(len(self.outputs))
            ]
        lines = ["used = load_mask(mask_at + r * mask_row + (start + k) * mask_step)"]
        for j in range(len(self.outputs)):
            held, at = self._held(j), f"output + r * output_row + (start + k) * output_step + {j * self.item}"
            shown = f"select(used, {held}, fill(0.0)) if zero_masked != 0 else {held}"
            lines += [
                f"{held} = select(used, load(staged_output_{j} + k * {self.item}), {held})",
                "if wanted:",
                f"    store({at}, {shown})",
            ]
        return ["for k in range(count):", *indented(lines)]

    def _inside(self) -> list[str]:
        before, behind = self.parts
        into, out = self.passed
        lines = [self._back(name) for name in into]
        out = [name for name in out if name not in before]
        lines += self.text(self.arranged)
        return lines + [f"store(staged_passed_{name} + k * {self.item}, {self.full(name)})" for name in out]

    def __init__(self, plan, *arguments, arrange: Callable[..., list[RowLine]]):
        super().__init__(plan, *arguments)
        self.arrange = arrange
        behind, inside = self.parts[1], set(map(id, self._mine()))
        others = [line for line in plan.lines if id(line) not in inside]
        first, last = (
            [line for line in others if behind.isdisjoint(given_by(line)) == early] for early in (True, False)
        )
        read = [line for line in plan.lines if isinstance(line, Element)]  # some are read by other parts alone
        self._note([*read, *first, *self.arranged, *last])

    def _mine(self) -> list[RowLine]:
        apart = set().union(*self.parts)
        lines = [line for line in self.plan.lines if self.section(line) in (BLOCK, STEP)]
        return [line for line in lines if apart.isdisjoint(given_by(line))]

    @once
    def arranged(self) -> list[RowLine]:
        kept = [name for _, names in self.kept for name in names]
        wanted = [*written_names(self.plan), *self.passed[1], *kept, self.plan.code]
        return self.arrange(self.plan, self._mine(), wanted, self.exits)

    @property
    def exits(self) -> bool:
        return not self.masked and not self.coded

    def failed(self, fails: str) -> list[str]:
        if not self.exits:
            return super().failed(fails)
        return [f"if seldom({fails}):", f"    atomic_store({self._told_at()}, 1)", "    return"]

    def _kept(self, one) -> str:
        return self._in_lanes(one.next, one.kind)

    def _loop(self, loop: RowLoop) -> list[str]:
        """Return the text of a loop: rounds until the thread's one row is done."""
        if loop.back is not None:
            return super()._loop(loop)
        uniform = self.plan.uniform
        go = loop.go if loop.go in uniform else " & ".join([f"mask({loop.go})", *self.bounds()])
        body = self.text(loop.lines[: loop.first])
        body += [f"if not {loop.go if loop.go in uniform else f'some({go})'}:", "    break"]
        body += [*self._tape(loop), *self.text(loop.lines[loop.first :]), *self._carry(loop), f"{loop.name} += 1"]
        if loop.limit:
            end = ["return"] if self.exits else [*self.exceeded(loop, "mask(True)"), "break"]
            told = [f"atomic_store({self._told_at()}, 1)"] if self.exits else []
            body += [f"if {loop.name} >= {loop.limit}:", *indented([*told, *end])]
        return [*self._started(loop, "0"), "while True:", *indented(body)]

    def _tape(self, loop: RowLoop) -> list[str]:
        return super()._tape(replace(loop, going=None))

    def _undone(self, loop: RowLoop, forward: RowLoop) -> list[str]:
        return super()._undone(loop, replace(forward, going=None))

    def text(self, lines) -> list[str]:
        """Return the text of lines, with functions that don't wait for each other side by side."""
        found, common = [], self.single | self.uniform
        for line in side_by_side(list(lines), lambda line: common.isdisjoint((line.name, *line.args))):
            found += self._together(line) if isinstance(line, tuple) else self.line(line)
        return found

    def _together(self, group: tuple[Pointwise, ...]) -> list[str]:
        lanes = next(lanes for lanes in JOINED if lanes >= len(group))
        numbers = [line.args[0] for line in group]
        numbers += numbers[-1:] * (lanes - len(group))
        value = OPERATIONS[group[0].op].text.format(f"join_{lanes}({', '.join(numbers)})")
        joined = f"joined_{group[0].name}"
        return [f"{joined} = {value}", *(f"{line.name} = part_{lanes}({joined}, {i})" for i, line in enumerate(group))]

    def _put(self) -> list[str]:
        return self._traced() if self.parts[1] else super()._put()
