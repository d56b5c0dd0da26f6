"""Complex arrays of a step under trace: pairs of real symbols, so that no graph has complex numbers.

NumPy's functions of complex numbers are written here in real operations, whose derivatives are known.
"""

from __future__ import annotations

import functools
import itertools
import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, first_symbol, lift, power_by_squares, unknown
from rnnkit.compiler.tracing.symbol import RULES, Symbol, is_condition
from rnnkit.complex_pairs import is_complex

_POWERS = 64  # the largest integer exponent of a power that is computed by products


class Complex(np.lib.mixins.NDArrayOperatorsMixin):
    """A complex array of a step under trace: symbols of one shape as its real and imaginary parts."""

    __slots__ = ("_imag", "_real")
    __array_priority__ = 1001

    def __init__(self, real: Symbol, imag: Symbol):
        self._real, self._imag = real, imag
        real.graph.complex = True

    real = property(lambda self: self._real, lambda self, value: self._real.__setitem__(..., value))
    imag = property(lambda self: self._imag, lambda self, value: self._imag.__setitem__(..., value))
    shape = property(lambda self: self.real.shape)
    ndim = property(lambda self: self.real.ndim)
    size = property(lambda self: self.real.size)
    axis = property(lambda self: self.real.axis)
    graph = property(lambda self: self.real.graph)
    dtype = property(lambda self: np.result_type(self.real.of_layer, np.complex64))
    T = property(lambda self: self.transpose())
    __repr__, __format__, __array__, __bool__ = Symbol.__repr__, Symbol.__format__, Symbol.__array__, Symbol.__bool__

    def __float__(self):
        raise TypeError("float() of a complex number; write z.real or np.abs(z)")

    __int__ = __index__ = __float__

    def __complex__(self):
        raise Untraceable("complex() of an array; keep it an array")

    def __array_ufunc__(self, ufunc, method, *args, **keywords):
        return call_ufunc(ufunc, method, args, keywords)

    def __array_function__(self, function, types, args, keywords):
        return call_function(function, args, keywords)

    def __rnnkit_function__(self, name, args):
        raise Untraceable(f"rk.{name} of complex numbers; write its formula")

    def __rnnkit_custom_gradient__(self, function, args, keywords):
        return RULES["custom_gradient"](function, args, keywords)

    def __getattr__(self, name):
        if name in _METHODS:
            return functools.partial(_METHODS[name], self)
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f"{name!r} of complex numbers; write it with z.real and z.imag")

    def mapped(self, function) -> Any:
        """Return the pair of a function's results for each part."""
        return paired(self.real, function(self.real), function(self.imag))

    def astype(self, dtype, *_, **__):
        """Return a copy; complex numbers have no other dtype."""
        if np.dtype(dtype).kind != "c":
            raise Untraceable(f"complex numbers as {np.dtype(dtype)}, which leaves out a part; write z.real or np.abs")
        return self.copy()

    def copy(self, *_, **__):
        return self.mapped(Symbol.copy)

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    def transpose(self, *axes):
        return self.mapped(lambda part: part.transpose(*axes))

    def reshape(self, *shape, **keywords):
        return self.mapped(lambda part: part.reshape(*shape, **keywords))

    def __getitem__(self, key):
        if is_condition(key):
            raise Untraceable("complex elements under a condition; write np.where")
        return self.mapped(lambda part: part[key])

    def __setitem__(self, key, value):
        self.real[key], self.imag[key] = real_part(value), imag_part(value)

    def __len__(self):
        return len(self.real)

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def paired(like: Symbol, real, imag) -> Complex:
    """Return the complex array of two parts, which broadcast."""
    real, imag = lift(like, real), lift(like, imag)
    if real.node.shape != imag.node.shape or real.axis != imag.axis:
        real, imag = real + np.zeros_like(imag), imag + np.zeros_like(real)
    floats = [one if one.is_float else one.astype(float) for one in (real, imag)]
    return Complex(*floats)


def real_part(value) -> Any:
    """Return the real part of a number, an array or a symbol."""
    return value.real if is_complex(value) else value


def imag_part(value) -> Any:
    """Return the imaginary part, 0 of a real number."""
    return value.imag if is_complex(value) else 0.0


def has_complex(values) -> bool:
    """Tell whether complex numbers are among values, and lists of them."""
    return any(
        has_complex(one) if isinstance(one, (list, tuple)) else type(one) is not Symbol and is_complex(one)
        for one in values
    )


