"""The gradient of a call on a GPU: forward kernels keep residuals for the adjoint's, which run from the last step back.

Everything stays on the GPU but the finished sums, from which the weights' gradients are made on the host.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.backends.cuda.codegen.section import line
from rnnkit.backends.cuda.memory.array import DeviceArray, copy, download, empty, upload, zeros
from rnnkit.backends.cuda.runtime.program import CudaProgram
from rnnkit.backends.cuda.runtime.weight_sums import CudaSums
from rnnkit.backends.shared.call import Gradient, Record, Result
from rnnkit.backends.shared.segments import segments
from rnnkit.compiler.ir.plan import state_of, written

if TYPE_CHECKING:
    from rnnkit.compiler.autodiff.adjoint import Sum

_CHUNK_BYTES = 1 << 28  # of the adjoint's operands for the sums of a chunk of steps

_SHOWN = '''"""Cotangents of what masked steps show, in {dtype}, brought to the used steps whose outputs they are."""

import numpy as np
from numba import cuda

from rnnkit.backends.cuda.device.words import *


@cuda.jit
def run(table):
    rows, steps, size = word(table, 0), word(table, 1), word(table, 2)
    given, given_row, given_step, last, last_row = (
        word(table, 3), word(table, 4), word(table, 5), word(table, 6), word(table, 7)
    )
    mask, mask_row, mask_step, zero_masked = word(table, 8), word(table, 9), word(table, 10), word(table, 11)
    whole, whole_row, whole_step = word(table, 12), word(table, 13), word(table, 14)
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < rows * size:
        r, j = i // size, i % size * {item}
        below = np.{dtype}(0)
        if last != 0:
            below = fixed_{dtype}(last + r * last_row + j)
        for back in range(steps):
            t = steps - 1 - back
            value = np.{dtype}(0)
            if given != 0:
                value = fixed_{dtype}(given + r * given_row + t * given_step + j)
            used = True
            if mask != 0:
                used = byte(mask + r * mask_row + t * mask_step)
            if used:
                value = add(value, below)
                below = np.{dtype}(0)
            else:
                if zero_masked == 0:
                    below = add(value, below)
                value = np.{dtype}(0)
            store_{dtype}(whole + r * whole_row + t * whole_step + j, value)
'''
_COPY = '''"""Rows of numbers in {dtype}, copied."""

from numba import cuda

from rnnkit.backends.cuda.device.words import *


@cuda.jit
def run(table):
    rows, size, source, source_row, target, target_row = (
        word(table, 0), word(table, 1), word(table, 2), word(table, 3), word(table, 4), word(table, 5)
    )
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < rows * size:
        r, j = i // size, i % size * {item}
        store_{dtype}(target + r * target_row + j, load_{dtype}(source + r * source_row + j))
'''


@dataclass(eq=False)
class CudaBackward:
    """Gradients of one step over records, see `rnnkit.backends.cpu.gradient.Backward`."""

    plain: CudaProgram
    forward: CudaProgram
    adjoint: CudaProgram
    residuals: dict[tuple, int]
    operands: dict[tuple, int]
    sums: list[Sum]
    finish: Callable[[dict[str, np.ndarray], list[np.ndarray]], dict[str, np.ndarray]]
    programs = 2  # besides the step's own

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        run = _Run(self, record, checkpoint, truncate)
        return replace(run.result(), pull=run.pull)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return the computation in words; or both programs' graphs and plans, the kernels that ran, or all of them."""
        if source or graph:
            return "\n\n".join(program.explain(source, graph) for program in (self.forward, self.adjoint))
        words = "\n".join(f"  {line}" for line in self.adjoint.explain().splitlines()[1:])
        return f"gradient: one rule per operation of the graph\nthe adjoint, from the last step to the first:\n{words}"

    def row_bytes(self) -> int:
        return sum(line(size, self.plain.dtype.itemsize) for size in self.residuals.values())


