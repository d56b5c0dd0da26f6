"""The formulas as functions of one number in code that numba compiles for the CPU: the bits that programs have."""

from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from rnnkit.backends.formulas import value
from rnnkit.backends.formulas.numba_target import NumbaTarget
from rnnkit.backends.formulas.table import FORMULAS, arity

_CPU = NumbaTarget(intrinsic, signature, types)
FUNCTIONS = {name: _CPU.function(arity(formula))(formula) for name, formula in FORMULAS.items()}
fma = _CPU.function(3)(value.fma)