def truth_of(z: Complex) -> Any:
    """Return where complex numbers aren't 0."""
    return np.not_equal(z.real, 0) | np.not_equal(z.imag, 0)


# Products


def _times(a, b):
    """Return a product of real operands; None for a plain 0, the other operand for a plain 1."""
    number, other = (a, b) if isinstance(a, numbers.Real) else (b, a)
    if not isinstance(number, numbers.Real) or number not in (0, 1):
        return a * b
    return other if number else None


def _joined(function, a, b):
    """Return a sum or difference of products, where None stands for 0."""
    if a is None or b is None:
        return a if b is None else -b if function is np.subtract else b
    return function(a, b)


def _multiply(a, b):
    if not is_complex(a) or not is_complex(b):
        z, other = (a, b) if is_complex(a) else (b, a)
        real, imag = _times(z.real, other), _times(z.imag, other)
    else:
        real = _joined(np.subtract, _times(a.real, b.real), _times(a.imag, b.imag))
        imag = _joined(np.add, _times(a.real, b.imag), _times(a.imag, b.real))
    return _none_as_zeros(real, (a, b)), _none_as_zeros(imag, (a, b))


def _none_as_zeros(part, operands):
    return np.zeros_like(real_part(next(a for a in operands if find_symbol(a) is not None))) if part is None else part


def _divide(a, b):
    if not is_complex(b):
        return a.real / b, a.imag / b
    if not isinstance(b, Complex):
        return _multiply(a, 1.0 / b)
    # Smith's algorithm, as in NumPy: by the larger part, so that no square is out of range.
    c, d = b.real, b.imag
    by_real = np.abs(c) >= np.abs(d)
    large, small = np.where(by_real, c, d), np.where(by_real, d, c)
    ratio = small / large
    scale = 1.0 / (large + small * ratio)
    p, q = real_part(a), imag_part(a)
    x, y = np.where(by_real, p, q), np.where(by_real, q, p)
    rest = y - x * ratio
    return (x + y * ratio) * scale, np.where(by_real, rest, -rest) * scale


def _multilinear(function: Callable, operands) -> Complex:
    """Return a function of complex operands that is linear in each of them, from its values of their parts."""
    ways = [((0, one.real), (1, one.imag)) if is_complex(one) else ((0, one),) for one in operands]
    sums: list[Any] = [None, None]
    for way in itertools.product(*ways):
        power = sum(k for k, _ in way) % 4
        term, place = function(*(part for _, part in way)), power % 2
        sums[place] = _joined(np.subtract if power > 1 else np.add, sums[place], term)
    return paired(first_symbol(*sums), *sums)


def _matmul(a, b) -> Any:
    """Return a product; by a matrix that all rows share, of both parts side by side, which are fewer products."""
    by_row = [isinstance(one, Complex) and one.real.node.batched for one in (a, b)]
    if by_row != [True, False] or not is_complex(b) or b.ndim > 2:
        return _multilinear(np.matmul, (a, b))
    both: Any = np.reshape(np.stack([a.real, a.imag], -2), (*a.shape[:-1], 2 * a.shape[-1]))
    columns = [np.concatenate([b.real, -b.imag]), np.concatenate([b.imag, b.real])]
    if b.ndim == 1:
        found = both @ np.stack(columns, -1)
        return paired(both, found[..., 0], found[..., 1])
    found = both @ np.concatenate(columns, -1)
    return paired(both, found[..., : b.shape[1]], found[..., b.shape[1] :])


# Functions of one number, in real operations: each gives both parts


def _exp(z):
    size = np.exp(z.real)
    return size * np.cos(z.imag), size * np.sin(z.imag)


def _log(z, base=1.0):
    return np.log(np.hypot(z.real, z.imag)) / base, np.arctan2(z.imag, z.real) / base


def _sqrt(z):
    longer = np.sqrt(0.5 * (np.hypot(z.real, z.imag) + np.abs(z.real)))
    shorter = z.imag / (2.0 * np.where(np.equal(longer, 0), 1.0, longer))
    right = z.real >= 0
    return np.where(right, longer, np.abs(shorter)), np.where(right, shorter, np.copysign(longer, z.imag))


def _tanh(z):
    t, s = np.tanh(z.real), np.tan(z.imag)
    scale = 1.0 / (1.0 + np.square(t * s))
    return t * (1.0 + np.square(s)) * scale, s * (1.0 - np.square(t)) * scale


