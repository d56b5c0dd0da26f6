"""A backend's contributions to the compiler's passes, see `rnnkit.execution.passes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A backend as the compiler sees it."""

    name: str
    columns: Callable[..., int]  # (columns, dtype): the width of a product's result, filled up to whole vectors
    plan: Callable  # (graph, columns) to the plan, where `columns` is that of one dtype
    fuse: Callable  # (plan, columns) to the plan
    write: Callable[..., Any]  # (plan, name, dtype) to the source text of a program
    # (plan, source, dtype, show, gradient) to the program: show() gives graph and plan as text, gradient(program) the
    # gradient executor of a step's own program, and is None for others
    compile: Callable[..., Any]
    # (program, forward, adjoint, residuals, operands, sums, finish) to a step's gradient executor
    gradient: Callable[..., Any]
    of_step: Callable[[Any], Target | None] = lambda graph: None  # a target that is better for a step's graph, or None
    adapt: Callable[[Any], Any] = lambda graph: graph  # a step's graph as the target can run it, or a ValueError
    sums_by_row: str = ""  # which sums the adjoint adds up by row, see `rnnkit.compiler.autodiff.adjoint.differentiate`
