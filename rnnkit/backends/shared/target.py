"""A backend's contributions to the compiler's passes, see `rnnkit.execution.passes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A backend as the compiler sees it.

    Attributes
    ----------
    name : str
    columns : callable
        ``(columns, dtype) -> int``: the width of a product's result, filled up to whole vectors.
    plan, fuse : callable
        ``(graph, columns) -> plan`` and ``(plan, columns) -> plan``, where `columns` is that of one dtype.
    write : callable
        ``(plan, name, dtype)`` to the source text of a program.
    compile : callable
        ``(plan, source, dtype, show, gradient)`` to the program; ``show()`` gives graph and plan as text,
        ``gradient(program)`` the gradient executor of a step's own program, and is None for others.
    gradient : callable
        ``(program, forward, adjoint, residuals, operands, sums, finish)`` to a step's gradient executor.
    of_step : callable
        From the graph of a step to another target that is better for it, or None.
    adapt : callable
        From the graph of a step to one that the target can run; a ValueError where there is none.
    sums_by_row : str
        Which sums of the weights' gradients the adjoint itself adds up over the steps of each row, see
        `rnnkit.compiler.autodiff.adjoint.differentiate`.
    """

    name: str
    columns: Callable[..., int]
    plan: Callable
    fuse: Callable
    write: Callable[..., Any]
    compile: Callable[..., Any]
    gradient: Callable[..., Any]
    of_step: Callable[[Any], Target | None] = lambda graph: None
    adapt: Callable[[Any], Any] = lambda graph: graph
    sums_by_row: str = ""