def _tan(z):
    real, imag = _tanh(paired(z.real, -z.imag, z.real))
    return imag, -real


def _sign(z):
    size = np.abs(z)
    return tuple(part / np.where(np.equal(size, 0), 1.0, size) for part in (z.real, z.imag))


def _power(a, b):
    if isinstance(b, numbers.Real) and (number := float(b)) in (0.5, *range(-_POWERS, _POWERS + 1)):
        if number == 0.5:
            return np.sqrt(a)
        found = power_by_squares(a.copy(), abs(int(number)), np.square) if number else np.ones_like(a)
        return found if number >= 0 else np.divide(1.0, found)
    like = first_symbol(a, b)
    base = a if isinstance(a, Complex) else paired(like, real_part(a), imag_part(a))
    nothing = ~truth_of(base)
    found = np.exp(b * np.log(np.where(nothing, 1.0 + 0j, base)))
    of_nothing = np.where(np.equal(b, 0), 1.0, np.where(np.greater(real_part(b), 0), 0.0, complex(np.nan, np.nan)))
    return np.where(nothing, of_nothing, found)


def _of_truths(name) -> Callable:
    return lambda *values: getattr(np, name)(*(truth_of(z) if is_complex(z) else z for z in values))


_PARTS: dict[str, Callable] = {  # to both parts of the result
    "add": lambda a, b: (real_part(a) + real_part(b), imag_part(a) + imag_part(b)),
    "subtract": lambda a, b: (real_part(a) - real_part(b), imag_part(a) - imag_part(b)),
    "multiply": _multiply,
    "divide": _divide,
    "negative": lambda z: (-z.real, -z.imag),
    "positive": lambda z: (z.real, z.imag),
    "conjugate": lambda z: (z.real, -z.imag),
    "square": lambda z: (np.square(z.real) - np.square(z.imag), 2.0 * (z.real * z.imag)),
    "reciprocal": lambda z: _divide(1.0, z),
    "exp": _exp,
    "exp2": lambda z: _exp(z * math.log(2.0)),
    "log": _log,
    "log2": lambda z: _log(z, math.log(2.0)),
    "log10": lambda z: _log(z, math.log(10.0)),
    "sqrt": _sqrt,
    "sin": lambda z: (np.sin(z.real) * np.cosh(z.imag), np.cos(z.real) * np.sinh(z.imag)),
    "cos": lambda z: (np.cos(z.real) * np.cosh(z.imag), -np.sin(z.real) * np.sinh(z.imag)),
    "tan": _tan,
    "sinh": lambda z: (np.sinh(z.real) * np.cos(z.imag), np.cosh(z.real) * np.sin(z.imag)),
    "cosh": lambda z: (np.cosh(z.real) * np.cos(z.imag), np.sinh(z.real) * np.sin(z.imag)),
    "tanh": _tanh,
    "sign": _sign,
    "rint": lambda z: (np.rint(z.real), np.rint(z.imag)),
}
_WHOLE: dict[str, Any] = {  # to the result itself
    "absolute": lambda z: np.hypot(z.real, z.imag),
    "power": _power,
    "equal": lambda a, b: np.equal(real_part(a), real_part(b)) & np.equal(imag_part(a), imag_part(b)),
    "not_equal": lambda a, b: np.not_equal(real_part(a), real_part(b)) | np.not_equal(imag_part(a), imag_part(b)),
    "isnan": lambda z: np.isnan(z.real) | np.isnan(z.imag),
    "isinf": lambda z: np.isinf(z.real) | np.isinf(z.imag),
    "isfinite": lambda z: np.isfinite(z.real) & np.isfinite(z.imag),
    "matmul": lambda a, b: _matmul(a, b),
    "vecdot": lambda a, b: np.sum(np.conjugate(a) * b, -1),
} | {name: _of_truths(name) for name in ("logical_not", "logical_and", "logical_or", "logical_xor")}
_NAMES = {"true_divide": "divide", "abs": "absolute", "float_power": "power"}
_ORDERED = "less less_equal greater greater_equal maximum minimum fmax fmin".split()
_OF_ORDER = "max min amax amin argmax argmin sort argsort clip median quantile percentile searchsorted partition ptp"


def _no_order(name):
    raise Untraceable(f"np.{name} of complex numbers, which have no order; compare z.real, z.imag or np.abs(z)")