class _Run:
    def __init__(self, backward: CudaBackward, record: Record, checkpoint, truncate):
        self.backward, self.reverse, self.truncate = backward, record.reverse, truncate
        self.stream, self.dtype = record.stream, backward.plain.dtype
        self.on_gpu = isinstance(record.x, DeviceArray)
        self.record = self._on_gpu(record)
        self.rows, self.steps = record.x.shape[:2]
        self.segments = segments(self.steps, self.rows * backward.row_bytes(), checkpoint)
        self.starts: dict[int, tuple] = {}  # the states before the first step of each
        self.residuals = None

    def _given(self, array, dtype=None) -> DeviceArray:
        """Return an array of the call on the GPU, in memory that nobody else writes."""
        if isinstance(array, DeviceArray):
            return copy(array, self.stream)
        return upload(np.ascontiguousarray(array, dtype or self.dtype), self.stream)

    def _on_gpu(self, record) -> Record:
        """Return the record in processing order, with everything on the GPU."""
        x: Any = self._given(record.x)
        mask: Any = None if record.mask is None else self._given(record.mask, np.bool_)
        states, constants = (tuple(map(self._given, some)) for some in (record.states, record.constants))
        draws = {name: self._given(draw) for name, draw in record.draws.items()}
        moved = replace(record, x=x, mask=mask, states=states, constants=constants, draws=draws, place=None)
        return moved.in_order()

    def result(self) -> Result:
        if len(self.segments) <= 1:
            result, self.residuals = self._keep(self.record)
        else:
            result = self._in_segments()
        if self.on_gpu:
            return result
        outputs = None if result.outputs is None else download(result.outputs, self.stream)
        states = tuple(download(state, self.stream) for state in result.states)
        return Result(outputs, download(result.last, self.stream), states)

    def _keep(self, record):
        """Return results of some steps, and the residuals that the adjoint reads."""
        steps, residuals, places = record.x.shape[1], {}, {}
        for name, size in self.backward.residuals.items():
            state = state_of(name)
            if state is not None:
                states = self._sequence(steps + 1, size)
                if not self.backward.forward.keeps_start:
                    self._copy_rows(record.states[state], states[:, 0], size)
                residuals["state", state], residuals[name] = states[:, :-1], states[:, 1:]
            else:
                residuals[name] = self._sequence(steps, size)
            places[written(name)] = residuals[name]
        return self.backward.forward.run(replace(record, placed=places | residuals)), residuals

    def _sequence(self, steps, size) -> DeviceArray:
        return self.backward.forward.sequence(self.rows, steps, size, self.stream)

    def _in_segments(self) -> Result:
        """Return the results; the only residuals kept are the states at the cuts."""
        record, plain = self.record, self.backward.plain
        shape = plain.plan.output_shape
        outputs: Any = None  # a `DeviceArray`, as the other arrays of records and results are here
        if record.sequences:
            outputs = empty((self.rows, self.steps, *shape), self.dtype, self.stream)
        states = record.states
        last: Any = zeros((self.rows, *shape), self.dtype, self.stream)
        for start, after in self.segments:
            self.starts[start] = states
            part = replace(record, place=outputs).part(start, after, states)
            result = plain.run(part, held=last)
            states, last = result.states, result.last
        return Result(outputs, last, states)

    def _residuals(self, start, after) -> dict:
        """Return the residuals of some steps, computed again where they were not saved."""
        if self.residuals is not None:
            return self.residuals
        return self._keep(replace(self.record, sequences=False).part(start, after, self.starts[start]))[1]

    def pull(self, outputs=None, last=None, states=None, x=True) -> Gradient:
        """Return the gradient from cotangents of the results or None, see `rnnkit.backends.cpu.gradient`."""
        record, count = self.record, len(self.record.states)
        shapes = self.backward.adjoint.plan.state_shapes  # behind the states those of constants, and of sums by row
        given = [*([None] * count if states is None else states), *[None] * (len(shapes) - count)]
        cotangents = [
            zeros((self.rows, *shape), self.dtype, self.stream) if g is None else self._given(g)
            for g, shape in zip(given, shapes, strict=True)
        ]
        d_x = zeros(record.x.shape, self.dtype, self.stream) if x else None
        backward = self.backward
        sums = CudaSums(backward.plain.load, self.dtype, backward.sums, self.stream)
        if self.rows and self.steps:
            d_outputs = self._of_outputs(outputs, last)
            for start, after in reversed(self.segments):
                cotangents = self._segment(start, after, cotangents, d_outputs, d_x, sums)
        after_constants = count + len(record.constants)
        cotangents, by_row = cotangents[:after_constants], cotangents[after_constants:]
        totals = [np.sum(download(one, self.stream), axis=0) for one in by_row] if by_row else sums.totals()
        weights = backward.finish(record.weights, totals)
        if d_x is not None and self.reverse:
            d_x = d_x[:, ::-1]
        found: list = [d_x, *cotangents]  # brought to the host if x is there
        if not self.on_gpu:
            found = [None if a is None else download(a, self.stream) for a in found]
        elif d_x is not None:
            found[0] = d_x if d_x.contiguous else copy(d_x, self.stream)
        return Gradient(found[0], tuple(found[1 : 1 + count]), tuple(found[1 + count :]), weights)

    def _of_outputs(self, outputs, last) -> DeviceArray:
        """Return the cotangents of each used step's own output, ``(B, T, elements)``."""
        shape = self.backward.plain.plan.output_shape
        size, item = math.prod(shape), self.dtype.itemsize
        outputs, last = (None if a is None else self._given(a) for a in (outputs, last))
        mask: Any = self.record.mask  # on the GPU
        if outputs is None and last is None:
            nothing = zeros((size,), self.dtype, self.stream)
            return DeviceArray(nothing, nothing.address, (self.rows, self.steps, size), (0, 0, item), self.dtype)
        if mask is None and last is None:
            return outputs
        whole = empty((self.rows, self.steps, size), self.dtype, self.stream)
        numbers = [self.rows, self.steps, size]
        numbers += [0, 0, 0] if outputs is None else [outputs.address, *outputs.strides[:2]]
        numbers += [0, 0] if last is None else [last.address, size * item]
        numbers += [0, 0, 0] if mask is None else [mask.address, *mask.strides]
        self._start(_SHOWN, [*numbers, int(self.record.zero_masked), whole.address, *whole.strides[:2]], size)
        return whole

    def _start(self, text, numbers, size) -> None:
        plain = self.backward.plain
        kernel = plain.load(text.format(dtype=self.dtype.name, item=self.dtype.itemsize))
        table = upload(np.array(numbers, np.int64), self.stream)
        across = plain.current_gpu().across
        kernel.launch((max(1, -(-self.rows * size // across)),), (across,), 0, self.stream, table.address)

    def _copy_rows(self, source, target, size) -> None:
        source = source.reshape(self.rows, size)
        places = [source.address, source.strides[0], target.address, target.strides[0]]
        self._start(_COPY, [self.rows, size, *places], size)

    def _segment(self, first, end, cotangents, d_outputs, d_x, sums) -> list:
        """Go back over some steps; return the states' cotangents before them."""
        backward, steps, count = self.backward, self.steps, len(self.record.states)
        stop = self.truncate or steps
        bytes_of = sum(line(size, self.dtype.itemsize) for size in backward.operands.values())
        several = max(1, _CHUNK_BYTES // max(1, self.rows * bytes_of))
        cuts = {first, end, *range(0, steps, several), *range(0, steps, stop)}
        residuals = self._residuals(first, end)
        for start, after in reversed(list(itertools.pairwise(sorted(c for c in cuts if first <= c <= end)))):
            if after % stop == 0 and after < steps:
                fresh = [zeros(c.shape, self.dtype, self.stream) for c in cotangents[:count]]
                cotangents = [*fresh, *cotangents[count:]]
            placed = {key: array[:, start - first : after - first] for key, array in residuals.items()}
            placed["output"] = d_outputs[:, start:after]
            operands = {written(name): self._sequence(after - start, size) for name, size in backward.operands.items()}
            part = replace(
                self.record.part(start, after, tuple(cotangents)),
                sequences=d_x is not None,
                zero_masked=True,
                place=None if d_x is None else d_x[:, start:after],
                placed=placed | operands,
            )
            cotangents = list(backward.adjoint.run(part.turned()).states)
            sums.add(part)
        return cotangents
