"""Which numbers of a plan by rows are the same in all rows, as long as states begin so and no row is masked.

The place in a ring buffer is one: it depends on no input, only on how many steps there were. All rows then read
elements that stand side by side in memory. A program asks whether they do: nothing but speed depends on what is found.
"""

from __future__ import annotations

from rnnkit.compiler.ir.plan import Element, Look, Number, Pointwise, RowLoop, RowPlan, Slot, given_by


def alike_in_rows(plan: RowPlan) -> dict[object, set[str]]:
    """Return such numbers, in a loop of the rows that go on, with the conditions of the rows in which they are used.

    Those that are known to be the same are not among them, see `RowPlan.uniform`.
    """
    search = _Search(plan)
    while search.finds_more():
        pass
    return {name: used for name, used in search.used.items() if name not in search.unlike | plan.uniform}


class _Search:
    def __init__(self, plan: RowPlan):
        self.plan = plan
        self.used: dict[object, set[str]] = {}
        self.unlike: set[object] = set()  # names of lines, and states by their places and numbers
        self.left: set[object] = set()  # what loops carry, behind them

    def finds_more(self) -> bool:
        """Tell whether another look at all lines has found numbers that differ."""
        before, self.left = len(self.unlike), set()
        self._lines(self.plan.lines, set())
        for buffer, names in self.plan.writes:
            if buffer.kind == "next" and not isinstance(names, Slot):
                self._keep(((buffer.attr, j), name) for j, name in enumerate(names))
        return len(self.unlike) > before

    def _note(self, name, known) -> None:
        """Note a number, which is alike if those are by which it is known; it isn't if that is None."""
        self.used.setdefault(name, set()).update(*(self.used.get(one, ()) for one in known or ()))
        if known is None or not (self.unlike | self.left).isdisjoint(known):
            self.unlike.add(name)

    def _keep(self, values) -> None:
        """Note what states or loops keep, also of rows in which it isn't used."""
        for name, value in values:
            self._note(name, None if self.used.get(value) else [value])

    def _lines(self, lines, ends: set[str]) -> None:
        """Look at lines; where one of the conditions `ends` holds, a row is none that goes on."""
        for line in lines:
            if isinstance(line, RowLoop):
                self._loop(line)
            for name in () if isinstance(line, RowLoop) else given_by(line):
                self._note(name, self._known_by(line, ends))

    def _known_by(self, line, ends):
        if isinstance(line, Pointwise) and line.name in self.plan.safe:
            self.used.setdefault(line.name, set()).add(self.plan.safe[line.name])
            return line.args[1:2]
        if isinstance(line, Pointwise):
            return line.args[2:] if line.op == "where" and line.args[0] in ends else line.args
        if isinstance(line, Element) and line.buffer.kind == "state" and line.buffer.attr not in self.plan.resident:
            return [(line.buffer.attr, line.index)]
        if isinstance(line, Number) or (isinstance(line, Element) and line.buffer.kind == "prepacked"):
            return ()
        return [line.index] if isinstance(line, Look) and not isinstance(line.place, Slot) else None

    def _loop(self, loop: RowLoop) -> None:
        given = {name: line for line in loop.lines for name in given_by(line)}
        nexts = (given.get(one.next) for one in loop.carried if one.kind == "bool")
        ends = {one.args[0] for one in nexts if isinstance(one, Pointwise) and one.op == "logical_not"}
        self._keep((one.name, one.initial) for one in loop.carried)
        self._lines(loop.lines, ends)
        self._keep((one.name, one.next) for one in loop.carried)
        if not (self.unlike | self.left).isdisjoint([loop.go]):
            self.left |= {one.name for one in loop.carried}
