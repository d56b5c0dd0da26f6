"""Vectors of integers, with as many lanes as those of floats: NumPy's integers, which wrap, in int32 or int64.

Where NumPy warns, the result is a processor's: 0 for a division by 0, the least integer for a float out of range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rnnkit.backends.cpu.simd.intrinsic import Emission, overloaded
from rnnkit.backends.cpu.simd.kinds import FLOAT32, FLOAT64, INT, INT32, Float, Integer, Kind, Vector, vector
from rnnkit.backends.cpu.simd.load_store import define_memory
from rnnkit.backends.cpu.simd.vector import function_of_values
from rnnkit.backends.formulas import integers
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


def _by_floats(a, b):
    """Return the quotient, rounded down, and the remainder of vectors: by float64, off by one at most, then corrected.

    Processors have no such division. Numbers that float64 doesn't represent are left to `_exactly`.
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
    """As `_by_floats`, for a known divisor: by its inverse, and by a remainder that is exact below 2**52."""
    real = a.to_float(ir.DoubleType())
    floored = (real * (1.0 / number)).function("floor")
    rest = (-floored).function("fma", real.constant(number), real)
    low, high = rest < 0.0, rest >= float(number)
    floored = select(low, floored - 1.0, select(high, floored + 1.0, floored))
    rest = select(low, rest + float(number), select(high, rest - float(number), rest))
    return tuple(one.of(one.builder.fptosi(one.value, a.type)) for one in (floored, rest))


def _exactly(compute, found, turned, a, b):
    """Return `found`, computed exactly in lanes beyond float64's integers; `turned` for divisor -1, and 0 for 0."""
    found = select(b == 0, 0, select(b == -1, turned, found))
    if a.width < 64:
        return found
    large = (a >= 2**52) | (a <= -(2**52)) | (b >= 2**52) | (b <= -(2**52))
    return where_lanes(large, compute, found, a, b)


@function_of_values(2)
def integer_remainder(a, b):
    if a.lanes is None:
        return integers.remainder(a, b)
    return _exactly(integers.remainder, _by_floats(a, b)[1], a.constant(0), a, b)


@function_of_values(2)
def integer_floor_divide(a, b):
    if a.lanes is None:
        return integers.floor_divide(a, b)
    return _exactly(integers.floor_divide, _by_floats(a, b)[0], a.constant(0) - a, a, b)


@function_of_values(2)
def integer_fmod(a, b):
    return integers.fmod(a, b)


@function_of_values(1)
def integer_absolute(x):
    return integers.absolute(x)


left_shift, right_shift = function_of_values(2)(integers.left_shift), function_of_values(2)(integers.right_shift)


def _of_vectors(of: type | tuple[type, ...], result: Callable[[Any], Kind], function):
    """Return a function of programs of one vector with elements of a kind, or of one such number."""

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
    return integers.to_integer(x, gives.llvm)


to_int32 = _of_vectors((Float, Integer), _of_lanes(INT32), _to_integer)
to_int64 = _of_vectors((Float, Integer), _of_lanes(INT), _to_integer)
round_float32 = _of_vectors(Float, lambda kind: kind, lambda x, gives: integers.round_float32(x))
for _of in (FLOAT32, FLOAT64):
    _from_integer = _of_vectors(Integer, _of_lanes(_of), lambda x, gives: x.to_float(gives.element.llvm))
    globals()[f"from_integer_{_of.name}"] = _from_integer


def _wrap(bits: int, signed: bool):
    return _of_vectors(Integer, lambda kind: kind, lambda x, gives: integers.wrap(x, bits, signed))


for _bits in (8, 16, 32):
    globals()[f"wrap_uint{_bits}"] = _wrap(_bits, signed=False)
    if _bits < 32:
        globals()[f"wrap_int{_bits}"] = _wrap(_bits, signed=True)
