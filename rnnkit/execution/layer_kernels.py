"""Compiled operations besides programs, for layers and optimizers, which know no backend.

It takes the compiler with it, so it is imported where it is used.
"""

from rnnkit.backends.cpu.layer_kernels import New, run_kernel
from rnnkit.backends.cpu.moves import Copies, finite_test

__all__ = ["Copies", "New", "finite_test", "run_kernel"]
