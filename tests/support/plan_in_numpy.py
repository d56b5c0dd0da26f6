"""What a plan says, carried out in NumPy one stage after the other: the planner tested without its kernels."""

import numpy as np

from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS, REDUCTIONS
from rnnkit.compiler.ir.plan import Load, Number, Product

LANES = 8


def run_plan(plan, inputs, batch):
    """One step: ``(output, states)`` for the arrays of ``(op, attr)``."""
    held = {}
    for buffer in plan.buffers:
        if buffer.kind in ("x", "state", "constant", "draw"):
            held[buffer] = inputs[buffer.kind, buffer.attr].reshape(batch, -1)
        elif buffer.kind == "prepacked" and not isinstance(plan.prepacked[buffer], list):
            node = plan.prepacked[buffer]
            held[buffer] = np.asarray(evaluate([node], inputs, np.float64)[node.id], float).reshape(1, -1)
        else:
            held[buffer] = np.full((batch, buffer.size), np.nan)  # a place that is read before it is written shows
    section = 0
    for stage in plan.parts():
        assert stage.section >= section, "stages of an earlier section come first"
        section = stage.section
        (product if isinstance(stage, Product) else loop)(stage, held, inputs)
    by_kind = {(b.kind, b.attr): held[b] for b in plan.buffers if b.kind in ("output", "next")}
    states = [by_kind["next", i].reshape(batch, *shape) for i, shape in enumerate(plan.state_shapes)]
    return by_kind["output", None].reshape(batch, *plan.output_shape), states


def product(stage, held, inputs):
    values = evaluate(stage.weights, inputs, np.float64)
    weights = np.concatenate([values[w.id] for w in stage.weights], axis=1)
    if stage.gates:
        weights = vectors_in_turn(weights, stage.gates, stage.units)
    source, target = held[stage.operand], held[stage.result]
    wide = target.shape[1] // max(stage.rows, 1)
    for row in range(stage.rows):
        low = stage.offset + row * stage.row_stride
        target[:, row * wide : row * wide + weights.shape[1]] = source[:, low : low + stage.depth] @ weights


def vectors_in_turn(weights, gates, units):
    """A vector of each gate in turn; what fills up the last vectors is never looked at."""
    columns = []
    for first in range(0, units, LANES):
        for gate in gates:
            columns += [
                weights[:, gate + u] if u < units else weights[:, 0] * np.nan for u in range(first, first + LANES)
            ]
    return np.stack(columns, axis=1)


def loop(stage, held, inputs):
    dims = stage.dims or (1,)
    written = {buffer for _, buffer, _ in stage.writes}
    values = {}
    for value in stage.values:
        if isinstance(value, Number):
            values[value.name] = np.full((1, *dims), value.number)
        elif isinstance(value, Load):
            assert value.buffer not in written, "a loop may not read what it writes"
            values[value.name] = held[value.buffer][:, elements(value.walk, dims)]
            if value.kind != "float":
                values[value.name] = values[value.name].astype(value.kind)
        elif value.op == "cast":
            values[value.name] = kinds.cast(values[value.args[0]], value.kind, np.float64)
        elif values[value.args[-1]].dtype.kind in "iu" and value.op in INTEGER_OPERATIONS:
            values[value.name] = INTEGER_OPERATIONS[value.op].evaluate(*(values[a] for a in value.args))
        else:
            values[value.name] = OPERATIONS[value.op].evaluate(*(values[a] for a in value.args))
    kept = dims[: stage.kept] if stage.reduction else dims
    for name, buffer, walk in stage.writes:
        result = values[name]
        if stage.reduction:
            shape = (result.shape[0], *dims)
            axes = tuple(range(1 + stage.kept, 1 + len(dims)))
            result = REDUCTIONS[stage.reduction](np.broadcast_to(result, shape), axis=axes)
        held[buffer][:, elements(walk, kept)] = result


def elements(walk, dims):
    """Element numbers in the shape of a loop."""
    if walk.gates:
        places = np.arange(*dims)
        return walk.offset + places // LANES * walk.gates * LANES + places % LANES
    numbers = np.zeros(dims, int)
    for axis, stride in enumerate(walk.strides):
        numbers = numbers + stride * np.arange(dims[axis]).reshape([-1 if a == axis else 1 for a in range(len(dims))])
    return walk.offset + numbers if walk.table is None else walk.table[numbers]
