"""NumPy's functions on symbols: ufuncs, and the tables of all the others."""

from __future__ import annotations

import functools
import inspect
import numbers
import sys
from collections.abc import Callable

import numpy as np

from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.matrix_functions import WeightFunction, rule_of
from rnnkit.compiler.ir.operations import COMPOSED, OPERATIONS
from rnnkit.compiler.tracing import linalg
from rnnkit.compiler.tracing import manipulation as arranged
from rnnkit.compiler.tracing import reductions as reduced
from rnnkit.compiler.tracing import sorting as ordered
from rnnkit.compiler.tracing.batch_axis import MixesRows, Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, lift, lifted, pointwise, power_by_squares, unknown
from rnnkit.compiler.tracing.contractions import dot, einsum, matmul, tensordot
from rnnkit.compiler.tracing.manipulation import broadcast_to
from rnnkit.compiler.tracing.sorting import look_up
from rnnkit.compiler.tracing.symbol import RULES, Symbol

_NAMES = {alias: name for name, operation in OPERATIONS.items() for alias in operation.aliases}


def _power(base, exponent):
    both = lifted(base, exponent)
    if not any(a.is_float for a in both) and any(a.node.is_integer for a in both):
        return _integer_power(base, exponent)
    if isinstance(exponent, numbers.Real) and not isinstance(exponent, bool):
        if exponent == 0.5:
            return pointwise("sqrt", base)
        number = float(exponent)
        if number.is_integer() and 1 <= abs(number) <= 4:
            result, times = base.copy(), abs(int(number))
            if times > 1:
                square = np.square(base)
                result = {2: lambda: square, 3: lambda: square * base, 4: lambda: np.square(square)}[times]()
            return result if number > 0 else 1.0 / result
    return pointwise("power", base, exponent)


def _integer_power(base, exponent):
    if not isinstance(exponent, numbers.Integral) or not isinstance(base, Symbol):
        raise Untraceable("np.power of integers with an exponent that is an array; write np.left_shift, or floats")
    if exponent < 0:
        raise ValueError("Integers to negative integer powers are not allowed.")
    return power_by_squares(base.copy(), int(exponent), np.square) if exponent else np.ones_like(base)


def _kve(order, x):
    if isinstance(order, Symbol) or order not in (0, 1):
        raise Untraceable("scipy.special.kve of another order than the numbers 0 and 1")
    return np.where(np.isfinite(x), pointwise(f"k{int(order)}e", x), np.nan)  # as SciPy has it


_COMPOSED: dict[str, Callable] = COMPOSED | {
    "kve": _kve,
    "reciprocal": lambda x: COMPOSED["reciprocal"](x) if x.is_float else unknown("reciprocal of integers"),
    "positive": lambda x: x.copy(),
    "conjugate": lambda x: x.copy(),
    "power": _power,
    "matmul": matmul,
}
_BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor", "invert")
_IN_FLOATS = ("fabs", "float_power")
_BOOLEAN = {"add": "logical_or", "multiply": "logical_and", "maximum": "logical_or", "minimum": "logical_and"}


def call_ufunc(ufunc, method, args, keywords):
    """Answer ``__array_ufunc__`` of symbols."""
    name = ufunc.__name__
    if method == "reduce":
        known, axis = reduced.UFUNC_REDUCTIONS, {"axis": 0} if len(args) == 1 else {}
        return known[name](*args, **axis | keywords) if name in known else unknown(f"{_public(ufunc)}.reduce")
    if method == "accumulate" and name in ("add", "multiply", "maximum", "minimum"):
        return reduced.running(ufunc, *args, **keywords)
    if method == "at" and name == "add":
        return ordered.add_at(*args)
    if method != "__call__":
        return unknown(f"{_public(ufunc)}.{method}")
    keywords = {k: v for k, v in keywords.items() if not (k == "where" and v is True)}
    dtype = keywords.pop("dtype", None) or (np.float64 if name in _IN_FLOATS else None)
    if dtype is not None:
        args = [a.astype(dtype) for a in lifted(*args)]
    if out := keywords.pop("out", None):
        if not isinstance(out[0], Symbol):
            raise Untraceable(f"np.{name} with an out= that no array of the step is")
        return out[0].update(lambda *_: call_ufunc(ufunc, method, args, keywords), None)
    if keywords:
        raise Untraceable(f"np.{name} with {', '.join(keywords)}=; write the result to a name")
    if name in (*_BITWISE, "left_shift", "right_shift"):
        operands = lifted(*args)
        if any(a.is_float for a in operands):
            raise Untraceable(f"np.{name} of floats; of integers, as astype(int) gives them, and of conditions")
        if name not in _BITWISE or any(a.node.is_integer for a in operands):
            return pointwise(name, *args)
    name = _NAMES.get(name, name)
    if name in _COMPOSED:
        return _COMPOSED[name](*args)
    if name in _BOOLEAN and all(a.node.kind == "bool" for a in lifted(*args)):
        name = _BOOLEAN[name]
    if name not in OPERATIONS:
        return unknown(_public(ufunc))
    return pointwise(name, *args)


