"""The words of a kernel on a GPU: the operations of a graph, on numbers of one thread, and its memory.

Each is an intrinsic of numba's CUDA target. The operations are the CPU's formulas, with a result of the widest float
type among their operands.
"""

import operator

from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic
from numba.cuda.typing import signature

from rnnkit.backends.cuda.device.loads import (  # noqa: F401
    arrive,
    byte,
    fixed_float32,
    fixed_float64,
    fixed_wide_float32,
    fixed_wide_float64,
    load_float32,
    load_float64,
    load_wide_float32,
    load_wide_float64,
    seen,
    shared_load_float32,
    shared_load_float64,
    shared_load_wide_float32,
    shared_load_wide_float64,
    shared_start,
    shared_store_float32,
    shared_store_float64,
    shared_store_wide_float32,
    shared_store_wide_float64,
    store_float32,
    store_float64,
    store_wide_float32,
    store_wide_float64,
    word,
)
from rnnkit.backends.cuda.device.value import DeviceValue
from rnnkit.backends.formulas import value
from rnnkit.backends.formulas.numba_target import NumbaTarget, itself
from rnnkit.backends.formulas.table import FORMULAS, arity


def only_bools(arguments):
    return types.boolean if all(isinstance(t, types.Boolean) for t in arguments) else None


def to_boolean(kind):
    return types.boolean


CUDA = NumbaTarget(intrinsic, signature, types, DeviceValue)


def _word(arity, function, common=None, result=itself):
    """A function of `arity` Values as a word."""
    return CUDA.function(arity, common, result)(function)


def _compare(function):
    return _word(2, function, result=to_boolean)


def _logical(arity, function):
    return _word(arity, function, only_bools)


# What the operators of a `Value` are.
add = _word(2, operator.add)
subtract = _word(2, operator.sub)
multiply = _word(2, operator.mul)
divide = _word(2, operator.truediv)
negative = _word(1, operator.neg)
greater = _compare(operator.gt)
greater_equal = _compare(operator.ge)
less = _compare(operator.lt)
less_equal = _compare(operator.le)
equal = _compare(operator.eq)
not_equal = _compare(operator.ne)
logical_and = _logical(2, operator.and_)
logical_or = _logical(2, operator.or_)
logical_xor = _logical(2, operator.xor)
logical_not = _logical(1, operator.invert)
# What the formulas are.
globals().update({name: _word(arity(formula), formula) for name, formula in FORMULAS.items()})
fma = _word(3, value.fma)
# Conditions and numbers.
to_bool = _word(1, lambda x: x != 0, result=to_boolean)
to_float_float32 = _word(1, lambda c: c.to_float(ir.FloatType()), only_bools, lambda kind: types.float32)
to_float_float64 = _word(1, lambda c: c.to_float(ir.DoubleType()), only_bools, lambda kind: types.float64)


@intrinsic
def where(typingctx, condition, a, b):
    """`a` where `condition` holds, `b` elsewhere: of two floats or of two bools."""
    kind = only_bools((a, b)) or CUDA.common((a, b))
    if only_bools((condition,)) is None or kind is None:
        return None

    def generate(context, builder, sig, numbers):
        values = (CUDA.convert(context, builder, n, t, kind) for n, t in zip(numbers[1:], (a, b), strict=True))
        return value.select(DeviceValue(builder, numbers[0]), *values).value

    return signature(kind, condition, a, b), generate


__all__ = [name for name, thing in globals().items() if isinstance(thing, type(where))]
