"""Programs of the language as tests call them: with arrays, numbers, and code at hand."""

from functools import cache

import numpy as np

from rnnkit.backends.cpu.language import programs

HEAD = """
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.atomic import *
from rnnkit.backends.cpu.simd.functions import *
from rnnkit.backends.cpu.simd.vector import *

@compiled
"""


@cache
def program(body: str, arguments: int):
    """``run(…)`` of a text that begins with its ``def``; arrays are given as their addresses."""
    run = programs.load(HEAD + body.lstrip(), arguments).function

    def call(*given):
        return run(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in given))

    return call


@cache
def kernel(module: str, factory: str, dtype: str, arguments: int):
    """The kernel that a factory makes, compiled by itself."""
    text = f"from rnnkit.backends.cpu.kernels.{module} import {factory}\n\nrun = {factory}({dtype!r})\n"
    return programs.load(text, arguments).function
