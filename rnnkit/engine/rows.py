"""Whole rows moved as bytes: held states and outputs under a mask, states kept as a trajectory."""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def copy_bytes(typingctx, target, source, count):
    """Copy ``count`` bytes from one address to another that doesn't overlap."""

    def generate(context, builder, signature, arguments):
        pointer = cgutils.voidptr_t
        target, source = (builder.inttoptr(a, pointer) for a in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def clear_bytes(typingctx, target, count):
    """Set ``count`` bytes at an address to zero."""

    def generate(context, builder, signature, arguments):
        target = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        cgutils.memset(builder, target, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def used(typingctx, address):
    """Whether the byte at an address isn't zero."""

    def generate(context, builder, signature, arguments):
        byte = builder.load(builder.inttoptr(arguments[0], cgutils.voidptr_t))
        return builder.icmp_unsigned("!=", byte, ir.IntType(8)(0))

    return types.boolean(types.int64), generate


@njit(nogil=True, error_model="numpy")
def copy_rows(rows, size, source, source_row, target, target_row):
    """Copy ``size`` bytes of every row."""
    for r in range(rows):
        copy_bytes(target + r * target_row, source + r * source_row, size)


@njit(nogil=True, error_model="numpy")
def hold_states(rows, mask, mask_row, now, new, size, row):
    """In masked rows the new state is the old one, bit for bit."""
    for r in range(rows):
        if not used(mask + r * mask_row):
            copy_bytes(new + r * row, now + r * row, size)


@njit(nogil=True, error_model="numpy")
def hold_output(rows, mask, mask_row, output, output_row, held, held_row, size, zero_masked):
    """Used rows are remembered in ``held``; masked ones put out what is held, or zeros."""
    for r in range(rows):
        if used(mask + r * mask_row):
            copy_bytes(held + r * held_row, output + r * output_row, size)
        elif zero_masked:
            clear_bytes(output + r * output_row, size)
        else:
            copy_bytes(output + r * output_row, held + r * held_row, size)
