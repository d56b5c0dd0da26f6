"""Products and the pointwise loop behind them, joined so that a result is used while it is in the cache."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from math import prod

from rnnkit.compiler.ir.plan import (
    LARGE,
    STEP,
    Buffer,
    Fused,
    Load,
    Loop,
    Number,
    Plan,
    Pointwise,
    Product,
    SparseProduct,
    Total,
)
from rnnkit.compiler.ir.strides import Walk

SHORT = 16  # the least length of a last axis for loops to be joined over two axes


def fuse_all(plan: Plan, packed_width) -> Plan:
    """Fuse a plan as `fuse` does, and join loops of a step over the same large arrays, so that each is read once."""
    plan = fuse(plan, packed_width)
    sizes = {loop.dims for loop in plan.stages if isinstance(loop, Loop) and loop.reduction is not None}
    for dims in sizes:
        if len(dims) == 2 and prod(dims) >= LARGE and dims[1] >= SHORT:
            _join(plan, dims)
    large = [
        s for s in plan.stages if isinstance(s, Loop) and any(b.kind == "next" and b.size >= LARGE for b in s.written)
    ]
    # Stages of a level don't read each other's results: behind the others, what reads a state has read it.
    plan.stages.sort(key=lambda stage: (stage.section, stage.level, stage in large))
    plan.in_place = {buffer.attr for stage in large for buffer in stage.written if _can_replace(plan, stage, buffer)}
    return plan


def _can_replace(plan: Plan, stage: Loop, new: Buffer) -> bool:
    """Return whether a loop may write a large new state over the old one: nothing reads another element of it later."""
    if new.kind != "next" or new.size < LARGE or stage.section != STEP or stage.reduction is not None:
        return False
    (walk,) = (walk for _, buffer, walk in stage.writes if buffer is new)
    own = [load.walk for load in stage.loads if (load.buffer.kind, load.buffer.attr) == ("state", new.attr)]
    later = plan.stages[plan.stages.index(stage) + 1 :]
    read = {load.buffer for s in later for part in _parts(s) if isinstance(part, Loop) for load in part.loads}
    read |= {part.operand for s in later for part in _parts(s) if isinstance(part, Product)}
    return all(_same(one, walk) for one in own) and not any((b.kind, b.attr) == ("state", new.attr) for b in read)


def _parts(stage: Product | Loop | Fused) -> list:
    return stage.parts if isinstance(stage, Fused) else [stage]


@dataclass(eq=False)
class _Group:
    """Loops that run as one in place of the first of them; ``later`` are buffers that they can't read yet."""

    first: Product | Loop | Fused
    loops: list[Loop]
    later: set[Buffer] = field(default_factory=set)


def _join(plan: Plan, dims: tuple[int, ...]) -> None:
    """Join loops over two axes to an earlier one if all their operands are there by then."""
    groups: list[_Group] = []
    stages = []
    for stage in plan.stages:
        loop = _loop_over(stage, dims) if isinstance(stage, Loop) and stage.section == STEP else None
        found = next((i for i, one in enumerate(groups) if loop is not None and _has_all(one, loop)), len(groups))
        for part in _parts(stage):
            for group in groups[:found]:
                group.later.update([part.result] if isinstance(part, Product) else part.written)
        if found < len(groups):
            assert loop is not None
            groups[found].loops.append(loop)
            continue
        if loop is not None:
            groups.append(_Group(stage, [loop]))
        stages.append(stage)
    several = {group.first: group.loops for group in groups if len(group.loops) > 1}
    plan.stages = []
    for stage in stages:
        loops = several.get(stage)
        if loops is None:
            plan.stages.append(stage)
        else:
            plan.stages += [_one(loops)] if any(loop.totals for loop in loops) else loops


def _loop_over(loop: Loop, dims: tuple[int, ...]) -> Loop | None:
    """Return a loop over these axes, with its reductions as totals; None if that can't be."""
    walks = [load.walk for load in loop.loads] + [walk for *_, walk in loop.writes]
    floats = all(value.kind in ("float", "bool") for value in loop.values)
    if any(walk.table is not None or walk.gates for walk in walks) or not floats:
        return None
    if loop.reduction is not None:
        if loop.dims != dims or not loop.along_last:
            return None
        totals = [Total(*write, loop.reduction, loop.kept) for write in loop.writes]
        return replace(loop, kept=2, writes=[], reduction=None, totals=totals)
    if loop.dims == dims:
        return loop
    if loop.dims != (prod(dims),):
        return None

    def split(walk):
        (step,) = walk.strides
        return Walk(walk.offset, (step * dims[1], step))

    values = [replace(v, walk=split(v.walk)) if isinstance(v, Load) else v for v in loop.values]
    return replace(loop, dims=dims, kept=2, values=values, writes=[(n, b, split(w)) for n, b, w in loop.writes])