def call_ufunc(ufunc, method, args, keywords):
    """Call a ufunc on complex arrays."""
    name = _NAMES.get(ufunc.__name__, ufunc.__name__)
    if name in _ORDERED:
        return _no_order(name)
    if method in ("reduce", "accumulate") and name in ("add", "multiply"):
        function = {"reduce": (np.sum, np.prod), "accumulate": (np.cumsum, np.cumprod)}[method][name == "multiply"]
        args = args if len(args) > 1 else (*args, keywords.pop("axis", 0))
        return call_function(function, args, {k: v for k, v in keywords.items() if v is not None})
    if method != "__call__" or name not in (*_PARTS, *_WHOLE):
        return unknown(f"np.{ufunc.__name__} of complex numbers")
    out = keywords.pop("out", None)
    if keywords := {k: v for k, v in keywords.items() if v is not True and v is not None}:
        raise Untraceable(f"np.{name} of complex numbers with {', '.join(keywords)}=; write the result to a name")
    like = first_symbol(*args, *(out or ()))
    args = [np.stack(a) if isinstance(a, (list, tuple)) else a for a in args]
    result = paired(like, *_PARTS[name](*args)).copy() if name in _PARTS else _WHOLE[name](*args)
    if out is None:
        return result
    if is_complex(result) and not isinstance(out[0], Complex):
        raise TypeError(
            f"{name} in place gives complex numbers, which are no {out[0].dtype}; write the result to a name"
        )
    if out[0].shape != result.shape:
        raise Untraceable("an assignment that would change an array's shape")
    out[0][...] = result
    return out[0]


# Functions that move numbers or add them up, which apply to each part alone; with the number of their arguments that
# are arrays, or lists of them.
_ALIKE = dict.fromkeys(
    "sum mean cumsum concatenate concat stack hstack vstack column_stack delete diagonal trace linalg.trace split "
    "array_split hsplit take roll flip fliplr repeat tile expand_dims squeeze moveaxis swapaxes transpose "
    "permute_dims reshape ravel broadcast_to copy diff tril triu diag take_along_axis round around".split(),
    1,
) | {"append": 2}


def _alike(function, count, args, keywords):
    found = [
        function(*(_part(a, of, zero) for a in args[:count]), *args[count:], **keywords)
        for of, zero in ((real_part, False), (imag_part, True))
    ]
    if isinstance(found[0], (list, tuple)):
        return [paired(parts[0], *parts) for parts in zip(*found, strict=True)]
    return paired(found[0], *found) if isinstance(found[0], Symbol) else found[0]  # of a sum over rows


def _part(value, of, zero):
    if isinstance(value, (list, tuple)):
        return [_part(one, of, zero) for one in value]
    return np.zeros_like(value) if zero and not is_complex(value) else of(value)


def _where(condition, a, b):
    condition = truth_of(condition) if isinstance(condition, Complex) else condition
    like = first_symbol(condition, a, b)
    parts = (np.where(condition, part(a), part(b)) for part in (real_part, imag_part))
    return paired(like, *(lift(like, one) for one in parts))


def _filled(value):
    def filled(z, fill_value=None, dtype=None, order="K", subok=True):
        fill = value if fill_value is None else fill_value
        z = z.real if is_complex(z) and dtype is not None and np.dtype(dtype).kind != "c" else z
        parts = [np.full_like(real_part(z), part(fill), dtype=None) for part in (real_part, imag_part)]
        is_real = not is_complex(z) and (dtype is None or np.dtype(dtype).kind != "c")
        return parts[0] if is_real else paired(first_symbol(real_part(z), *parts), *parts)

    return filled


def _prod(z, axis=None, dtype=None, out=None, keepdims=False):
    if axis is None and z.ndim != 1:
        raise Untraceable("np.prod of complex numbers without an axis")
    axis = 0 if axis is None else axis
    found = functools.reduce(np.multiply, np.split(z, z.shape[axis], axis))
    return found if keepdims is True else np.squeeze(found, axis)


def _fourier(function):
    """Return a discrete Fourier transform of one axis, as a product with its matrix."""

    def transformed(x, n=None, axis=-1, norm=None):
        length = x.shape[axis]
        if n not in (None, length):
            raise Untraceable(f"np.fft.{function.__name__} of another length than its axis; pad or cut it first")
        turned = np.matmul(np.moveaxis(x, axis, -1), function(np.eye(length), axis=-1, norm=norm))
        return np.moveaxis(turned, -1, axis)

    return transformed


