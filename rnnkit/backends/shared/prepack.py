"""What depends on weights alone: computed in NumPy when one of them changes, and laid out for the programs to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnkit.compiler.ir.plan import Plan, SparseProduct


class Layout(NamedTuple):
    """How a kind of program wants arrays.

    Attributes
    ----------
    value : callable
        Of an array that is read as it is.
    dense : callable
        ``(weight, gates, units)``, of a product's weight ``(K, N)``; gates are the columns where they start, or none.
    sparse : callable
        Of a sparse product's weight.
    """

    value: Callable
    dense: Callable
    sparse: Callable


def prepacker(plan: Plan, evaluate, dtype, layout: Layout) -> Callable:
    """A function from weights by name to the arrays of ``plan.prepacked``, in its order."""
    nodes = [node for wanted in plan.prepacked.values() for node in (wanted if isinstance(wanted, list) else [wanted])]
    products = {product.panels: product for product in plan.products()}

    def prepack(weights):
        with np.errstate(all="ignore"):
            values = evaluate(nodes, {("weight", name): array for name, array in weights.items()}, dtype)
        arrays = []
        for buffer, wanted in plan.prepacked.items():
            if not isinstance(wanted, list):
                arrays.append(layout.value(np.asarray(values[wanted.id], dtype).reshape(-1)))
                continue
            parts = [np.asarray(values[w.id], dtype) for w in wanted]
            weight = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            if isinstance(products[buffer], SparseProduct):
                arrays.append(layout.sparse(weight))
            else:
                arrays.append(layout.dense(weight, products[buffer].gates, products[buffer].units))
        return arrays

    return prepack