def _has_all(group: _Group, loop: Loop) -> bool:
    """Return whether a loop can join a group: it reads the group's results only where it writes them."""
    at = {buffer: walk for one in group.loops for _, buffer, walk in one.writes}
    not_there = group.later | {total.buffer for one in group.loops for total in one.totals}
    return all(
        load.buffer not in not_there and (load.buffer not in at or _same(load.walk, at[load.buffer]))
        for load in loop.loads
    )


def _same(a: Walk, b: Walk) -> bool:
    return (a.offset, a.strides) == (b.offset, b.strides)


def _one(loops: list[Loop]) -> Loop:
    """Return one loop made of several, in which each value is computed once."""
    made = replace(loops[0], values=[], writes=[], totals=[])
    known: dict[tuple, str] = {}
    at: dict[Buffer, str] = {}  # the values that it writes
    used: set[str] = set()
    for loop in loops:
        names: dict[str, str] = {}
        for value in loop.values:
            key: tuple
            if isinstance(value, Load):
                key = "load", value.buffer, value.walk.offset, value.walk.strides
                if value.buffer in at:
                    known[key] = at[value.buffer]
            elif isinstance(value, Number):
                key = "number", value.kind, repr(value.number)
            else:
                key = value.op, value.kind, *(names[arg] for arg in value.args)
            if key not in known:
                name = value.name
                while name in used:
                    name += "_"
                used.add(name)
                known[key] = name
                if isinstance(value, Pointwise):
                    value = replace(value, args=tuple(names[arg] for arg in value.args))
                made.values.append(replace(value, name=name))
            names[value.name] = known[key]
        for name, buffer, walk in loop.writes:
            made.writes.append((names[name], buffer, walk))
            at[buffer] = names[name]
        made.totals += [replace(total, value=names[total.value]) for total in loop.totals]
    made.lines = tuple(dict.fromkeys(line for loop in loops for line in loop.lines))
    return made


def fuse(plan: Plan, packed_width) -> Plan:
    """Lay out every product of a plan for the one loop that reads it, if there is one, and join the two within a step.

    The plan is changed, and returned. A product with a sparse weight stays as it is, with its groups of columns.

    Such a loop runs over units, and reads from each row of the product some gates: runs of as many neighbouring
    columns. The product then computes a vector of each gate in turn, so that some units of all gates are one range
    of its columns.
    """
    lanes = packed_width(1)
    loops = [stage for stage in plan.stages if isinstance(stage, Loop)]
    operands = {stage.operand for stage in plan.stages if isinstance(stage, Product)}
    joined: dict[Loop, list[Product]] = {}
    for product in plan.products():
        readers = [loop for loop in loops if any(load.buffer is product.result for load in loop.loads)]
        if isinstance(product, SparseProduct) or product.nested or len(readers) != 1 or product.result in operands:
            continue
        (loop,) = readers
        gates = _gates(loop, product)
        if not gates:
            continue
        (product.units,) = loop.dims
        product.gates = gates
        product.result.size = len(gates) * packed_width(product.units)
        for load in loop.loads:
            if load.buffer is product.result:
                place = gates.index(load.walk.offset) * lanes
                load.walk = Walk(place, (1,), gates=len(gates))
        if product.section == loop.section == STEP:
            joined.setdefault(loop, []).append(product)
    taken = {product for products in joined.values() for product in products}
    plan.stages = [
        Fused(joined[stage], stage) if stage in joined else stage for stage in plan.stages if stage not in taken
    ]
    share_panels(plan)
    return plan


def share_panels(plan: Plan) -> None:
    """Let products with the same weights, laid out in the same way, read one array of them."""
    known: dict[tuple, Buffer] = {}
    for product in plan.products():
        own = product.panels
        key = tuple(weight.id for weight in product.weights), product.gates, product.units, own.attr
        product.panels = known.setdefault(key, own)
        if product.panels is not own:
            del plan.prepacked[own]
            plan.buffers.remove(own)


def _gates(loop, product) -> tuple[int, ...]:
    """Return the columns at which the gates start that a loop reads; none if it reads anything else."""
    if loop.reduction is not None or len(loop.dims) != 1 or not loop.dims[0]:
        return ()
    walks = [load.walk for load in loop.loads if load.buffer is product.result]
    if any(walk.table is not None or (walk.strides != (1,) and loop.dims != (1,)) for walk in walks):
        return ()
    gates = tuple(sorted({walk.offset for walk in walks}))
    apart = all(after - before >= loop.dims[0] for before, after in itertools.pairwise(gates))
    return gates if apart else ()
