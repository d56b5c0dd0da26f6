"""The plan of a graph: computations once, per call, per block of steps and per step, in products and fused loops.

Five sections follow each other. *Once*: values of weights and numbers alone, in NumPy, when a weight changes. *Call*:
values of constants and draws. *Block*: values of the input too, but of no state, for many steps at a time. *Step*:
values that a state needs. *After*: values that only the output needs, from values kept of every step, for many steps at
a time. Within a section, values are kept in buffers only where they must: results of products and reductions, operands
of products, outputs and states, and expensive values that more than one loop needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from rnnkit.compiler.ir.graph import Graph, Node
from rnnkit.compiler.ir.strides import Walk

PREPACK, CALL, BLOCK, STEP, AFTER = range(5)
PER_BLOCK = (BLOCK, AFTER)
Kind = Literal[
    "x", "sequence", "residual", "state", "next", "output", "constant", "draw", "prepacked", "scratch", "result"
]  # fmt: skip
# Kinds with rows of their own for each step, beside x and the output.
SEQUENCES = ("sequence", "residual")
# Kinds that have one row for all steps of a call, side by side as the user gave them.
OF_CALL = ("constant", "draw")
# Where a step's output is: in the user's array, or in memory of rnnkit's own until the block's end.
OUTPUTS = ("output", "result")
# Kinds of memory for a step, a block of steps or a call.
SCRATCH = ("scratch", "result")
# Kinds of buffers that are rnnkit's own memory: a vector may be read that reaches beyond a row's end.
PADDED = ("state", "next", "scratch", "prepacked", "residual", "result")
# Kinds whose rows and steps the call places: the user's arrays, and values kept of every step.
PLACED = ("x", "output", "sequence", "residual")
SECTIONS = ("when a weight changes", "once a call", "per block of steps", "per step", "after each block of steps")


LARGE = 1024  # elements of one row's value that leave no room in the nearest cache for others


@dataclass(eq=False)
class Buffer:
    """Memory for one value of every row.

    ``kind`` is x, sequence, residual, state, next, output, constant, draw, prepacked, scratch, or result for an output
    that is computed after each block of steps; ``section`` says how long it lives. A residual that the program itself
    saves has an ``attr`` of `written` (name).
    """

    name: str
    kind: Kind
    size: int
    section: int = STEP
    attr: Any = None  # by kind: the number of a state or constant, the name of a draw, a tuple for placed kinds
    elements: str = "float"  # the carrier of the node's kind, see `rnnkit.compiler.ir.kinds`

    @property
    def is_written(self) -> bool:
        """Tell whether the program itself writes it, rather than reads values that another program saved."""
        return self.kind == "residual" and self.attr[0] == _WRITE

    @property
    def held_state(self) -> int | None:
        """The number of the state that the program saves here, or None; masked rows have that of the step before."""
        return state_of(self.attr[1]) if self.is_written else None


_WRITE, _AFTER_STEP = "write", "after"


def written(name: tuple) -> tuple:
    """Return the ``attr`` of a buffer that saves the value of this name at every step."""
    return _WRITE, name


def state_of(name: tuple) -> int | None:
    """Return the number of the state whose values after each step have this name, ``("after", i)``; or None."""
    return name[1] if name[0] == _AFTER_STEP else None


@dataclass(eq=False)
class Load:
    """A line of a loop: an element of a buffer at each place."""

    name: str
    buffer: Buffer
    kind: str = "float"
    walk: Walk = None  # type: ignore[assignment]  # until its loop is laid out


@dataclass(eq=False)
class Number:
    """A line of a loop: the same number at each place."""

    name: str
    number: float
    kind: str = "float"


@dataclass(eq=False)
class Pointwise:
    """A line of a loop: an operation on earlier lines."""

    name: str
    op: str
    args: tuple[str, ...]
    kind: str = "float"


Value = Load | Number | Pointwise


@dataclass(eq=False)
class Total:
    """Reduction within a pointwise loop: of a value over all but the first ``kept`` axes, the last one included."""

    value: str
    buffer: Buffer
    walk: Walk
    reduction: str
    kept: int


@dataclass(eq=False)
class Loop:
    """A fused pointwise loop, perhaps with totals, or with reduced axes a reduction."""

    section: int
    level: int
    dims: tuple[int, ...]
    kept: int
    values: list[Value]
    writes: list[tuple[str, Buffer, Walk]]
    reduction: str | None = None
    along_last: bool = True
    lines: tuple[str, ...] = ()
    totals: list[Total] = field(default_factory=list)

    @property
    def written(self) -> list[Buffer]:
        return [buffer for _, buffer, _ in self.writes] + [total.buffer for total in self.totals]

    @property
    def loads(self) -> list[Load]:
        return [value for value in self.values if isinstance(value, Load)]

    @property
    def operations(self) -> list[str]:
        return [value.op for value in self.values if isinstance(value, Pointwise)]


@dataclass(eq=False)
class Product:
    """``rows`` rows of ``depth`` elements of one operand times weights that stand side by side.

    With ``gates``, columns ``g … g + units - 1`` for each g of them are computed, a vector of each gate in turn.
    """

    section: int
    level: int
    operand: Buffer
    offset: int
    rows: int
    row_stride: int
    depth: int
    weights: list[Node]
    panels: Buffer
    result: Buffer
    nested: bool
    lines: tuple[str, ...] = ()
    gates: tuple[int, ...] = ()
    units: int = 0

    @property
    def work(self) -> int:
        """The number of multiply-adds for a row."""
        return self.depth * self.result.size


@dataclass(eq=False)
class SparseProduct(Product):
    """A product with one sparse weight, which had so many nonzeros when the step was read.

    ``panels.attr`` is "sparse": only the nonzeros of the weight are laid out.
    """

    nonzeros: int = 0

    @property
    def work(self) -> int:
        """The number of multiply-adds of a dense product that takes as long: a nonzero takes about two."""
        return 2 * self.nonzeros * self.rows


@dataclass(eq=False)
class Fused:
    """Products and the only loop that reads them: some columns of all at a time, so that they stay in the cache."""

    products: list[Product]
    loop: Loop

    @property
    def parts(self) -> list[Product | Loop]:
        return [*self.products, self.loop]

    @property
    def section(self) -> int:
        return self.loop.section

    @property
    def level(self) -> int:
        return self.loop.level


@dataclass(eq=False)
class Plan:
    """Plan of a graph: stages in order, buffers, and values computed once.

    With ``scans``, each loop of a step runs all steps of a block for some elements before the next ones. A
    ``late`` plan never runs for the output of the last step alone, see `Graph`. The states ``in_place``, by their
    numbers, may overwrite those before. No threads share the steps of an ``unshared`` plan, which write to memory of
    the block.
    """

    stages: list[Product | Loop | Fused] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    prepacked: dict[Buffer, Node | list[Node]] = field(default_factory=dict)
    state_shapes: tuple[tuple[int, ...], ...] = ()
    output_shape: tuple[int, ...] = ()
    messages: tuple[str, ...] = ()  # of the checks of its steps, by their codes from 1 on
    scans: bool = False
    unshared: bool = False
    late: bool = False
    in_place: set[int] = field(default_factory=set)

    def parts(self) -> list[Product | Loop]:
        """Return all products and loops in order, those of fused stages one by one."""
        return [part for stage in self.stages for part in (stage.parts if isinstance(stage, Fused) else [stage])]

    def products(self) -> list[Product]:
        return [part for part in self.parts() if isinstance(part, Product)]


@dataclass(eq=False)
class Element:
    """A line of a plan by rows: one number of every row, or one that all rows have in common."""

    name: str
    buffer: Buffer
    index: int
    kind: str = "float"


@dataclass(eq=False)
class Slot:
    """Scratch memory for the elements of an array of each row, which are found by a computed index."""

    name: str
    size: int
    kind: str = "float"


@dataclass(eq=False)
class Fill:
    """A line of a plan by rows: all elements of a slot are written."""

    slot: Slot
    names: tuple[str, ...]
    section: int = STEP


@dataclass(eq=False)
class Look:
    """A line of a plan by rows: element ``offset + stride * index`` of a slot, or of a buffer of weights."""

    name: str
    place: Slot | Buffer
    offset: int
    stride: int = 0
    index: str = ""
    kind: str = "float"


@dataclass(eq=False)
class Put:
    """A line of a plan by rows: an element of a slot is written where `under` holds; in a loop, in rows that go on."""

    slot: Slot
    offset: int
    stride: int
    index: str
    value: str
    section: int = STEP
    under: str = ""


@dataclass(eq=False)
class Check:
    """A line of a plan by rows: a row fails where a condition holds."""

    fails: str
    section: int = STEP


@dataclass(eq=False)
class Carried:
    """A carried value of a loop: at first, and after a round."""

    name: str
    initial: str
    next: str = ""
    kind: str = "float"


@dataclass(eq=False)
class Tape:
    """Record of the values that a loop carried at the beginning of each round, for the reverse loop."""

    slot: Slot
    size: int
    source: tuple[str, ...] | Slot


@dataclass(eq=False)
class RowLoop:
    """A line of a plan by rows: lines that are repeated while the row's condition holds."""

    name: str  # of the number of rounds so far
    carried: list[Carried]
    lines: list[RowLine]
    first: int  # the number of lines that `go` needs
    go: str
    limit: int  # rows that want more rounds fail; 0 is none, where the condition counts rounds itself
    code: int  # by which they fail
    tapes: list[Tape] = field(default_factory=list)
    going: Slot | None = None  # record of the rows that went on in each round, if there are tapes and some may stop
    back: RowLoop | None = None  # the loop whose rounds it undoes; then it has no condition of its own


