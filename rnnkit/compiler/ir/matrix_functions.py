"""Derivatives of NumPy's functions of whole matrices that stand in a step of weights alone.

Such a function runs as it is, once for each new weight (`rnnkit.compiler.tracing.numpy_functions`), and so does its
rule: ``rule(g, y, *args)`` returns, for the cotangent ``g`` of its result ``y``, those of its array arguments. The
formulas are those of Giles 2008, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation". Functions that read one triangle of a symmetric matrix have cotangents there alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class WeightFunction:
    """Function of arrays that all rows share, called by a graph's node ``function``."""

    name: str  # for people, NumPy's functions as "np.linalg.det"
    call: Callable  # the function of the operands' arrays
    rule: Callable | None = None  # rule(g, y, *args), the cotangents of the operands, where the derivative is known
    flat: bool = False  # it has no derivative, since it counts, places or decides
    part: int | None = None  # the number of the result, if the function has several

    def __call__(self, *arrays):
        return self.call(*arrays)

    def cotangent(self, i: int) -> WeightFunction:
        """Return the function that computes the cotangent of operand `i` from ``(g, y, *args)``."""
        rule: Any = self.rule
        return WeightFunction(f"cotangent {i} of {self.name}", lambda *arrays: rule(*arrays)[i])


def _lower(symmetric):
    """Return the cotangent of a lower triangle from that of the symmetric matrix that it stands for."""
    return np.tril(symmetric + symmetric.T, -1) + np.diag(np.diag(symmetric))


def _cholesky(g, y, a):
    half = np.tril(y.T @ g)
    half[np.diag_indices_from(half)] /= 2
    inverse = np.linalg.inv(y)
    whole = inverse.T @ half @ inverse
    return (_lower((whole + whole.T) / 2),)


def _eigvalsh(g, y, a):
    vectors = np.linalg.eigh(a)[1]
    return (_lower((vectors * g) @ vectors.T),)


def _singular_values(g, y, a):
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return ((u * g) @ v,)


def _spectral_norm(g, y, a):
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return (g * np.outer(u[:, 0], v[0]),)


def _power(g, y, a, n):
    powers = [np.eye(len(a))]
    for _ in range(n):
        powers.append(powers[-1] @ a.T)
    return (sum((powers[k] @ g @ powers[n - 1 - k] for k in range(n)), np.zeros_like(a)),)


def _eigh(a):
    values, vectors = np.linalg.eigh(a)
    return np.concatenate([values, np.swapaxes(vectors, -1, -2).reshape(*values.shape[:-1], -1)], axis=-1)


@dataclass(frozen=True, eq=False)
class Kernel:
    """Function that gives the value of a ``ruled`` node in NumPy, of `count` operands after the first.

    ``back(g, of, *others)`` is the cotangent of the first of these, where `of` is what it `reads`: that operand "x",
    the value "y", or the "shape" of x. Without `back`, there is a rule in the graph.
    """

    call: Callable
    back: Callable | None = None
    count: int = 1
    reads: str = "x"

    def __call__(self, *arrays):
        return self.call(*arrays)

    def __repr__(self):
        function, options = getattr(self.call, "func", self.call), getattr(self.call, "keywords", {})
        return f"kernel {function.__name__.strip('_')}{options or ''}"


EIGH = Kernel(_eigh)  # of a row's own matrix, whose values are long loops in a graph

# By the function's name, the arguments that are no arrays of the step, the keywords, and which of its results it is.
_RULES: dict[tuple, Callable] = {
    ("np.linalg.det", (), (), None): lambda g, y, a: (g * y * np.linalg.inv(a).T,),
    ("np.linalg.slogdet", (), (), 0): lambda g, y, a: (np.zeros_like(a),),
    ("np.linalg.slogdet", (), (), 1): lambda g, y, a: (g * np.linalg.inv(a).T,),
    ("np.linalg.cholesky", (), (), None): _cholesky,
    ("np.linalg.eigvalsh", (), (), None): _eigvalsh,
    ("np.linalg.svd", (), (("compute_uv", False),), None): _singular_values,
    ("np.linalg.norm", (2,), (), None): _spectral_norm,
    ("np.linalg.norm", (), (("ord", 2),), None): _spectral_norm,
    ("np.linalg.trace", (), (), None): lambda g, y, a: (g * np.eye(*a.shape),),
    ("np.outer", (), (), None): lambda g, y, a, b: (
        (g @ b.reshape(-1)).reshape(a.shape),
        (a.reshape(-1) @ g).reshape(b.shape),
    ),
}


def rule_of(name: str, given: tuple, keywords: dict, part: int | None) -> Callable | None:
    """Return the rule of a function with these arguments, None if there is none."""
    if name == "np.linalg.matrix_power" and not keywords and part is None and len(given) == 1 and given[0] >= 0:
        return lambda g, y, a: _power(g, y, a, given[0])
    try:
        return _RULES.get((name, given, tuple(keywords.items()), part))
    except TypeError:  # a list or an array among the arguments
        return None