def _public(ufunc):
    """Return the import path of a ufunc, which has none of its own."""
    places = (np, "np"), (sys.modules.get("scipy.special"), "scipy.special")
    name = ufunc.__name__
    found = (f"{where}.{name}" for module, where in places if getattr(module, name, None) is ufunc)
    return next(found, f"the ufunc {name}")


def call_function(function, args, keywords):
    """Answer ``__array_function__`` of symbols."""
    name = function.__name__
    if function.__module__ == "numpy.linalg":
        name = f"linalg.{name}"
    elif function.__module__.startswith("scipy."):
        name = f"scipy.linalg.{name}"
    if name not in FUNCTIONS:
        found = _of_weights(function, args, keywords)
        return unknown(name if name.startswith("scipy") else f"np.{name}") if found is None else found
    try:
        return call_rule(name, FUNCTIONS[name], args, keywords)
    except Untraceable:
        found = _of_weights(function, args, keywords)
        if found is None:
            raise
        return found


def _of_weights(function, args, keywords):
    """Call a function without a rule on weights alone, again whenever a weight changes; return None for others."""
    symbols = [a for a in args if isinstance(a, Symbol)]
    others = [None if isinstance(a, Symbol) else a for a in args]
    if any(find_symbol(a) is not None for a in (*others, *keywords.values())) or any(
        s.node.batched or s.axis is not None for s in symbols
    ):
        return None
    graph = symbols[0].graph

    def call(part, *arrays):
        rest = iter(arrays)
        made = function(*(next(rest) if isinstance(a, Symbol) else a for a in args), **keywords)
        return made if part is None else made[part]

    def node(made, part=None):
        made = np.asarray(made)
        if made.dtype.kind not in "fiub":
            unknown(f"np.{function.__name__}")
        said = [a.tobytes() if isinstance(a, np.ndarray) else a for a in (*others, *keywords.items())]
        key = function.__module__, function.__name__, part, repr(said)
        name = f"{function.__module__.replace('numpy', 'np')}.{function.__name__}"
        rule = rule_of(name, tuple(a for a in args if not isinstance(a, Symbol)), keywords, part)
        attr = WeightFunction(name, functools.partial(call, part), rule, made.dtype.kind != "f", part)
        return symbols[0].made(graph.add("function", [s.node for s in symbols], made.shape, attr, key=key))

    values = evaluate([s.node for s in symbols], graph.values, np.float64)
    made = call(None, *(values[s.node.id] for s in symbols))
    return tuple(node(m, i) for i, m in enumerate(made)) if isinstance(made, tuple) else node(made)


def call_rule(name, rule, args, keywords):
    """Call the rule of a function or method on symbols; an `Untraceable` for arguments that the rule doesn't take."""
    try:
        bound = inspect.signature(rule).bind(*args, **keywords)
    except TypeError:
        raise Untraceable(f"np.{name} can't be traced with these arguments") from None
    x = args[0] if args else None
    is_vector = isinstance(x, Symbol) and x.axis is None and x.ndim == 1
    if is_vector and name in _FLAT and bound.arguments.get("axis") is None:
        bound.arguments["axis"] = 0
    return rule(*bound.args, **bound.kwargs)


# Functions of all elements, where no axis is given.
_FLAT = "roll repeat take delete cumsum cumprod median quantile percentile flip".split()


def _where(condition, *branches):
    if len(branches) != 2:
        raise Untraceable("np.where with one argument; give both branches")
    return pointwise("where", condition, *branches)


def _clip(x, a_min=None, a_max=None, *, min=None, max=None):
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _select(conditions, choices, default=0):
    result = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = _where(condition, choice, result)
    return result


def _nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    if not x.is_float:
        return x.copy()
    limits = np.finfo(x.dtype)
    high, low = (limits.max if posinf is None else posinf), (limits.min if neginf is None else neginf)
    x = np.where(np.isnan(x), nan, x)
    return np.where(np.equal(x, np.inf), high, np.where(np.equal(x, -np.inf), low, x))


