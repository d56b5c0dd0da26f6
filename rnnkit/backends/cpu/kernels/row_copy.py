"""Whole rows moved as bytes: held states and outputs under a mask, states kept as a trajectory."""

from llvmlite import ir

from rnnkit.backends.cpu.language.function import compiled, directing
from rnnkit.backends.cpu.simd.atomic import word
from rnnkit.backends.cpu.simd.bounds_check import check
from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import BOOL, INT, VOID
from rnnkit.backends.formulas.value import BIT, call_intrinsic

_BYTE = ir.IntType(8)


@intrinsic(VOID, INT, INT, INT)
def copy_bytes(builder, target, source, count):
    """Copy ``count`` bytes from one address to another that doesn't overlap."""
    check(builder, target, count, write=True)
    check(builder, source, count)
    places = [builder.inttoptr(address, _BYTE.as_pointer()) for address in (target, source)]
    call_intrinsic(builder, "llvm.memcpy.p0.p0.i64", ir.VoidType(), [*places, count, BIT(0)])


@intrinsic(VOID, INT, INT)
def clear_bytes(builder, target, count):
    check(builder, target, count, write=True)
    place = builder.inttoptr(target, _BYTE.as_pointer())
    call_intrinsic(builder, "llvm.memset.p0.i64", ir.VoidType(), [place, _BYTE(0), count, BIT(0)])


@intrinsic(BOOL, INT)
def used(builder, address):
    check(builder, address, 1)
    byte = builder.load(builder.inttoptr(address, _BYTE.as_pointer()))
    return builder.icmp_unsigned("!=", byte, _BYTE(0))


@directing
def take_rows(rows, order, size, source, source_row, target, target_row):
    """Copy ``size`` bytes of every row, the rows of the source in the order at an address, or as they are for 0."""
    for r in range(rows):
        place = r if order == 0 else word(order, r)
        copy_bytes(target + r * target_row, source + place * source_row, size)


@compiled
def put_rows(rows, order, size, source, source_row, target, target_row):
    """Copy ``size`` bytes of every row back to where `take_rows` took it from."""
    for r in range(rows):
        place = r if order == 0 else word(order, r)
        copy_bytes(target + place * target_row, source + r * source_row, size)


@compiled
def used_rows(rows, mask, mask_row):
    """Return twice the number of rows up to the last one that is used, and 1 more if all rows are."""
    count = rows
    while count > 0 and not used(mask + (count - 1) * mask_row):
        count -= 1
    for r in range(count):
        if not used(mask + r * mask_row):
            return 2 * count
    return 2 * count + (count == rows)


@directing
def most_used(rows, mask, mask_row, mask_step, steps):
    """Return the number of rows up to the last one that is used at any of some steps."""
    most = 0
    for t in range(steps):
        r = rows
        while r > most and not used(mask + t * mask_step + (r - 1) * mask_row):
            r -= 1
        most = r
    return most


@compiled
def hold_states(rows, mask, mask_row, now, new, size, row):
    """Copy the old states of masked rows to the new ones, bit for bit."""
    for r in range(rows):
        if not used(mask + r * mask_row):
            copy_bytes(new + r * row, now + r * row, size)


@compiled
def hold_output(rows, mask, mask_row, output, output_row, held, held_row, size):
    """Copy the output of used rows to the held output."""
    for r in range(rows):
        if used(mask + r * mask_row):
            copy_bytes(held + r * held_row, output + r * output_row, size)


@directing
def clear_masked(rows, order, mask, mask_row, size, target, target_row):
    """Set masked rows of the caller's output to zeros."""
    for r in range(rows):
        if not used(mask + r * mask_row):
            place = r if order == 0 else word(order, r)
            clear_bytes(target + place * target_row, size)
