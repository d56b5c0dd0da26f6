"""What a backend contributes to the compiler's passes, see `rnnkit.execution.passes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A backend as the compiler sees it.

    Attributes
    ----------
    name : str
    columns : callable
        ``(columns, dtype) -> int``: how wide a product's result is, with what fills up its last vector.
    fuse : callable
        ``(plan, columns) -> plan``, where `columns` is that of one dtype.
    write : callable
        ``(plan, name, dtype)`` to the source text of a program.
    compile : callable
        ``(plan, source, dtype, show)`` to the program; ``show()`` gives graph and plan as text.
    gradient : callable
        ``(program, forward, adjoint, residuals, operands, sums, finish)`` to what computes a step's gradients.
    """

    name: str
    columns: Callable[..., int]
    fuse: Callable
    write: Callable[..., Any]
    compile: Callable[..., Any]
    gradient: Callable[..., Any]