@dataclass(eq=False)
class Branch:
    """A line of a plan by rows: two lists of lines, of which a row computes one.

    ``joined`` are names that later lines read: the name, that of its value where the condition holds, that where it
    doesn't, and its kind.
    """

    condition: str
    then: list[RowLine]
    otherwise: list[RowLine]
    joined: list[tuple[str, str, str, str]]


RowLine = Element | Number | Pointwise | Fill | Look | Put | Check | Branch | RowLoop
EFFECTS = (Fill, Put, Check, Branch)  # lines without a value of their own


@dataclass(eq=False)
class RowPlan(Plan):
    """A plan of few numbers, in which rows are the lanes of vectors and each number is a line of its own."""

    lines: list[RowLine] = field(default_factory=list)  # in order; what has a name has a section
    sections: dict[str, int] = field(default_factory=dict)  # by the lines' names
    uniform: set[str] = field(default_factory=set)  # integers and conditions that are the same in all rows at each time
    safe: dict[str, str] = field(default_factory=dict)  # of a place, the condition under which its element is used
    own: dict[Buffer, Node] = field(default_factory=dict)  # values of weights alone, if each row has its own
    slots: list[Slot] = field(default_factory=list)
    resident: dict[int, Slot] = field(default_factory=dict)  # states that stand in memory from step to step
    code: str = ""  # the line with the code of the check that a row fails; "" without checks, or with `Check` lines
    graph: Graph = field(default=None, repr=False)  # type: ignore[assignment]  # that the plan is made of
    # The values of the output, the next states and the residuals: a line's name for each number, or a resident state's
    # slot after the step.
    writes: list[tuple[Buffer, list[str] | Slot]] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)  # lines of the step, by the first line that comes of each
    whole: dict[int, tuple[int, int]] = field(default_factory=dict)  # bounds of the states that are integers
    watched: dict[int, tuple[int, int]] = field(default_factory=dict)  # of these, those that may leave their bounds


