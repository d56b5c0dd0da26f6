"""Every formula as a function of jitted code: on vectors and on numbers, float32 and float64, by NumPy's names.

A vector's lane and a number give the same bits. Nearly all are vectorized; `compiler/ir/operations.py` says of a few
where they go lane by lane.
"""

from rnnkit.backends.cpu.simd.vector import function_of_values
from rnnkit.backends.formulas.table import FORMULAS, arity

globals().update({name: function_of_values(arity(formula))(formula) for name, formula in FORMULAS.items()})