def _triangle(make):
    def triangle(x, k=0):
        if x.axis is not None and x.axis >= x.ndim - 2:
            raise MixesRows("a triangle of a matrix whose axis is the batch")
        return np.where(make(np.ones(x.node.shape[-2:], bool), k), x, 0)

    return triangle


def _diag(x, k=0):
    if x.axis is not None or k:
        raise Untraceable("np.diag of a batch, or off the diagonal")
    n = x.node.shape[0]
    return x * np.eye(n) if x.ndim == 1 else reduced.sum_of(np.where(np.eye(n, dtype=bool), x, 0.0), 1)


def _isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    near = (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b) | np.equal(a, b)
    return near | (np.isnan(a) & np.isnan(b)) if equal_nan else near


def _outer(a, b):
    if any(s.axis is not None for s in (a, b) if isinstance(s, Symbol)):
        unknown("np.outer of batches; write a[:, :, None] * b[:, None, :]")
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


def _rules_of(module, names: str, suffix="", prefix="") -> dict[str, Callable]:
    return {prefix + name: getattr(module, name + suffix) for name in names.split()}


FUNCTIONS: dict[str, Callable] = {
    **_rules_of(reduced, "sum prod max min mean var std any all", suffix="_of"),
    **_rules_of(reduced, "average nanmean nanvar"),
    **_rules_of(ordered, "searchsorted interp quantile nanquantile median nanmedian sort argsort bincount"),
    **_rules_of(ordered, "take_along_axis put_along_axis"),
    **_rules_of(arranged, "concatenate stack hstack split array_split delete take roll flip repeat tile pad diff"),
    **_rules_of(arranged, "expand_dims squeeze moveaxis swapaxes ravel broadcast_to diagonal unwrap trapezoid"),
    **_rules_of(arranged, "cross kron convolve correlate"),
    **_rules_of(linalg, "solve cholesky det slogdet qr lstsq eigh eigvalsh matrix_power", prefix="linalg."),
    **_rules_of(linalg, "expm solve_triangular", prefix="scipy.linalg."),
    "digitize": lambda x, bins, right=False: ordered.searchsorted(bins, x, "left" if right else "right"),
    "amax": reduced.max_of,
    "amin": reduced.min_of,
    "argmax": reduced.place_of(reduced.max_of),
    "argmin": reduced.place_of(reduced.min_of),
    "percentile": lambda x, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False: (
        ordered.quantile(x, np.asarray(q) / 100.0, axis, out, False, method, keepdims)
    ),
    "partition": lambda x, kth, axis=-1: ordered.sort(x, axis),  # a sorted array is a valid result
    "ptp": lambda x, axis=None, keepdims=False: np.max(x, axis, keepdims=keepdims) - np.min(x, axis, keepdims=keepdims),
    "nansum": reduced.of_numbers(reduced.sum_of, 0.0),
    "nanprod": reduced.of_numbers(reduced.prod_of, 1.0),
    "nanmax": reduced.of_numbers(reduced.max_of, -np.inf),
    "nanmin": reduced.of_numbers(reduced.min_of, np.inf),
    "nanstd": lambda x, axis=None, dtype=None, out=None, ddof=0, keepdims=False: np.sqrt(
        reduced.nanvar(x, axis, dtype, out, ddof, keepdims)
    ),
    "nanpercentile": lambda x, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False: (
        ordered.nanquantile(x, np.asarray(q) / 100.0, axis, out, False, method, keepdims)
    ),
    "nancumsum": lambda x, axis=None, dtype=None: reduced.running(np.add, np.where(np.isnan(x), 0.0, x), axis, dtype),
    "nancumprod": lambda x, axis=None, dtype=None: reduced.running(
        np.multiply, np.where(np.isnan(x), 1.0, x), axis, dtype
    ),
    "cumsum": lambda x, axis=None, dtype=None: reduced.running(np.add, x, axis, dtype),
    "cumprod": lambda x, axis=None, dtype=None: reduced.running(np.multiply, x, axis, dtype),
    "linalg.norm": reduced.norm_of,
    "linalg.vector_norm": lambda x, axis=None, keepdims=False, ord=2: reduced.norm_of(x, ord, axis, keepdims),
    "count_nonzero": lambda x, axis=None, keepdims=False: reduced.sum_of(x.astype(bool), axis, keepdims=keepdims),
    "vstack": lambda arrays: arranged.concatenate([a if np.ndim(a) > 1 else a[None] for a in arrays]),
    "column_stack": lambda arrays: arranged.concatenate([a if np.ndim(a) > 1 else a[:, None] for a in arrays], 1),
    "append": lambda x, values, axis=None: arranged.concatenate([x, values], axis),
    "trace": lambda x, offset=0, axis1=0, axis2=1: np.sum(np.diagonal(x, offset, axis1, axis2), -1),
    "polyval": lambda p, x: functools.reduce(lambda total, k: total * x + k, p, 0.0 * x),
    "copyto": lambda x, value: x.__setitem__(..., value),
    "putmask": lambda x, mask, value: x.__setitem__(mask, value),
    "hsplit": lambda x, sections: arranged.split(x, sections, 1),
    "fliplr": lambda x: arranged.flip(x, 1),
    "transpose": lambda x, axes=None: x.transpose(*(() if axes is None else (axes,))),
    "reshape": lambda x, shape=None, order="C", newshape=None, copy=None: x.reshape(
        newshape if shape is None else shape, order=order
    ),
    "copy": lambda x, order="K", subok=False: x.copy(),
    "shape": lambda x: x.shape,
    "ndim": lambda x: x.ndim,
    "size": lambda x, axis=None: x.size if axis is None else x.shape[axis],
    "zeros_like": arranged.filled_like(0.0),
    "ones_like": arranged.filled_like(1.0),
    "full_like": arranged.filled_like(None),
    "empty_like": arranged.filled_like(0.0),
    "where": _where,
    "clip": _clip,
    "select": _select,
    "nan_to_num": _nan_to_num,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "diag": _diag,
    "linalg.inv": linalg.inverse,
    "scipy.linalg.cholesky": lambda a, lower=False, overwrite_a=False, check_finite=True: linalg.cholesky(a, not lower),
    "linalg.trace": lambda x, offset=0: np.sum(np.diagonal(x, offset, -2, -1), -1),
    "linalg.multi_dot": lambda arrays: functools.reduce(matmul, arrays),
    "einsum": einsum,
    "dot": dot,
    "vdot": lambda a, b: dot(np.reshape(a, -1), np.reshape(b, -1)),
    "inner": lambda a, b: tensordot(a, b, (-1, -1)),
    "tensordot": tensordot,
    "real": lambda x: x,
    "imag": lambda x: np.zeros_like(x),
    "round": lambda x, decimals=0: (
        (np.rint(x) if decimals == 0 else np.rint(x * 10.0**decimals) / 10.0**decimals)
        if x.is_float
        else (x.copy() if decimals >= 0 else unknown("np.round of integers to tens"))
    ),
    "iscomplexobj": lambda x: False,
    "isrealobj": lambda x: True,
    "atleast_2d": lambda x: x if x.ndim >= 2 else unknown("np.atleast_2d"),
    "result_type": lambda *a: np.result_type(*(one.dtype if isinstance(one, Symbol) else one for one in a)),
    "isclose": _isclose,
    "outer": _outer,
}
FUNCTIONS |= {
    "around": FUNCTIONS["round"],
    "permute_dims": FUNCTIONS["transpose"],
    "concat": FUNCTIONS["concatenate"],
    "vecdot": lambda a, b: reduced.sum_of(a * b, -1),
}


