"""Kernels of single layers: for layers that no step describes, which know no backend.

It takes the compiler with it, so it is imported where it is used.
"""

from rnnkit.backends.cpu.layer_kernels import run_kernel

__all__ = ["run_kernel"]
