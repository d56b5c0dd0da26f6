"""The words of a kernel on a GPU: the operations of a graph, on numbers of one thread, and its memory.

Each is an intrinsic of numba's CUDA target. The operations are the CPU's formulas, with a result of the widest float
type among their operands, or of integers alone that of the widest of these, int32 or int64.
"""

import operator

from llvmlite import ir
from numba.cuda import types
from numba.cuda.extending import intrinsic
from numba.cuda.typing import signature

from rnnkit.backends.cuda.device.loads import *  # noqa: F403
from rnnkit.backends.cuda.device.value import DeviceValue
from rnnkit.backends.formulas import integers, value
from rnnkit.backends.formulas.numba_target import NumbaTarget, itself
from rnnkit.backends.formulas.table import FORMULAS, arity


def only_bools(arguments):
    return types.boolean if all(isinstance(t, types.Boolean) for t in arguments) else None


def only_integers(arguments):
    if not all(isinstance(t, types.Integer) for t in arguments):
        return None
    return types.int32 if all(t.bitwidth <= 32 for t in arguments) else types.int64


def only_numbers(arguments):
    return only_integers(arguments) or CUDA.common(arguments)


def to_boolean(kind):
    return types.boolean


CUDA = NumbaTarget(intrinsic, signature, types, DeviceValue)


def _word(arity, function, common=None, result=itself):
    return CUDA.function(arity, common, result)(function)


def _of_numbers(arity, function):
    return _word(arity, function, only_numbers)


def _of_integers(arity, function):
    return _word(arity, function, only_integers)


def _compare(function):
    return _word(2, function, only_numbers, to_boolean)


def _logical(arity, function):
    return _word(arity, function, only_bools)


# The operators of a `Value`.
add, subtract, multiply = (_of_numbers(2, function) for function in (operator.add, operator.sub, operator.mul))
divide, negative = _word(2, operator.truediv), _of_numbers(1, operator.neg)
greater, greater_equal, less, less_equal = map(_compare, (operator.gt, operator.ge, operator.lt, operator.le))
equal, not_equal = _compare(operator.eq), _compare(operator.ne)
logical_and, logical_or, logical_xor = (_logical(2, one) for one in (operator.and_, operator.or_, operator.xor))
logical_not = _logical(1, operator.invert)
# The formulas; these take integers, too.
globals().update({name: _word(arity(formula), formula) for name, formula in FORMULAS.items()})
maximum, minimum = _of_numbers(2, value.maximum), _of_numbers(2, value.minimum)
sign, square = _of_numbers(1, value.sign), _of_numbers(1, value.square)
fma = _word(3, value.fma)
# Functions of integers alone.
integer_absolute = _of_integers(1, integers.absolute)
integer_floor_divide = _of_integers(2, integers.floor_divide)
integer_remainder = _of_integers(2, integers.remainder)
integer_fmod = _of_integers(2, integers.fmod)
bitwise_and, bitwise_or, bitwise_xor = (_of_integers(2, one) for one in (operator.and_, operator.or_, operator.xor))
invert = _of_integers(1, operator.invert)
left_shift, right_shift = _of_integers(2, integers.left_shift), _of_integers(2, integers.right_shift)
# Numbers of one kind as those of another.
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
to_int32 = _word(1, lambda x: integers.to_integer(x, _INT32), only_numbers, lambda kind: types.int32)
to_int64 = _word(1, lambda x: integers.to_integer(x, _INT64), only_numbers, lambda kind: types.int64)
from_integer_float32 = _word(1, lambda x: x.to_float(ir.FloatType()), only_integers, lambda kind: types.float32)
from_integer_float64 = _word(1, lambda x: x.to_float(ir.DoubleType()), only_integers, lambda kind: types.float64)
round_float32 = _word(1, integers.round_float32)


def _wrap(bits: int, signed: bool):
    return _of_integers(1, lambda x: integers.wrap(x, bits, signed))


wrap_int8, wrap_int16 = _wrap(8, True), _wrap(16, True)
wrap_uint8, wrap_uint16, wrap_uint32 = (_wrap(bits, False) for bits in (8, 16, 32))
# Conditions and numbers.
to_bool = _word(1, lambda x: x != 0, result=to_boolean)
to_float_float32 = _word(1, lambda c: c.to_float(ir.FloatType()), only_bools, lambda kind: types.float32)
to_float_float64 = _word(1, lambda c: c.to_float(ir.DoubleType()), only_bools, lambda kind: types.float64)


@intrinsic
def where(typingctx, condition, a, b):
    """Return `a` where `condition` holds, `b` elsewhere: of two numbers or of two bools."""
    kind = only_bools((a, b)) or only_numbers((a, b))
    if only_bools((condition,)) is None or kind is None:
        return None

    def generate(context, builder, sig, numbers):
        values = (CUDA.convert(context, builder, n, t, kind) for n, t in zip(numbers[1:], (a, b), strict=True))
        return value.select(DeviceValue(builder, numbers[0]), *values).value

    return signature(kind, condition, a, b), generate


__all__ = [name for name, thing in globals().items() if isinstance(thing, type(where))]
