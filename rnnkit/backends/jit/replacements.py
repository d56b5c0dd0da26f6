"""Replacements, in a jitted step, of functions that numba lacks or knows only in part."""

from __future__ import annotations

import functools
import math
import operator
import sys

import numba
import numpy as np
from numba.core.registry import cpu_target

from rnnkit import activations
from rnnkit.backends.formulas.numba_functions import FUNCTIONS
from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.backends.jit import arrays, reductions
from rnnkit.compiler.ir.operations import OPERATIONS

elementwise = numba.vectorize  # a function of one number, on arrays of any shape and on numbers


@elementwise
def sigmoid(x):
    e = math.exp(-abs(x))
    return 1 / (1 + e) if x >= 0 else e / (1 + e)


@elementwise
def softplus(x):
    return np.maximum(x, 0.0) + math.log1p(math.exp(-abs(x)))


@elementwise
def log_sigmoid(x):
    return np.minimum(x, 0.0) - math.log1p(math.exp(-abs(x)))


erf, erfc = elementwise(lambda x: math.erf(x)), elementwise(lambda x: math.erfc(x))
ndtr = elementwise(lambda x: 0.5 * math.erfc(-x * 0.7071067811865476))
logit = elementwise(lambda x: math.log(x / (1 - x)))
where = elementwise(lambda condition, a, b: a if condition else b)


# Methods of arrays: replaced where they are called with arguments, since numba's own take none.
METHODS = {
    "sum": reductions.total,
    "prod": reductions.product,
    "mean": reductions.mean,
    "max": reductions.largest,
    "min": reductions.smallest,
    "var": reductions.variance,
    "std": reductions.deviation,
    "any": reductions.some,
    "all": reductions.every,
    "cumsum": arrays.cumsum,
    "cumprod": arrays.cumprod,
    "argsort": arrays.argsort,
}

# Functions of a list of arrays, for which numba wants a tuple.
OF_SEVERAL = {np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack}


@functools.cache
def _known() -> dict:
    known = {getattr(np, name): replacement for name, replacement in METHODS.items()}
    known |= {np.amax: reductions.largest, np.amin: reductions.smallest, np.linalg.norm: reductions.norm}
    known |= {np.where: where, np.concatenate: arrays.concatenate, np.sort: arrays.sort, np.einsum: arrays.einsum}
    known |= {np.matmul: arrays.matmul, np.dot: arrays.matmul, operator.matmul: arrays.matmul}
    known |= {activations.sigmoid: sigmoid, activations.softplus: softplus, activations.log_sigmoid: log_sigmoid}
    known |= {activations.erf: erf, activations.erfc: erfc}
    return known | {activations.softmax: reductions.softmax, activations.log_softmax: reductions.log_softmax}


@functools.cache
def _known_of_scipy() -> dict:
    special = sys.modules["scipy.special"]
    known = {special.expit: sigmoid, special.log_expit: log_sigmoid, special.erf: erf, special.erfc: erfc}
    known |= {special.ndtr: ndtr, special.logit: logit, special.softmax: reductions.softmax}
    known |= {special.log_softmax: reductions.log_softmax}
    return known | {special.log1p: np.log1p, special.expm1: np.expm1, special.exp2: np.exp2}


def replacement_for(function):
    """Return the function to call in place of `function`, or None: numba's own, or the function jitted."""
    try:
        found = _known().get(function)
        if found is None and "scipy.special" in sys.modules:
            found = _known_of_scipy().get(function)
        return _formula_of(function) if found is None else found
    except TypeError:  # not hashable
        return None


def _formula_of(function):
    """Return the formula for a function of NumPy or scipy.special that numba doesn't know, else None."""
    known_as = getattr(function, "__name__", None)
    for name, operation in OPERATIONS.items():
        if known_as == name or known_as in operation.aliases:
            homes = (np, sys.modules.get("scipy.special"))
            theirs = any(function is getattr(home, known_as, None) for home in homes)
            return formula(name) if theirs and name in FORMULAS and not _numba_knows(function) else None
    return None


@functools.cache
def formula(name):
    """Return the formula of this name, on arrays of any shape and on numbers."""
    function = FUNCTIONS[name]
    if arity(FORMULAS[name]) == 1:
        return elementwise(lambda x: function(x))
    return elementwise(lambda a, b: function(a, b))


def _numba_knows(function) -> bool:
    cpu_target.target_context.refresh()  # imports numba's functions for NumPy
    cpu_target.typing_context.refresh()
    try:
        return cpu_target.typing_context.resolve_value_type(function) is not None
    except ValueError:
        return False
