"""A compiled program and the arrays of one call: addresses, sizes and scratch memory for every block of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnkit.engine.product import pack, packed_width
from rnnkit.engine.record import Record, Result
from rnnkit.engine.registers import LANES
from rnnkit.engine.threads import run_blocks

_LINE = 64  # bytes of a cache line
_BLOCK_BYTES = 1 << 18  # what a block of steps may take of the cache
_SMALL = 1 << 18  # multiply-adds and elements below which handing rows to a thread costs more than it saves

__all__ = ["LANES", "Program", "packed_width", "row_bytes"]


def row_bytes(buffer, item: int) -> int:
    """Bytes from row to row: scratch rows start at cache lines, the others lie close."""
    size = buffer.size * item
    return -(-size // _LINE) * _LINE if buffer.kind == "scratch" else size


@dataclass(eq=False)
class Program:
    """Runs a compiled step over records.

    Attributes
    ----------
    function : callable
        ``run(p, n)`` of the program's text.
    source, plan
        What it was compiled from, see `rnnkit.compiler`.
    once : callable
        Weights by name to the arrays that the plan wants computed once, in the order of ``plan.once``.
    product : int
        Address of the compiled product that the program calls.
    words : str
        The plan in words.
    """

    function: Callable
    source: object
    plan: object
    once: Callable
    dtype: np.dtype
    product: int = 0
    words: str = ""
    road: str = "road 1"
    reason: str = "the step was traced as a whole"

    def __post_init__(self):
        self.item = self.dtype.itemsize
        plan = self.plan
        self._scratch = [(b, row_bytes(b, self.item)) for b in plan.buffers if b.kind == "scratch"]
        block = sum(size for b, size in self._scratch if b.section == 2)
        self._block_bytes, self._step_bytes = block, sum(size for b, size in self._scratch if b.section != 2)
        self._once_names = list(plan.once)
        self._bound: tuple = (None, ())
        self._work = sum(getattr(s, "depth", 0) * s.result.size for s in plan.stages if hasattr(s, "depth"))
        self._work += 16 * sum(b.size for b in plan.buffers if b.kind in ("scratch", "next"))
        self._tables = [what for what in self.source.pointers if isinstance(what, np.ndarray)]
        self._numbers = np.array(self.source.numbers, np.int64)

    def explain(self, source: bool = False) -> str:
        """Road, reason and plan in words, or the program's text."""
        return self.source.text if source else f"{self.road}: {self.reason}\n{self.words}"

    def _once(self, weights) -> list[np.ndarray]:
        """What depends on weights alone, computed again when one of them was replaced."""
        bound, arrays = self._bound
        given = tuple(weights.values())
        if bound is None or len(bound) != len(given) or any(a is not b for a, b in zip(bound, given, strict=True)):
            arrays = self.once(weights)
            self._bound = given, arrays
        return arrays

    def run(self, record: Record) -> Result:
        """The results of one call."""
        x, dtype, plan = record.x, self.dtype, self.plan
        rows, steps = x.shape[:2]
        once = dict(zip(self._once_names, self._once(record.weights), strict=True))
        shape = plan.output_shape
        if record.sequences:
            outputs = np.empty((rows, steps, *shape), dtype)
            output, output_row, output_step = outputs, outputs.strides[0], outputs.strides[1]
        else:
            outputs, output = None, np.zeros((rows, *shape), dtype)
            output_row, output_step = output.strides[0], 0
        mask = record.mask
        held = np.zeros((rows, *shape), dtype) if mask is not None else output
        states = [np.array(s, dtype, order="C") for s in record.states]
        others = [np.empty_like(s) for s in states]
        kept = None
        if record.trajectory:
            kept = tuple(np.empty((rows, steps, *s.shape[1:]), dtype) for s in states)
        if rows and steps:
            self._call(record, once, (output, output_row, output_step, held, states, others, kept), rows, steps)
        if steps % 2:
            states = others
        if mask is not None:
            last = held
        elif outputs is None:
            last = output
        else:
            last = outputs[:, -1].copy() if steps else np.zeros((rows, *shape), dtype)
        return Result(outputs, last, tuple(states), kept)

    def _call(self, record, once, arrays, rows, steps):
        output, output_row, output_step, held, states, others, kept = arrays
        x, mask = record.x, record.mask
        x_at, x_step = x.ctypes.data, x.strides[1]
        mask_at, mask_row, mask_step = (0, 0, 0) if mask is None else (mask.ctypes.data, *mask.strides)
        if record.reverse:
            x_at, x_step = x_at + (steps - 1) * x_step, -x_step
            mask_at, mask_step = mask_at + (steps - 1) * mask_step, -mask_step
        named = {
            "x": (x_at, x.strides[0]),
            "output": (output.ctypes.data, output_row),
            "held": (held.ctypes.data, held.strides[0]),
            "mask": (mask_at, mask_row),
            "product": (self.product, 0),
        }
        trajectories = [0, 0] * len(states) if kept is None else [n for k in kept for n in k.strides[:2]]
        addresses, strides, scratch = [], [], []
        for i, what in enumerate(self.source.pointers):
            if isinstance(what, str):
                at, row = named[what]
            elif isinstance(what, tuple):
                array = {"state": states, "next": others, "trajectory": kept}[what[0]]
                at, row = (0, 0) if array is None else (array[what[1]].ctypes.data, array[what[1]].strides[0])
            elif isinstance(what, np.ndarray):
                at, row = what.ctypes.data, 0
            elif what.kind == "scratch":
                scratch.append(i)
                at, row = 0, 0
            elif what.kind == "once":
                at, row = once[what].ctypes.data, 0
            else:
                array = record.constants[what.attr] if what.kind == "constant" else record.draws[what.attr]
                at, row = array.ctypes.data, array.strides[0]
            addresses.append(at)
            strides.append(row)
        p, by_row = np.array(addresses, np.int64), np.array(strides, np.int64)
        head = [
            0,
            steps,
            0,
            x.strides[0],
            x_step,
            output_row,
            output_step,
            mask_row,
            mask_step,
            int(record.zero_masked),
        ]
        n = np.concatenate([np.array(head + trajectories, np.int64), self._numbers])

        def block(first, last):
            count = last - first
            own_p, own_n = p + first * by_row, n.copy()
            length = steps if not self._block_bytes else min(steps, max(1, _BLOCK_BYTES // (self._block_bytes * count)))
            own_n[0], own_n[2] = count, length
            memory = np.empty((self._block_bytes * length + self._step_bytes) * count + _LINE, np.uint8)
            at = -(-memory.ctypes.data // _LINE) * _LINE
            for i, (buffer, size) in zip(scratch, self._scratch, strict=True):
                own_p[i] = at
                at += size * count * (length if buffer.section == 2 else 1)
            self.function(own_p, own_n)

        run_blocks(block, rows, parallel=rows * steps * self._work > _SMALL)


def compute_once(plan, evaluate, dtype) -> Callable:
    """A function from weights to the arrays of ``plan.once``: values as they are, operands of products packed."""
    nodes = [node for wanted in plan.once.values() for node in (wanted if isinstance(wanted, list) else [wanted])]

    def once(weights):
        with np.errstate(all="ignore"):
            values = evaluate(nodes, {("weight", name): array for name, array in weights.items()}, dtype)
        arrays = []
        for wanted in plan.once.values():
            if isinstance(wanted, list):
                arrays.append(pack(np.concatenate([np.asarray(values[w.id], dtype) for w in wanted], axis=1)))
            else:
                arrays.append(np.ascontiguousarray(values[wanted.id], dtype))
        return arrays

    return once
