"""Arrays that depend on weights alone: computed in NumPy when a weight changes, and laid out for the programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnkit.compiler.ir import evaluate
from rnnkit.compiler.ir.plan import Plan, SparseProduct


class Layout(NamedTuple):
    """Layouts of the arrays that a kind of program reads."""

    value: Callable  # of an array that is read as it is
    dense: Callable  # (weight, gates, units): of a product's (K, N), with the first columns of each gate, or none
    sparse: Callable  # of a sparse product's weight


def only_moves(plan: Plan) -> bool:
    """Return whether a plan's prepacked arrays, but for literals, only hold numbers of weights, moved, and zeros."""
    sparse = any(isinstance(product, SparseProduct) for product in plan.products())
    kept = [one for one, literal in zip(plan.prepacked.values(), literals(plan), strict=True) if not literal]
    wanted = [node for one in kept for node in (one if isinstance(one, list) else [one])]
    return not sparse and evaluate.only_moves(wanted)


def literals(plan: Plan) -> list[bool]:
    return [not isinstance(wanted, list) and wanted.op == "literal" for wanted in plan.prepacked.values()]


def prepacker(plan: Plan, dtype, layout: Layout) -> Callable:
    """Return a function from weights by name to the arrays of ``plan.prepacked``, in its order."""
    nodes = [node for wanted in plan.prepacked.values() for node in (wanted if isinstance(wanted, list) else [wanted])]
    products = {product.panels: product for product in plan.products()}
    values_of: evaluate.Evaluation | None = None

    def prepack(weights):
        nonlocal values_of
        values_of = values_of or evaluate.Evaluation(nodes, dtype)
        with np.errstate(all="ignore"):
            values = values_of({("weight", name): array for name, array in weights.items()})
        arrays = []
        for buffer, wanted in plan.prepacked.items():
            if not isinstance(wanted, list):
                kind = dtype if buffer.elements == "float" else buffer.elements
                arrays.append(layout.value(np.asarray(values[wanted.id], kind).reshape(-1)))
                continue
            parts = [np.asarray(values[w.id], dtype) for w in wanted]
            weight = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            if isinstance(products[buffer], SparseProduct):
                arrays.append(layout.sparse(weight))
            else:
                arrays.append(layout.dense(weight, products[buffer].gates, products[buffer].units))
        return arrays

    return prepack
