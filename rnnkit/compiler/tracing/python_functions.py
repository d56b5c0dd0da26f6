"""Python's own functions, those of `math`, and NumPy's of lists, on the symbols of a step of one row."""

from __future__ import annotations

import ast
import builtins
import cmath
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.compiler.ir.operations import special
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, lift, pointwise
from rnnkit.compiler.tracing.complex_numbers import Complex, has_complex, paired
from rnnkit.compiler.tracing.decisions import both, either, known, truth
from rnnkit.compiler.tracing.iterations import Iteration, Range, Reversed, Zip, enumerated, iteration_of
from rnnkit.compiler.tracing.reductions import log_sum_exp
from rnnkit.compiler.tracing.symbol import Symbol
from rnnkit.complex_pairs import is_complex


def _extreme(kind: type) -> Callable:
    """Return ``min`` or ``max``, which keep the first of equal values, as Python does."""

    def extreme(reader, *given, key=None, default=None):
        values = list(given) if len(given) > 1 else iteration_of(reader, given[0]).entries(reader)
        if key is not None or not len(values):
            raise Untraceable("min or max with a key or of nothing; write a loop")
        found = values[0]
        for value in values[1:]:
            better = reader.compared(kind, value, found)
            is_tuple = isinstance(value, tuple)
            found = reader.chosen(truth(better), value, found) if is_tuple else np.where(better, value, found)
        return found

    return extreme


def _folded(combine, start: bool) -> Callable:
    def folded(reader, values):
        found: Any = start
        for value in iteration_of(reader, values).entries(reader):
            found = combine(found, truth(value))
        return found

    return folded


def _sum(reader, values, start=0):
    for value in iteration_of(reader, values).entries(reader):
        start = start + value
    return start


def _int(reader, value=0):
    value = lift(reader.like, value)
    if value.is_float and value.node.op not in _WHOLE:
        held = truth(np.abs(value) < 2.0**63)
        reader.check(held, "int() of what is no number that an integer is")
        safe = both(reader.path(), held)
        value = value if isinstance(safe, bool) else np.where(safe, value, 0.0)
    return value.astype(np.int64)


_WHOLE = ("to_float", "cast", "literal")  # results of these fit an integer


def _float(reader, value=0.0):
    return lift(reader.like, value).astype(np.float64)


def _round(reader, value, digits=None):
    if digits is None:
        return np.rint(value)
    return np.round(value, int(known(digits)))


def _isinstance(reader, value, kinds):
    if isinstance(value, (Symbol, Complex)):
        value = np.zeros(value.shape, value.dtype) if value.ndim else value.dtype.type(0)
    return isinstance(value, kinds)


def _print(reader, *_, **__):
    raise Untraceable("print; run the layer inside rk.eager() to look at values")


def _sorted(reader, *_, **__):
    raise Untraceable("sorted of computed numbers; write np.sort")


def _complex(reader, real=0.0, imag=0.0):
    return real + 1j * imag if is_complex(real) or is_complex(imag) else paired(reader.like, real, imag).copy()


def _array(reader, values, dtype=None, **_):
    values = values.entries(reader) if isinstance(values, Iteration) else values
    if is_complex(values):
        return values.copy()
    if isinstance(values, (list, tuple)) and has_complex(values):
        return np.stack([_array(reader, one) for one in values])
    made = lift(reader.like, values)
    return made.copy() if dtype is None else made.astype(dtype)


def _logarithm(reader, x, base=None):
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _of_numpy(function, plus=None) -> Callable:
    return lambda reader, *args: function(*args) if plus is None else function(args[0] + plus)


def _list(reader, values=()):
    return iteration_of(reader, values).entries(reader)


def _map(reader, function, *values):
    return [reader.call(function, args, {}) for args in _list(reader, Zip([iteration_of(reader, v) for v in values]))]


def _range(reader, *ends):
    start, stop, step = ends if len(ends) == 3 else (*((0,) if len(ends) == 1 else ()), *ends, 1)
    return Range(start, stop, step)


