"""Products and the pointwise loop behind them, joined so that a result is used while it is near."""

from __future__ import annotations

import itertools

from rnnkit.compiler.ir.plan import STEP, Buffer, Fused, Loop, Plan, Product, SparseProduct
from rnnkit.compiler.ir.strides import Walk


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
    """The columns at which the gates start that a loop reads, if it reads gates and nothing else."""
    if loop.reduction is not None or len(loop.dims) != 1 or not loop.dims[0]:
        return ()
    walks = [load.walk for load in loop.loads if load.buffer is product.result]
    if any(walk.table is not None or (walk.strides != (1,) and loop.dims != (1,)) for walk in walks):
        return ()
    gates = tuple(sorted({walk.offset for walk in walks}))
    apart = all(after - before >= loop.dims[0] for before, after in itertools.pairwise(gates))
    return gates if apart else ()
