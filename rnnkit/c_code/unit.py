"""Units: the step of one layer, with its ordered computations, states and weight arrays."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from rnnkit.c_code.operations import expression
from rnnkit.c_code.text import REAL, identifier
from rnnkit.compiler.ir import plan as ir
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import BY_ROW, Graph, Node, without_codes
from rnnkit.compiler.planning.planner import plan
from rnnkit.compiler.planning.rows import needed, plan_rows
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.execution import passes
from rnnkit.steps.step import Step


@dataclass(frozen=True, eq=False)
class Array:
    """A constant array of a unit: ``name`` is its field's name, ``title`` its description."""

    name: str
    values: np.ndarray
    title: str

    @property
    def c_type(self) -> str:
        name = self.values.dtype.name
        return REAL.get(name) or f"{name}_t"


@dataclass(eq=False)
class Unit:
    """The computation of one step of a layer."""

    name: str  # a C identifier, unique in the network
    title: str  # a description of the layer
    dtype: np.dtype
    step: Step
    graph: Graph
    parts: list[ir.Product | ir.Loop]  # in order, without unused ones
    output_size: int
    initial: tuple[np.ndarray, ...]  # states, flat
    changing: tuple[int, ...]  # states that a step changes
    arrays: dict[str, Array] = field(default_factory=dict)  # all constant arrays by their names
    prepacked: dict[ir.Buffer, Array | float | int] = field(default_factory=dict)  # a single number is a literal
    panels: dict[ir.Buffer, dict[str, Array]] = field(default_factory=dict)
    rows: ir.RowPlan | None = None  # instead of the parts, for a step with loops or computed indices
    direct: ir.Buffer | None = None  # stands in the memory of the output
    ids: tuple[bool, ...] = ()  # of a function of several arrays, x and the constants: which hold integers

    def buffers(self) -> list[ir.Buffer]:
        """Return all buffers that the parts use, without duplicates."""
        if self.rows is not None:
            lines = list(ir.all_lines(self.rows.lines))
            looked = (line.place for line in lines if isinstance(line, ir.Look) and isinstance(line.place, ir.Buffer))
            read = (line.buffer for line in lines if isinstance(line, ir.Element))
            return list(
                dict.fromkeys([*read, *looked, *(buffer for buffer, _ in self.rows.writes if buffer.kind == "output")])
            )
        return list(dict.fromkeys(buffer for part in self.parts for buffer in _touched(part)))

    def states(self) -> list[int]:
        """Return the states stored in C: those that are read or change."""
        read = {buffer.attr for buffer in self.buffers() if buffer.kind == "state"}
        return sorted(read | set(self.changing) | set(self.rows.resident if self.rows else ()))

    def add(self, name: str, values, title: str) -> Array:
        array = Array(identifier(name, self.arrays), np.asarray(values), title)
        self.arrays[array.name] = array
        return array


def read(name: str, title: str, step: Step, dtype: np.dtype, constants=(), ids=()) -> Unit:
    """Return the unit of a step; a ValueError if it can't be traced, draws random numbers, or uses what C lacks.

    `dtype` is that of the C text; `constants` are shapes without the batch; `ids` are as of a unit.
    """
    if step.draws and (draws := step.used_draws([np.zeros((1, *shape)) for shape in constants], False)):
        raise ValueError(
            f"expected a step that draws no random numbers outside of training; {title} draws {draws[0]!r}"
        )
    weights = step.cell._all_weights()
    try:
        graph = passes.read(step, dtype, weights, constants)
    except (Untraceable, RecursionError) as error:
        note = " ".join([str(error), *getattr(error, "__notes__", [])])
        refusal = ValueError(f"expected a step that can be traced to write it in C; that of {title} can't: {note}")
        raise refusal.with_traceback(error.__traceback__) from None
    for node in graph.live():
        of_integers = node.op == "cast" or node.is_integer
        if node.pointwise and node.batched and not of_integers and not expression(node.op, ("a", "b", "c"), dtype.name):
            raise ValueError(f"expected operations that C has; {title} uses {node.op!r}: {node.line}")
    by_row = any(node.batched and node.op in BY_ROW for node in graph.live())
    changing = tuple(i for i, node in enumerate(graph.states) if (node.op, node.attr) != ("state", i))
    changed = copy.copy(without_codes(graph))
    rows = plan_rows(changed) if by_row else None
    changed.states = tuple(changed.states[i] for i in changing)
    made = rows or plan(changed, lambda columns: columns)
    parts, direct = ([], None) if rows else _without_copy([part for part in made.parts() if not _is_empty(part)])
    if rows:  # without copies of unchanged states and without unused lines
        rows = replace(rows, writes=[one for one in rows.writes if one[0].kind != "next" or one[0].attr in changing])
        rows = replace(rows, lines=needed(rows.lines, set(ir.written_names(rows))))
    initial = tuple(np.asarray(state, dtype).reshape(-1) for state in step.initial_states(1, dtype))
    size = int(np.prod(made.output_shape))
    unit = Unit(name, title, dtype, step, graph, parts, size, initial, changing, rows=rows, direct=direct, ids=ids)
    _lay_out(unit, made, {("weight", n): np.asarray(array, dtype) for n, array in weights.items()})
    return unit


