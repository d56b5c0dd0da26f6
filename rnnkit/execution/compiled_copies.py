"""Compiled operations of recordings besides programs: for layers and optimizers, which know no backend.

It takes the compiler with it, so it is imported where it is used.
"""

from rnnkit.backends.cpu.moves import Copies, finite_test

__all__ = ["Copies", "finite_test"]
