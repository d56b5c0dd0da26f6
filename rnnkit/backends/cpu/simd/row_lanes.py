"""Values whose lanes are rows of the batch, of any number of lanes: one number for one row.

The lanes of `rnnkit.backends.cpu.simd.vector` are those of one register of the host; here a value may take several
registers, whose instructions don't wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

from llvmlite import ir

from rnnkit.backends.cpu.simd import kinds
from rnnkit.backends.cpu.simd.bounds_check import check, check_each
from rnnkit.backends.cpu.simd.intrinsic import Emission, intrinsic, overloaded
from rnnkit.backends.cpu.simd.kinds import BOOL, FLOATS, INT, INT32, VOID, Integer, Vector
from rnnkit.backends.cpu.simd.load_store import gather, lane_numbers, load_unaligned, pointer, store_unaligned
from rnnkit.backends.cpu.simd.registers import LANES, common, common_mask, convert
from rnnkit.backends.formulas.value import Value, call_intrinsic, type_name

JOINED = (2, 4, 8, 16)  # numbers of one row that a value may be made of
_BYTE, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


@cache
def define_lanes(name: str, lanes: int) -> SimpleNamespace:
    """Return functions that read, make and write values of `lanes` rows, in "float32" or "float64", and integers."""
    found = SimpleNamespace(**_of_masks(FLOATS[name], lanes))
    for element, suffix in ((FLOATS[name], ""), (INT32, "_int32"), (INT, "_int64")):
        for word, function in _of_numbers(element, lanes).items():
            setattr(found, word + suffix, function)
    return found


def _of_numbers(element, lanes) -> dict[str, Callable]:
    kind, mask_kind, size = kinds.vector(element, lanes), kinds.mask(lanes), element.size
    # Of one row, a number that doesn't change is one for many steps as well.
    common_kind = kind if lanes > 1 else element

    def made(wanted):
        def make(value):
            if value is not wanted and common(value) is None:
                return None
            return Emission(wanted, (value,), lambda builder, one: convert(builder, one, value, wanted).value)

        return overloaded(make)

    def splat(builder, address):
        """Load the number at `address`, for all rows and steps."""
        return convert(builder, load_unaligned(builder, address, element.llvm, size), element, common_kind).value

    def load(builder, address):
        return load_unaligned(builder, address, kind.llvm, size)

    def store(builder, address, value):
        store_unaligned(builder, address, value, size)

    def places(builder, address, index, stride, of_lane):
        """Return addresses: `stride` bytes for each of the lanes' own indices, and `of_lane` for each lane."""
        if index.element != _I64:
            index = Value(builder, builder.sext(index.value, index.shaped(_I64)))
        first = Value(builder, address) + index * Value(builder, stride)
        return first if lanes == 1 else first + lane_numbers(builder, _I64, lanes) * of_lane

    def look(of_lane):
        def look_up(address, index, stride):
            """Load lane l from `address` + `stride` times its own index."""
            if not (isinstance(index, Vector) and isinstance(index.element, Integer)):
                return None

            def emit(builder, address, index, stride):
                at = places(builder, address, Value(builder, index), stride, of_lane)
                if lanes == 1:
                    return load_unaligned(builder, at.value, element.llvm, size)
                everywhere = Value(builder, mask_kind.llvm(ir.Undefined)).constant(1).value
                return gather(builder, at, everywhere, kind.llvm, size)

            return Emission(kind, (INT, index, INT), emit)

        return overloaded(look_up)

    def put(address, index, stride, value, mask):
        """Write lane l of `value` to `address` + `stride` times its own index, for the lanes in `mask`."""
        if not (isinstance(index, Vector) and isinstance(index.element, Integer)):
            return None

        def emit(builder, address, index, stride, value, mask):
            at = places(builder, address, Value(builder, index), stride, size).value
            if lanes == 1:  # the number in memory, or the value
                old = load_unaligned(builder, at, element.llvm, size)
                store_unaligned(builder, at, builder.select(mask, value, old), size)
                return
            check_each(builder, at, mask, size, write=True)
            pointers = builder.inttoptr(at, ir.VectorType(kind.llvm.element.as_pointer(), lanes))
            scatter = f"llvm.masked.scatter.{type_name(kind.llvm)}.v{lanes}p0"
            call_intrinsic(builder, scatter, ir.VoidType(), [value, pointers, _I32(size), mask])

        return Emission(VOID, (INT, index, INT, kind, mask_kind), emit)

    return {
        "fill": made(kind),
        "number": made(common_kind),
        "splat": intrinsic(common_kind, INT)(splat),
        "load": intrinsic(kind, INT)(load),
        "store": intrinsic(VOID, INT, kind)(store),
        "look_up": look(0),
        "look": look(size),
        "put": overloaded(put),
    }


