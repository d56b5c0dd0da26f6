"""The host's vector registers, and the two numba types that stand for their contents."""

import os

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import codegen, config
from numba.extending import models, register_model

from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.formulas.value import BIT, Value, broadcast

WIDTHS = {"avx512": 64, "avx2": 32, "neon": 16, "generic": 16}
REGISTERS_OF = {"avx512": 32, "avx2": 16, "neon": 32, "generic": 16}


def _find_host():
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    flags = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    present = set(flags.split(","))
    if {"+avx512f", "+avx512vl", "+avx512dq", "+avx512bw"} <= present:
        return "avx512", name
    if {"+avx2", "+fma"} <= present:
        return "avx2", name
    return ("neon" if "+neon" in present else "generic"), name


class _Lanes(dict):
    """Lanes by dtype, and by its name; empty where RNNKIT_VECTOR names nothing known, told at the first look-up."""

    def __missing__(self, dtype):
        if not self:
            raise ValueError(f"RNNKIT_VECTOR is {FEATURE_SET!r}: expected one of {', '.join(WIDTHS)}, or unset")
        raise KeyError(dtype)


_found, _cpu = _find_host()
FEATURE_SET = os.environ.get("RNNKIT_VECTOR") or _found
LANES = _Lanes()
if FEATURE_SET in WIDTHS:
    LANES.update(float32=WIDTHS[FEATURE_SET] // 4, float64=WIDTHS[FEATURE_SET] // 8)
    LANES.update({np.dtype(name): lanes for name, lanes in LANES.items()})
REGISTERS = REGISTERS_OF.get(FEATURE_SET, 16)
FEATURES = f"{FEATURE_SET} {8 * WIDTHS.get(FEATURE_SET, 0)} bits {REGISTERS} registers {_cpu}{' checked' * CHECKED}"

LLVM_FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Vector(types.Type):
    """`lanes` floats of numba type `dtype`; ``<lanes x float>`` in LLVM."""

    def __init__(self, dtype, lanes):
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"vector({dtype} x {lanes})")


class Mask(types.Type):
    """`lanes` bits."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(LLVM_FLOATS[vector.dtype], vector.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, mask):
        super().__init__(manager, mask, ir.VectorType(BIT, mask.lanes))


def vector_of(dtype):
    """The `Vector` of this host for a numba float type."""
    return Vector(dtype, LANES[str(dtype)])


def common(arguments):
    """The Vector or float type in which `arguments` are computed together, None if there is none."""
    vectors = {t for t in arguments if isinstance(t, Vector)}
    if not all(isinstance(t, (Vector, types.Number, types.Boolean)) for t in arguments) or len(vectors) > 1:
        return None
    if vectors:
        return vectors.pop()
    floats = [t for t in arguments if isinstance(t, types.Float) and t in LLVM_FLOATS]
    return max(floats, key=lambda t: t.bitwidth, default=types.float64)


def common_mask(arguments):
    """The Mask or bool in which `arguments` are computed together, None if there is none."""
    masks = {t for t in arguments if isinstance(t, Mask)}
    if not all(isinstance(t, (Mask, types.Boolean)) for t in arguments) or len(masks) > 1:
        return None
    return masks.pop() if masks else types.boolean


def mask_of(kind):
    """The type of a comparison of this kind of value."""
    return Mask(kind.lanes) if isinstance(kind, Vector) else types.boolean


def convert(context, builder, number, given, kind):
    """An argument of type `given` as a `Value` of `kind`."""
    if given == kind:
        return Value(builder, number)
    if isinstance(kind, Mask):
        return Value(builder, broadcast(builder, number, kind.lanes))
    number = context.cast(builder, number, given, kind.dtype if isinstance(kind, Vector) else kind)
    return Value(builder, broadcast(builder, number, kind.lanes) if isinstance(kind, Vector) else number)