def _to_real_signal(z, n=None, axis=-1, norm=None):
    """Compute ``np.fft.irfft``, as products of both parts with its matrices."""
    length = z.shape[axis]
    n = 2 * (length - 1) if n is None else n
    if n // 2 + 1 != length:
        raise Untraceable("np.fft.irfft of another length than its axis has frequencies; pad or cut it first")
    of_real, of_imag = (np.fft.irfft(unit * np.eye(length), n, norm=norm) for unit in (1.0, 1j))
    found = np.matmul(np.moveaxis(real_part(z), axis, -1), of_real)
    if is_complex(z):
        found = found + np.matmul(np.moveaxis(z.imag, axis, -1), of_imag)
    return np.moveaxis(found, -1, axis)


def _norm(z, ord=None, axis=None, keepdims=False):
    if ord is not None:
        raise Untraceable(f"np.linalg.norm of complex numbers of order {ord}")
    return np.sqrt(np.sum(np.square(z.real) + np.square(z.imag), axis, keepdims=keepdims))


def _product(name) -> Callable:
    return lambda a, b, *more, **named: _multilinear(lambda p, q: getattr(np, name)(p, q, *more, **named), (a, b))


_FUNCTIONS: dict[str, Callable] = {
    "where": _where,
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": _filled(None),
    "empty_like": _filled(0.0),
    "real": real_part,
    "imag": imag_part,
    "angle": lambda z, deg=False: np.arctan2(z.imag, z.real) * (180.0 / np.pi if deg else 1.0),
    "shape": lambda z: z.shape,
    "ndim": lambda z: z.ndim,
    "size": lambda z, axis=None: z.size if axis is None else z.shape[axis],
    "iscomplexobj": is_complex,
    "isrealobj": lambda z: not is_complex(z),
    "result_type": lambda *a: np.result_type(*(getattr(one, "dtype", one) for one in a)),
    "isclose": lambda a, b, rtol=1e-5, atol=1e-8: np.abs(a - b) <= atol + rtol * np.abs(b),
    "any": lambda z, axis=None, out=None, keepdims=False: np.any(truth_of(z), axis, keepdims=keepdims),
    "all": lambda z, axis=None, out=None, keepdims=False: np.all(truth_of(z), axis, keepdims=keepdims),
    "prod": _prod,
    "linalg.norm": _norm,
    "linalg.multi_dot": lambda arrays: functools.reduce(np.matmul, arrays),
    "vecdot": lambda a, b: np.sum(np.conjugate(a) * b, -1),
    "einsum": lambda subscripts, *operands, optimize=False: _multilinear(
        lambda *parts: np.einsum(subscripts, *parts), operands
    ),
    "fft.fft": _fourier(np.fft.fft),
    "fft.ifft": _fourier(np.fft.ifft),
    "fft.rfft": _fourier(np.fft.rfft),
    "fft.irfft": _to_real_signal,
} | {name: _product(name) for name in ("dot", "inner", "outer", "kron", "convolve", "tensordot")}


def call_function(function, args, keywords):
    """Call another function of NumPy on complex arrays, or one with a complex result."""
    place = (function.__module__ or "").partition("numpy.")[2]
    name = f"{place}.{function.__name__}" if place in ("linalg", "fft") else function.__name__
    if name in _OF_ORDER.split():
        return _no_order(name)
    if name in _ALIKE:
        return _alike(function, _ALIKE[name], args, keywords)
    if name not in _FUNCTIONS:
        return unknown(f"np.{name} of complex numbers")
    try:
        return _FUNCTIONS[name](*args, **keywords)
    except TypeError as error:
        if isinstance(error, Untraceable) or "argument" not in str(error):
            raise
        raise Untraceable(f"np.{name} of complex numbers can't be traced with these arguments") from None


def _method(name):
    function = getattr(np, name)
    return lambda z, *args, **keywords: call_function(function, (z, *args), keywords)


_METHODS: dict[str, Callable] = {
    name: _method(name)
    for name in "sum mean prod cumsum trace diagonal take repeat squeeze swapaxes ravel dot any all round".split()
} | {
    "flatten": _method("ravel"),
    "conj": np.conjugate,
    "conjugate": np.conjugate,
    "fill": lambda z, value: z.__setitem__(..., value),
}

RULES |= {
    "complex": paired,
    "has_complex": has_complex,
    "complex_ufunc": call_ufunc,
    "complex_function": call_function,
}
