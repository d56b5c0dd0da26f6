"""The host's vector registers, and the kinds in which values are computed together."""

import os

import numpy as np

from rnnkit.backends.cpu.simd import kinds
from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.cpu.simd.kinds import BOOL, FLOAT64, INT, Float, Integer, Kind, Mask, Vector
from rnnkit.backends.formulas.value import Value, broadcast
from rnnkit.backends.shared.processor import FEATURES_PRESENT, NAME

WIDTHS = {"avx512": 64, "avx2": 32, "neon": 16, "generic": 16}
REGISTERS_OF = {"avx512": 32, "avx2": 16, "neon": 32, "generic": 16}


def _find_host() -> str:
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= FEATURES_PRESENT:
        return "avx512"
    if {"avx2", "fma"} <= FEATURES_PRESENT:
        return "avx2"
    return "neon" if "neon" in FEATURES_PRESENT else "generic"


class _Lanes(dict):
    """Lanes by dtype, and by its name; empty where RNNKIT_VECTOR is unknown, which the first look-up reports."""

    def __missing__(self, dtype):
        if not self:
            raise ValueError(f"RNNKIT_VECTOR is {FEATURE_SET!r}: expected one of {', '.join(WIDTHS)}, or unset")
        raise KeyError(dtype)


FEATURE_SET = os.environ.get("RNNKIT_VECTOR") or _find_host()
LANES = _Lanes()
if FEATURE_SET in WIDTHS:
    LANES.update(float32=WIDTHS[FEATURE_SET] // 4, float64=WIDTHS[FEATURE_SET] // 8)
    LANES.update({np.dtype(name): lanes for name, lanes in LANES.items()})
REGISTERS = REGISTERS_OF.get(FEATURE_SET, 16)
FEATURES = f"{FEATURE_SET} {8 * WIDTHS.get(FEATURE_SET, 0)} bits {REGISTERS} registers {NAME}{' checked' * CHECKED}"


def common(*given: Kind) -> Kind | None:
    """Return the Vector or float in which arguments are computed together, None if there is none."""
    vectors = {kind for kind in given if isinstance(kind, Vector)}
    if not all(isinstance(kind, (Vector, Float)) or kind in (INT, BOOL) for kind in given) or len(vectors) > 1:
        return None
    if vectors:
        return vectors.pop()
    return max((kind for kind in given if isinstance(kind, Float)), key=lambda kind: kind.size, default=FLOAT64)


def common_mask(*given: Kind) -> Kind | None:
    """Return the Mask or bool in which arguments are computed together, None if there is none."""
    masks = {kind for kind in given if isinstance(kind, Mask)}
    if not all(isinstance(kind, Mask) or kind is BOOL for kind in given) or len(masks) > 1:
        return None
    return masks.pop() if masks else BOOL


def common_bits(*given: Kind) -> Kind | None:
    """Return the Mask, bool or Vector of integers in which arguments are computed together, None if there is none."""
    integers = any(isinstance(kind, Vector) and isinstance(kind.element, Integer) for kind in given)
    return common(*given) if integers else common_mask(*given)


def mask_of(kind: Kind) -> Kind:
    """Return the kind of a comparison of values of this kind."""
    return kinds.mask(kind.lanes) if isinstance(kind, Vector) else BOOL


def convert(builder, number, given: Kind, kind: Kind) -> Value:
    """Return an LLVM value of the kind `given` as a `Value` of `kind`."""
    if given is kind:
        return Value(builder, number)
    if isinstance(kind, Mask):
        return Value(builder, broadcast(builder, number, kind.lanes))
    if isinstance(kind, Vector):
        return Value(builder, broadcast(builder, kinds.cast(builder, number, given, kind.element), kind.lanes))
    return Value(builder, kinds.cast(builder, number, given, kind))