def _is_empty(part: ir.Product | ir.Loop) -> bool:
    """Return whether a part computes no numbers."""
    return not part.result.size if isinstance(part, ir.Product) else 0 in part.dims[: part.kept]


def _without_copy(parts: list[ir.Product | ir.Loop]) -> tuple[list[ir.Product | ir.Loop], ir.Buffer | None]:
    """Return the parts without a last one that copies a buffer to the output, and this buffer."""
    match parts:
        case [
            *before,
            ir.Loop(values=[ir.Load(buffer=found, walk=a)], writes=[(_, ir.Buffer(kind="output") as output, b)]),
        ]:
            same = (a.offset, a.strides) == (b.offset, b.strides) and a.table is b.table is None
            whole = (found.kind, found.size, found.elements) == ("scratch", output.size, "float")
            if same and whole and found.section != ir.CALL:
                return before, found
    return parts, None


def _touched(part: ir.Product | ir.Loop) -> Iterable[ir.Buffer]:
    if isinstance(part, ir.Product):
        return (part.operand, part.panels, part.result)
    return (*(load.buffer for load in part.loads), *(buffer for _, buffer, _ in part.writes))


def _lay_out(unit: Unit, made: ir.Plan, inputs) -> None:
    """Compute the values that depend on weights alone, and store them as arrays."""
    products = {part.panels: part for part in unit.parts if isinstance(part, ir.Product)}
    wanted = {buffer: made.prepacked[buffer] for buffer in unit.buffers() if buffer.kind == "prepacked"}
    nodes = [node for one in wanted.values() for node in (one if isinstance(one, list) else [one])]
    with np.errstate(all="ignore"):
        values = evaluate(nodes, inputs, unit.dtype)
    known: dict[tuple, dict[str, Array]] = {}
    for buffer, one in wanted.items():
        if isinstance(one, list):
            key = buffer.attr, *(node.id for node in one)
            if key not in known:
                matrix = np.concatenate([np.asarray(values[node.id], unit.dtype) for node in one], axis=1)
                known[key] = _matrix(unit, products[buffer], matrix, _title_of(one))
            unit.panels[buffer] = known[key]
            continue
        kind = unit.dtype if buffer.elements == "float" else buffer.elements
        array = np.asarray(values[one.id], kind).reshape(-1)
        name = buffer.name.removeprefix("w_")
        unit.prepacked[buffer] = array[0].item() if array.size == 1 else unit.add(name, array, _title_of([one]))
    for i in unit.states():
        if unit.initial[i].any():
            unit.add(f"start_{i}", unit.initial[i], f"what state {i} starts from")


def _matrix(unit: Unit, product: ir.Product, matrix: np.ndarray, title: str) -> dict[str, Array]:
    """Return the arrays of a product's weights, by their roles in the product."""
    name = product.panels.name.removeprefix("panels_")
    found: dict[str, np.ndarray] = {"": matrix}
    if isinstance(product, ir.SparseProduct):
        rows, columns = np.nonzero(matrix)
        found[""] = found[""][rows, columns]
        found["starts"] = np.searchsorted(rows, np.arange(matrix.shape[0] + 1)).astype(np.int32)
        found["columns"] = columns.astype(np.int32)
    title = f"{title}, {matrix.shape[0]} x {matrix.shape[1]}"
    return {
        role: unit.add(f"{name}_{role}" if role else name, array, f"{title}: {role}" if role else title)
        for role, array in found.items()
    }


def _title_of(nodes: list[Node]) -> str:
    """Describe the weights that an array is made of, and the lines that do so."""
    names: dict[str, None] = {}
    stack, plain = list(reversed(nodes)), all(node.op == "weight" for node in nodes)
    while stack:
        node = stack.pop()
        if node.op == "weight":
            names[str(node.attr)] = None
        stack += reversed(node.args)
    lines = [] if plain else [node.line for node in nodes if node.line]
    title = " and ".join(names) or "numbers of the step"
    return title if plain or not names else f"made of {title}" + (f": {lines[0]}" if lines else "")