@cache
def define_joined(name: str, lanes: int) -> tuple[Callable, Callable]:
    """Return what makes a value of several rows of numbers of one row each, and what takes one out again."""
    element = FLOATS[name]
    one, several = kinds.vector(element, 1), kinds.vector(element, lanes)

    @intrinsic(several, *[one] * lanes)
    def join(builder, *numbers):
        value = several.llvm(ir.Undefined)
        for i, number in enumerate(numbers):
            value = builder.insert_element(value, number, _I32(i))
        return value

    @intrinsic(one, several, INT)
    def part(builder, value, i):
        return builder.extract_element(value, i)

    return join, part


def _of_masks(element, lanes) -> dict[str, Callable]:
    kind, mask_kind = kinds.vector(element, lanes), kinds.mask(lanes)
    width = ir.IntType(lanes)

    def mask(value):
        if common_mask(value, mask_kind) is None:
            return None
        return Emission(mask_kind, (value,), lambda builder, bit: convert(builder, bit, value, mask_kind).value)

    def load_mask(builder, address):
        """Load the mask of lanes whose bytes from `address` on aren't 0."""
        check(builder, address, lanes)
        loaded = builder.load(pointer(builder, address, ir.VectorType(_BYTE, lanes) if lanes > 1 else _BYTE))
        loaded.align = 1
        return (Value(builder, loaded) != 0).value

    def some(builder, mask):
        if lanes == 1:
            return mask
        return builder.icmp_unsigned("!=", builder.bitcast(mask, width), width(0))

    def first(numbers, mask):
        """Return the integer in the first of the lanes in `mask`, in any lane if there is none."""

        def emit(builder, numbers, mask):
            bits, never = builder.bitcast(mask, width), ir.IntType(1)(0)
            lane = call_intrinsic(builder, f"llvm.cttz.i{lanes}", width, [bits, never])
            return builder.sext(builder.extract_element(numbers, builder.and_(lane, width(lanes - 1))), _I64)

        return Emission(INT, (numbers, mask_kind), emit)

    def together(numbers, number, mask):
        """Tell whether there are lanes in `mask`, all of which have this integer."""

        def emit(builder, numbers, number, mask):
            others = Value(builder, mask) & (Value(builder, numbers) != Value(builder, number))
            return builder.and_(some(builder, mask), builder.not_(some(builder, others.value)))

        return Emission(BOOL, (numbers, numbers.element, mask_kind), emit)

    def to_lanes(value):
        """Return 1.0 where a condition holds, 0.0 elsewhere."""
        if common_mask(value, mask_kind) is None:
            return None

        def emit(builder, bits):
            return convert(builder, bits, value, mask_kind).to_float(element.llvm).value

        return Emission(kind, (value,), emit)

    return {
        "mask": overloaded(mask),
        "load_mask": intrinsic(mask_kind, INT)(load_mask),
        **dict.fromkeys(("some", "jump", "seldom"), intrinsic(BOOL, mask_kind)(some)),
        "first": overloaded(first),
        "together": overloaded(together),
        "to_lanes": overloaded(to_lanes),
    }


@cache
def define_prefetch(name: str, write: bool) -> Callable:
    """Return the announcement that as many rows as a register has lanes are read, or written, soon."""

    @intrinsic(VOID, INT, INT)
    def prefetch(builder, address, row):
        """Bring the cache line at `address` of each row; `row` is bytes between two rows. Any address will do."""
        for i in range(LANES[name]):
            at = builder.add(address, builder.mul(row, INT.llvm(i)))
            flags = [_I32(int(write)), _I32(3), _I32(1)]  # into the first level, of data
            call_intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer(builder, at, _BYTE), *flags])

    return prefetch


@cache
def define_transpose(name: str) -> Callable:
    """Return the transposition of a square of numbers with as many rows as a register of the host has lanes."""
    element, side = FLOATS[name], LANES[name]
    kind = ir.VectorType(element.llvm, side)

    @intrinsic(VOID, INT, INT, INT, INT)
    def transpose(builder, source, source_row, target, target_row):
        """Write rows at `source` to columns at `target`; `source_row` and `target_row` are bytes between two rows."""

        def place(address, row, i):
            return builder.add(address, builder.mul(row, INT.llvm(i)))

        rows = [load_unaligned(builder, place(source, source_row, i), kind, element.size) for i in range(side)]
        distance = 1
        while distance < side:  # exchange the halves of ever larger blocks
            for i in range(side):
                if not i & distance:
                    a, b = rows[i], rows[i + distance]
                    low = [j if not j & distance else side + j - distance for j in range(side)]
                    high = [j + distance if not j & distance else side + j for j in range(side)]
                    rows[i], rows[i + distance] = (
                        builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, side), places))
                        for places in (low, high)
                    )
            distance *= 2
        for i, row in enumerate(rows):
            store_unaligned(builder, place(target, target_row, i), row, element.size)

    return transpose