_MATH = {
    "fabs": np.abs, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "atan2": np.arctan2, "acosh": np.arccosh,
    "asinh": np.arcsinh, "atanh": np.arctanh, "pow": np.power, "dist": lambda a, b: np.linalg.norm(np.subtract(a, b)),
    "erf": lambda x: pointwise("erf", x), "erfc": lambda x: pointwise("erfc", x),
}  # fmt: skip
_OF_CMATH = "exp log log10 sqrt sin cos tan sinh cosh tanh isnan isinf isfinite"
_SAME = (
    "exp exp2 expm1 log2 log10 log1p sqrt cbrt sin cos tan sinh cosh tanh floor ceil trunc isnan isinf isfinite hypot "
    "copysign fmod degrees radians"
)
FUNCTIONS: dict[Any, Callable] = {
    builtins.min: _extreme(ast.Lt),
    builtins.max: _extreme(ast.Gt),
    builtins.all: _folded(both, True),
    builtins.any: _folded(either, False),
    builtins.sum: _sum,
    builtins.int: _int,
    builtins.float: _float,
    builtins.complex: _complex,
    builtins.bool: lambda reader, value=False: truth(value),
    builtins.round: _round,
    builtins.isinstance: _isinstance,
    builtins.print: _print,
    builtins.sorted: _sorted,
    builtins.range: _range,
    builtins.len: lambda reader, value: len(_list(reader, value) if isinstance(value, Iteration) else value),
    builtins.list: _list,
    builtins.tuple: lambda reader, values=(): tuple(_list(reader, values)),
    builtins.map: _map,
    builtins.enumerate: lambda reader, values, start=0: enumerated(iteration_of(reader, values), start),
    builtins.zip: lambda reader, *values, strict=False: Zip([iteration_of(reader, v) for v in values], strict),
    builtins.reversed: lambda reader, values: Reversed(iteration_of(reader, values)),
    builtins.pow: lambda reader, a, b: a**b,
    math.log: _logarithm,
    cmath.phase: _of_numpy(np.angle),
    cmath.polar: lambda reader, z: (np.abs(z), np.angle(z)),
    cmath.rect: lambda reader, r, phi: r * np.exp(1j * phi),
    **{getattr(cmath, name): _of_numpy(getattr(np, name), 0j) for name in _OF_CMATH.split()},
    np.array: _array,
    np.asarray: _array,
    **{getattr(math, name): _of_numpy(getattr(np, name)) for name in _SAME.split() if hasattr(math, name)},
    **{getattr(math, name): _of_numpy(function) for name, function in _MATH.items()},
}


def _logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False):
    if b is not None or return_sign:
        raise Untraceable("scipy.special.logsumexp with b= or return_sign=; write np.log(np.sum(b * np.exp(a)))")
    return log_sum_exp(a, axis, keepdims=keepdims)


def _polygamma(n, x):
    if not isinstance(n, int) or n < 0:
        raise Untraceable("scipy.special.polygamma of an order that is no number")
    return special("psi", x) if n == 0 else (-1.0) ** (n + 1) * math.factorial(n) * special("zeta", n + 1.0, x)


def _softmax(x, axis=None):
    shares = np.exp(x - np.max(x, axis, keepdims=True))
    return shares / np.sum(shares, axis, keepdims=True)


# Functions of scipy.special that are no ufuncs, and so don't take symbols.
SPECIAL: dict[str, Callable] = {
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": lambda x, axis=None: x - log_sum_exp(x, axis, keepdims=True),
    "polygamma": _polygamma,
}
# Functions with a rule for calls without symbols, too.
STATIC = (_print,)


def called_with_symbols(function, args, keywords):
    """Call other functions that don't take symbols by rules; `NotImplemented` if there is none."""
    if isinstance(function, type) and issubclass(function, np.generic) and len(args) == 1:
        return args[0].astype(function) if isinstance(args[0], Symbol) else NotImplemented
    module, name = getattr(function, "__module__", None) or "", getattr(function, "__name__", "")
    if module.startswith("scipy.special") and name in SPECIAL and find_symbol(*args, *keywords.values()) is not None:
        return SPECIAL[name](*args, **keywords)
    if module == "math" and find_symbol(*args) is not None:
        raise Untraceable(f"math.{name}; write its formula")
    return NotImplemented