def written_names(plan: RowPlan, *but: str) -> list[str]:
    """Return the names of all numbers that a plan writes, except to buffers of some kinds."""
    return [name for b, names in plan.writes if b.kind not in but and not isinstance(names, Slot) for name in names]


def all_lines(lines: Iterable[RowLine]) -> Iterator[RowLine]:
    """Yield the lines of a plan by rows, those inside loops and branches before these."""
    for line in lines:
        if isinstance(line, RowLoop):
            yield from all_lines(line.lines)
        if isinstance(line, Branch):
            yield from all_lines([*line.then, *line.otherwise])
        yield line


def given_by(line: RowLine) -> tuple[str, ...]:
    """Return the names that a line gives values to, for later lines."""
    if isinstance(line, RowLoop):
        return tuple(one.name for one in line.carried)
    if isinstance(line, Branch):
        return tuple(name for name, *_ in line.joined)
    return () if isinstance(line, EFFECTS) else (line.name,)


def read_by(line: RowLine) -> tuple[str, ...]:
    """Return the names whose values a line reads; a loop's, with those inside."""
    if isinstance(line, RowLoop):
        inside = [name for one in line.lines for name in read_by(one)]
        taped = [name for one in line.tapes if not isinstance(one.source, Slot) for name in one.source]
        own = [one.initial for one in line.carried] + [one.next for one in line.carried]
        return (*own, *inside, *taped, *((line.go,) if line.go else ()))
    if isinstance(line, Branch):
        inside = [name for one in (*line.then, *line.otherwise) for name in read_by(one)]
        return (line.condition, *inside, *(name for _, *values, _ in line.joined for name in values))
    if isinstance(line, Pointwise):
        return line.args
    if isinstance(line, Fill):
        return line.names
    if isinstance(line, Check):
        return (line.fails,)
    found = (line.index,) if isinstance(line, (Look, Put)) and line.index else ()
    if isinstance(line, Put):
        return (*found, line.value, line.under) if line.under else (*found, line.value)
    return found


def section_of(node: Node) -> int:
    """Return the section in which a node can be computed; nodes in a loop of a step belong to the step."""
    if any(isinstance(one, tuple) for one in node.depends):
        return STEP
    return STEP if "state" in node.depends else BLOCK if "x" in node.depends else CALL if node.depends else PREPACK
