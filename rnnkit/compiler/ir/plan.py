"""A graph becomes a plan: what runs once, per call, per block of steps and per step, in products and fused loops.

Five sections follow each other. *Once*: what depends on weights and numbers alone, in NumPy, when a weight changes.
*Call*: what depends on constants and draws. *Block*: what depends on the input too, but on no state, for many steps at
a time. *Step*: what a state needs. *After*: what only the output needs of values that are kept of every step, for many
steps at a time. Within a section, values are kept in buffers only where they must: results of products and
reductions, operands of products, outputs and states, and expensive values that more than one loop needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.strides import Walk

PREPACK, CALL, BLOCK, STEP, AFTER = range(5)
PER_BLOCK = (BLOCK, AFTER)
Kind = Literal[
    "x", "sequence", "residual", "state", "next", "output", "constant", "draw", "prepacked", "scratch", "result"
]  # fmt: skip
# Kinds of which a step has its own rows, beside x and the output: read or kept as it goes.
SEQUENCES = ("sequence", "residual")
# Kinds that have one row for all steps of a call, side by side as the user gave them.
OF_CALL = ("constant", "draw")
# Where a step's output is: in the user's array, or in memory of rnnkit's own until the block's end.
OUTPUTS = ("output", "result")
# What lives for a step, a block of steps or a call.
SCRATCH = ("scratch", "result")
# Kinds of buffers that are rnnkit's own memory: a vector may be read that reaches beyond a row's end.
PADDED = ("state", "next", "scratch", "prepacked", "residual", "result")
# Kinds whose rows and steps stand where the call says: the user's arrays, and what is kept of every step.
PLACED = ("x", "output", "sequence", "residual")
SECTIONS = ("when a weight changes", "once a call", "per block of steps", "per step", "after each block of steps")


@dataclass(eq=False)
class Buffer:
    """A place for one value of every row.

    ``kind`` is x, sequence, residual, state, next, output, constant, draw, prepacked, scratch, or result for an output
    that is computed after each block of steps; ``section`` says how long it lives. A residual that the program itself
    saves has an ``attr`` of `written` (name).
    """

    name: str
    kind: Kind
    size: int
    section: int = STEP
    attr: Any = None  # by kind: the number of a state or constant, the name of a draw, a tuple for what is placed
    elements: str = "float"  # what it holds: the carrier of a node's kind, see `rnnkit.compiler.ir.kinds`

    @property
    def is_written(self) -> bool:
        """Whether the program itself keeps it, rather than reads what another one kept."""
        return self.kind == "residual" and self.attr[0] == _WRITE

    @property
    def held_state(self) -> int | None:
        """Of what the program keeps, the number of the state that it is: in masked rows, as the step before left it."""
        return state_of(self.attr[1]) if self.is_written else None


_WRITE, _AFTER_STEP = "write", "after"


def written(name: tuple) -> tuple:
    """The ``attr`` of a buffer that keeps a value of every step, by that value's name."""
    return _WRITE, name


def state_of(name: tuple) -> int | None:
    """The number of the state that has this name among kept values, ``("after", i)``: as it is after a step."""
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
class Loop:
    """A fused pointwise loop, or with reduced axes a reduction."""

    section: int
    level: int
    dims: tuple[int, ...]
    kept: int
    values: list[Value]
    writes: list[tuple[str, Buffer, Walk]]
    reduction: str | None = None
    along_last: bool = True
    lines: tuple[str, ...] = ()

    @property
    def loads(self) -> list[Load]:
        """The lines that read a buffer."""
        return [value for value in self.values if isinstance(value, Load)]

    @property
    def operations(self) -> list[str]:
        """The operations of its lines, in order."""
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
        """Multiply-adds for a row."""
        return self.depth * self.result.size


@dataclass(eq=False)
class SparseProduct(Product):
    """A product with one sparse weight, which had so many nonzeros when the step was read.

    ``panels.attr`` is "sparse": of the weight, only they are laid out.
    """

    nonzeros: int = 0

    @property
    def work(self) -> int:
        """As many multiply-adds as take the dense product as long: a nonzero takes about two."""
        return 2 * self.nonzeros * self.rows


@dataclass(eq=False)
class Fused:
    """Products and the loop that alone reads them: some columns of all at a time, so that they stay in the cache."""

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
    """Stages in order, buffers, and what is computed once."""

    stages: list[Product | Loop | Fused] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    prepacked: dict[Buffer, Node | list[Node]] = field(default_factory=dict)
    state_shapes: tuple[tuple[int, ...], ...] = ()
    output_shape: tuple[int, ...] = ()
    messages: tuple[str, ...] = ()  # of the checks of its steps, by their codes from 1 on

    def parts(self) -> list[Product | Loop]:
        """All products and loops in order, those of fused stages one by one."""
        return [part for stage in self.stages for part in (stage.parts if isinstance(stage, Fused) else [stage])]

    def products(self) -> list[Product]:
        """All products in order."""
        return [part for part in self.parts() if isinstance(part, Product)]


def section_of(node: Node) -> int:
    """In which section a node can be computed."""
    return STEP if "state" in node.depends else BLOCK if "x" in node.depends else CALL if node.depends else PREPACK