def _pointwise_rule(name):
    """Return the rule of a pointwise function of NumPy that is no ufunc."""
    signature = inspect.signature(getattr(np, name))
    rule = COMPOSED.get(name) or functools.partial(pointwise, name)
    return lambda *args, **keywords: rule(*signature.bind(*args, **keywords).args)


FUNCTIONS |= {
    name: _pointwise_rule(name)
    for name in (*OPERATIONS, *COMPOSED)
    if name not in FUNCTIONS and hasattr(np, name) and not isinstance(getattr(np, name), np.ufunc)
}
_METHODS = (
    "sum prod max min mean var std any all argmax argmin argsort cumsum cumprod trace diagonal "
    "take repeat searchsorted squeeze swapaxes ravel clip dot round"
)
METHODS: dict[str, Callable] = {name: FUNCTIONS[name] for name in _METHODS.split()} | {
    "flatten": FUNCTIONS["ravel"],
    "conj": lambda x: x,
    "conjugate": lambda x: x,
    "tolist": float,
    "item": float,
    "sort": lambda x, axis=-1: x.__setitem__(..., FUNCTIONS["sort"](x, axis)),
    "fill": lambda x, value: x.__setitem__(..., value),
}


def _method(symbol, name):
    if name not in METHODS:
        return None
    return lambda *args, **keywords: call_rule(name, METHODS[name], (symbol, *args), keywords)


RULES |= {
    "ufunc": call_ufunc,
    "function": call_function,
    "pointwise": pointwise,
    "method": _method,
    "look_up": look_up,
    "lift": lift,
    "broadcast_to": broadcast_to,
}
