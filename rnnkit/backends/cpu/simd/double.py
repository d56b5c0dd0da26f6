"""Vectors of float64 from, and to, floats of either size in memory: for sums that are to lose nothing."""

from llvmlite import ir

from rnnkit.backends.cpu.simd.bounds_check import check_lanes
from rnnkit.backends.cpu.simd.intrinsic import intrinsic
from rnnkit.backends.cpu.simd.kinds import FLOAT32, FLOAT64, INT, VOID, Float, mask, vector
from rnnkit.backends.cpu.simd.load_store import masked_load, pointer
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.formulas.value import call_intrinsic, type_name

_KIND = vector(FLOAT64, LANES.get("float64", 1))
_MASK = mask(_KIND.lanes)


def _define_conversions(element: Float):
    own = ir.VectorType(element.llvm, _KIND.lanes)

    def load_double(builder, address, lanes):
        """Load the numbers at `address` as float64; lanes not in `lanes` are 0 and their memory is not touched."""
        found = masked_load(builder, address, own, lanes, element.size)
        return found if own == _KIND.llvm else builder.fpext(found, _KIND.llvm)

    def store_double(builder, address, numbers, lanes):
        """Write the lanes of `numbers` that are in `lanes` at `address`, rounded; no other memory is touched."""
        rounded = numbers if own == _KIND.llvm else builder.fptrunc(numbers, own)
        check_lanes(builder, address, lanes, element.size, write=True)
        arguments = [rounded, pointer(builder, address, own), ir.IntType(32)(element.size), lanes]
        call_intrinsic(builder, f"llvm.masked.store.{type_name(own)}.p0", ir.VoidType(), arguments)

    return intrinsic(_KIND, INT, _MASK)(load_double), intrinsic(VOID, INT, _KIND, _MASK)(store_double)


load_double_float32, store_double_float32 = _define_conversions(FLOAT32)
load_double_float64, store_double_float64 = _define_conversions(FLOAT64)
