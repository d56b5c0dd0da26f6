"""A plan in words."""

from __future__ import annotations

from collections import Counter

from rnnkit.compiler.ir.operations import BY_LANE
from rnnkit.compiler.ir.plan import (
    SECTIONS,
    STEP,
    Fused,
    Loop,
    Plan,
    Pointwise,
    Product,
    RowLoop,
    RowPlan,
    SparseProduct,
    all_lines,
)
from rnnkit.compiler.planning.scans import products_of_states


def describe(plan: Plan, dtype, threads: bool = False) -> str:
    """Return a plan in words: the stages once, per call, per block and per step; then operations without vectors.

    Rows are the lanes of vectors in a plan by rows, or the `threads` of a GPU.
    """
    if isinstance(plan, RowPlan):
        return _by_rows(plan, threads)
    lines = []
    weights = [w for w in plan.prepacked.values() if not isinstance(w, list) and w.op not in ("weight", "literal")]
    packed = [w for w in plan.prepacked.values() if isinstance(w, list)]
    if packed or weights:
        lines.append(f"when a weight changes: {len(packed)} products' weights packed, {len(weights)} values computed")
    for section, title in list(enumerate(SECTIONS))[1:]:
        stages = [stage for stage in plan.stages if stage.section == section]
        if stages:
            scans = plan.scans and section == STEP
            lines.append(f"{title}, element by element with the states in registers:" if scans else f"{title}:")
            for stage in stages:
                parts = stage.parts if isinstance(stage, Fused) else [stage]
                lines += [f"  {', and at once, '.join(_stage(part) for part in parts)}"]
                if scans and isinstance(stage, Loop) and (count := products_of_states(stage)):
                    stays = "1 multiply-add stays" if count == 1 else f"{count} multiply-adds stay"
                    lines += [f"    linear in the states: of each step, {stays} in the loop"]
    used = {op for part in plan.parts() if not isinstance(part, Product) for op in part.operations}
    lines += [f"{op}: lane by lane {where}" for op, where in BY_LANE.items() if op in used]
    return "\n".join(lines)


def _by_rows(plan: RowPlan, threads: bool) -> str:
    """Return the operations of each section, with their numbers."""
    rows = "a thread computes a row of the batch" if threads else "lanes of vectors are rows of the batch"
    lines = [f"{rows}; each number of a row is a line, and states stay in registers"]
    of_all: set[str] = set()
    for section, title in list(enumerate(SECTIONS))[1:]:
        mine = [x for x in all_lines(plan.lines) if isinstance(x, Pointwise) and plan.sections[x.name] == section]
        counts = Counter(line.op for line in mine)
        of_all |= counts.keys()
        if counts:
            lines.append(f"{title}: {', '.join(f'{count} {op}' for op, count in counts.items())}")
    loops = sum(isinstance(line, RowLoop) for line in all_lines(plan.lines))
    if loops:
        until = "its row wants no other round" if threads else "no row of a group wants another round"
        lines.append(f"with {loops} loop{'s' * (loops > 1)}, each until {until}")
    if not threads:
        lines += [f"{op}: lane by lane {where}" for op, where in BY_LANE.items() if op in of_all]
    return "\n".join(lines)


def _stage(stage) -> str:
    if isinstance(stage, SparseProduct):
        (weight,) = stage.weights
        shape = f"({weight.shape[0]}, {weight.shape[1]}) with {stage.nonzeros:,} nonzeros"
        return f"sparse product: {stage.operand.name} times {shape} -> {stage.result.name}"
    if isinstance(stage, Product):
        shapes = " and ".join(f"({w.shape[0]}, {w.shape[1]})" for w in stage.weights)
        joint = f"{len(stage.weights)} products as one: " if len(stage.weights) > 1 else "product: "
        return f"{joint}{stage.operand.name} times {shapes} -> {stage.result.name}"
    inside = f" of {', '.join(dict.fromkeys(stage.operations))}" if stage.operations else ", a copy"
    size = " x ".join(map(str, stage.dims)) or "1"
    names = ", ".join(dict.fromkeys(b.name for b in stage.written))
    kind = f"{stage.reduction} over {size}" if stage.reduction else f"one loop over {size}"
    return f"{kind}{inside} -> {names}"
