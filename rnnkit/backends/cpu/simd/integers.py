"""Vectors of integers, with as many lanes as those of floats: NumPy's integers, which wrap, in int32 or int64.

Where NumPy warns, the result is a processor's: 0 of a division by 0, the least number of a float that no integer is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rnnkit.backends.cpu.simd.intrinsic import Emission, overloaded
from rnnkit.backends.cpu.simd.kinds import FLOAT32, FLOAT64, INT, INT32, Float, Integer, Kind, Vector, vector
from rnnkit.backends.cpu.simd.load_store import define_memory
from rnnkit.backends.cpu.simd.vector import function_of_values
from rnnkit.backends.formulas import value as emitted
from rnnkit.backends.formulas.value import Value, select, where_lanes

for _of in (FLOAT32, FLOAT64):
    for _element in (INT32, INT):
        _first, _load, _full, _splat, _fill, _strided, _table, _, _, _store = define_memory(_element, _of)
        globals().update(
            {
                f"{word}_{_element.name}_{_of.name}": function
                for word, function in {
                    "load": _load, "splat": _splat, "fill": _fill, "load_strided": _strided, "load_table": _table,
                    "store_scalar": _store,
                }.items()
            }
        )  # fmt: skip


def _divided(a, b, operation):
    """``operation`` of two integers with what makes it trap put aside, and where that was: by 0, and by -1."""
    none, turned = b == 0, b == -1
    return Value(a.builder, getattr(a.builder, operation)(a.value, select(none | turned, 1, b).value)), none, turned


@function_of_values(2)
def integer_fmod(a, b):
    rest, none, turned = _divided(a, b, "srem")
    return select(none | turned, 0, rest)


def _remainder(a, b):
    rest, none, turned = _divided(a, b, "srem")
    rest = select((rest != 0) & ((rest ^ b) < 0), rest + b, rest)
    return select(none | turned, 0, rest)


def _floor_divide(a, b):
    quotient, none, turned = _divided(a, b, "sdiv")
    rest = a - quotient * b
    quotient = select((rest != 0) & ((rest ^ b) < 0), quotient - 1, quotient)
    return select(none, 0, select(turned, a.constant(0) - a, quotient))


def _by_floats(a, b):
    """Quotient, rounded down, and rest of vectors, which no processor divides: by float64, one off at most, then exact.

    Numbers that are no float64 are left to `_exactly`.
    """
    number = getattr(b.value, "number", None)
    if number is not None and number > 0:
        return _by_number(a, number)
    double, divisor = ir.DoubleType(), select((b == 0) | (b == -1), 1, b)
    floored = (a.to_float(double) / divisor.to_float(double)).function("floor")
    quotient = a.of(a.builder.fptosi(floored.value, a.type))
    rest = a - quotient * divisor
    low = (rest != 0) & ((rest ^ divisor) < 0)
    quotient, rest = select(low, quotient - 1, quotient), select(low, rest + divisor, rest)
    high = ((divisor > 0) & (rest >= divisor)) | ((divisor < 0) & (rest <= divisor))
    return select(high, quotient + 1, quotient), select(high, rest - divisor, rest)


def _by_number(a, number):
    """The same for a divisor that is known: its inverse, and a rest of which no bit is lost below 2**52."""
    real = a.to_float(ir.DoubleType())
    floored = (real * (1.0 / number)).function("floor")
    rest = (-floored).function("fma", real.constant(number), real)
    low, high = rest < 0.0, rest >= float(number)
    floored = select(low, floored - 1.0, select(high, floored + 1.0, floored))
    rest = select(low, rest + float(number), select(high, rest - float(number), rest))
    return tuple(one.of(one.builder.fptosi(one.value, a.type)) for one in (floored, rest))


def _exactly(compute, found, turned, a, b):
    """What vectors have found, but where numbers are no float64; `turned` for a divisor of -1, and nothing for 0."""
    found = select(b == 0, 0, select(b == -1, turned, found))
    if a.width < 64:
        return found
    large = (a >= 2**52) | (a <= -(2**52)) | (b >= 2**52) | (b <= -(2**52))
    return where_lanes(large, compute, found, a, b)


@function_of_values(2)
def integer_remainder(a, b):
    if a.lanes is None:
        return _remainder(a, b)
    return _exactly(_remainder, _by_floats(a, b)[1], a.constant(0), a, b)


@function_of_values(2)
def integer_floor_divide(a, b):
    if a.lanes is None:
        return _floor_divide(a, b)
    return _exactly(_floor_divide, _by_floats(a, b)[0], a.constant(0) - a, a, b)


@function_of_values(1)
def integer_absolute(x):
    return select(x < 0, x.constant(0) - x, x)


@function_of_values(2)
def left_shift(a, b):
    """0 where b is negative or no number of bits."""
    inside = (b >= 0) & (b < a.width)
    return select(inside, a << select(inside, b, 0), 0)


@function_of_values(2)
def right_shift(a, b):
    """The sign alone where b is negative or no number of bits."""
    return a >> select((b >= 0) & (b < a.width), b, a.width - 1)


def _of_vectors(of: type | tuple[type, ...], result: Callable[[Any], Kind], function):
    """A function of programs of one vector, whose elements are of a kind, or of one such number."""

    def typed(kind: Kind) -> Emission | None:
        if not isinstance(kind.element if isinstance(kind, Vector) else kind, of):
            return None
        gives = result(kind)
        return Emission(gives, (kind,), lambda builder, number: function(Value(builder, number), gives).value)

    typed.__name__ = function.__name__
    return overloaded(typed)


def _of_lanes(element):
    return lambda kind: vector(element, kind.lanes)


def _to_integer(x, gives):
    if not x.is_float:
        return x.of((x.builder.sext if gives.element.size == 8 else x.builder.trunc)(x.value, gives.llvm))
    least = -(2.0 ** (8 * gives.element.size - 1))
    inside = (x < -least) & (x > least)
    found = x.of(x.builder.fptosi(select(inside, x, 0.0).value, gives.llvm))
    return select(inside, found, found.constant(least))


to_int32 = _of_vectors((Float, Integer), _of_lanes(INT32), _to_integer)
to_int64 = _of_vectors((Float, Integer), _of_lanes(INT), _to_integer)
round_float32 = _of_vectors(Float, lambda kind: kind, lambda x, gives: emitted.widened(emitted.narrowed(x)))
for _of in (FLOAT32, FLOAT64):
    globals()[f"from_integer_{_of.name}"] = _of_vectors(
        Integer, _of_lanes(_of), lambda x, gives: x.to_float(gives.element.llvm)
    )


def _wrap(bits: int, signed: bool):
    def wrap(x, gives):
        return (x << (x.width - bits)) >> (x.width - bits) if signed else x & (2**bits - 1)

    return _of_vectors(Integer, lambda kind: kind, wrap)


for _bits in (8, 16, 32):
    globals()[f"wrap_uint{_bits}"] = _wrap(_bits, signed=False)
    if _bits < 32:
        globals()[f"wrap_int{_bits}"] = _wrap(_bits, signed=True)
