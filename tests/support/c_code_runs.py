"""Exported C compiled into one shared library, and driven with arrays as a layer is called."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cells_under_test import CELLS
from paper_cells import PAPER_CELLS

import rnnkit as rk

COMPILER = next((found for found in map(shutil.which, ("gcc", "cc", "clang")) if found), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler: none of gcc, cc and clang is installed")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
NATIVE = ("-march=native",)
UNITS, FEATURES, STEPS = 17, 5, 10_000


def compiled(arguments, folder, compiler=COMPILER) -> None:
    """Run the compiler; what it complains of is the failure."""
    done = subprocess.run([compiler, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


class Library:
    """Layers written to a folder and compiled together.

    Parameters
    ----------
    layers : dict of str to layer, or to a tuple of layer and keywords of `rk.export_c`
        By the name of each in C.
    folder : Path
    flags : tuple of str
        For the compiler.
    compiler : str
    """

    def __init__(self, layers, folder, flags=("-O1", *NATIVE), compiler=COMPILER):
        self.folder, self.exported = Path(folder), {}
        for name, one in layers.items():
            layer, keywords = one if isinstance(one, tuple) else (one, {})
            self.exported[name] = rk.export_c(layer, self.folder, name, **keywords)
        sizes = [f'#include "{name}.h"\nsize_t {name}_size(void);' for name in layers]
        sizes += [f"size_t {name}_size(void) {{ return sizeof({name}_state); }}" for name in layers]
        weights = [f'#include "{name}_weights.c"' for name in layers]
        (self.folder / "sizes_and_weights.c").write_text("\n".join([*sizes, *weights, ""]))
        sources = ["sizes_and_weights.c", *(f"{name}.c" for name in layers)]
        compiled([*STRICT, *flags, "-shared", "-fPIC", "-o", "all.so", *sources, "-lm"], self.folder, compiler)
        self.library = ctypes.CDLL(str(self.folder / "all.so"))

    def sequence(self, name, dtype, outputs, constants=()):
        """A sequence of its own; `outputs` are ``(shape, in_time)`` of each output."""
        return Sequence(self.library, name, np.dtype(dtype), outputs, constants)


class Sequence:
    def __init__(self, library, name, dtype, outputs, constants=()):
        size = getattr(library, f"{name}_size")
        size.restype = ctypes.c_size_t
        self.functions = {f: getattr(library, f"{name}_{f}") for f in ("reset", "step", "skip", "run")}
        self.size, self.dtype, self.outputs = size(), dtype, outputs
        self.state = ctypes.create_string_buffer(b"\xff" * self.size, self.size)
        self.constants = [np.ascontiguousarray(c, dtype) for c in constants]
        self.reset()

    def reset(self):
        self.functions["reset"](self.state, *map(address, self.constants))

    def _inputs(self, arrays):
        return [np.ascontiguousarray(a, np.int32 if a.dtype.kind in "iu" else self.dtype) for a in arrays]

    def run(self, *inputs):
        steps, inputs = len(inputs[0]), self._inputs(inputs)
        found = [np.zeros((steps, *shape) if in_time else shape, self.dtype) for shape, in_time in self.outputs]
        self.functions["run"](self.state, *map(address, inputs), ctypes.c_size_t(steps), *map(address, found))
        return found[0] if len(found) == 1 else found

    def step(self, *inputs):
        found = [np.zeros(shape, self.dtype) for shape, _ in self.outputs]
        self.functions["step"](self.state, *map(address, self._inputs(inputs)), *map(address, found))
        return found[0] if len(found) == 1 else found

    def skip(self):
        found = [np.zeros(shape, self.dtype) for shape, _ in self.outputs]
        self.functions["skip"](self.state, *map(address, found))
        return found[0] if len(found) == 1 else found


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


class Cell:
    """A cell under test, of this project's lists or of papers, as a layer for C."""

    def __init__(self, name, make, features, constants, how, steady):
        self.name, self.make, self.features, self.constants = name, make, features, constants
        self.how, self.steady = how, steady

    def __str__(self):
        return self.name

    def layer(self, dtype, **keywords):
        layer = rk.RNN(self.make(), return_sequences=True, dtype=dtype, seed=0, **keywords)
        layer.build((None, None, *self.features))
        return layer

    def inputs(self, steps, dtype, seed=0):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((1, steps, *self.features)).astype(dtype)
        return x, [rng.standard_normal((1, *shape)).astype(dtype) for shape in self.constants]


IN_C = {c.name: Cell(c.name, lambda c=c: c.make(UNITS), (FEATURES,), c.constants, c.how, c.steady) for c in CELLS} | {
    f"paper_{c.name}": Cell(f"paper_{c.name}", c.make, c.features, c.constants, c.how, c.contracting)
    for c in PAPER_CELLS
}


@cache
def refused_by_c(name) -> str:
    """Of a cell in `IN_C`: why it can't be written in C; nothing if it can."""
    cell = IN_C[name]
    _, constants = cell.inputs(1, "float32")
    with tempfile.TemporaryDirectory() as folder, rk.eager():  # which compiles nothing for rnnkit itself
        try:
            rk.export_c(cell.layer("float32"), folder, constants=constants or None)
        except ValueError as error:
            return str(error)
    return ""


def exported_to_c(name, steps=100) -> str:
    """Of a cell in `IN_C`: "equal" where C puts out in float64 what rnnkit does, or why it doesn't."""
    if COMPILER is None:
        return "not compiled: there is no C compiler"
    if reason := refused_by_c(name):
        return reason
    cell = IN_C[name]
    x, constants = cell.inputs(steps, "float64")
    with tempfile.TemporaryDirectory() as folder, rk.eager(), np.errstate(all="ignore"):
        layer = cell.layer("float64")
        want = layer(x, constants=constants or None)[0]
        library = Library({"cell": (layer, {"constants": constants or None})}, folder)
        sequence = library.sequence("cell", "float64", [(want.shape[1:], True)], [c[0] for c in constants])
        off = np.abs(sequence.run(x[0]) - want).max() / max(np.abs(want).max(), 1e-300)
    return "equal" if off <= 1e-9 else f"off by {off:.1g} of the largest output"
