"""Layers for what stands around recurrent operators in an ONNX graph and no layer of Keras does."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from rnnkit import allocation
from rnnkit.execution.execution import Execution
from rnnkit.layers.base import Layer
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support import validation
from rnnkit.layers.support.pullback import Gradients
from rnnkit.onnx.loading.cells import RowsCell
from rnnkit.onnx.loading.program import Program
from rnnkit.recording import weights_now
from rnnkit.steps.cell import frozen, prepare


class Operation(Memoryless):
    """Operations on the features of x ``(B, …, F)``, for every row and step by itself.

    Parameters
    ----------
    program : dict
        What `Program.config` gives; its inputs lie side by side in the features of x, and it has one output.
    """

    def __init__(self, program, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.program = Program(**program)
        self._cell = self._new_cell()

    def compute_output_shape(self, input_shape):
        """``(B, …, *output)``."""
        shape = super().compute_output_shape(input_shape)
        if self.built:
            return (*shape[:-1], *self._execution.output_shape())
        trial = self._new_cell()
        prepare(trial, (None, shape[-1]), np.dtype("float32"), np.random.default_rng(0))
        return (*shape[:-1], *Execution(trial, shape[-1:], np.dtype("float32")).output_shape())

    def _build(self, shape):
        expected = sum(math.prod(one) for one in self.program.inputs)
        if shape[-1] != expected:
            raise ValueError(f"expected x with {expected} features, got {shape}")
        super()._build(shape)

    def get_config(self):
        """The constructor's arguments as JSON values."""
        return {"program": self.program.config()} | super().get_config()

    def _arguments(self):
        return ", ".join(op for op, *_ in self.program.instructions)

    def _new_cell(self):
        return RowsCell(self.program)


class Arrange(Shaping):
    """Every row with its axes in another order and shape; it passes no mask on.

    Parameters
    ----------
    shape : list of int
        The sizes behind the axes that are kept.
    kept : int
        How many axes stay as they are: 1 for the batch, 2 for batch and time.
    order : list of int, optional
        How the axes behind these are transposed before, counted among themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import Arrange
    >>> Arrange([2, 3], kept=2)(np.zeros((4, 5, 6))).shape
    (4, 5, 2, 3)
    """

    def __init__(self, shape, kept=1, order=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.shape, self.kept = [int(n) for n in shape], int(kept)
        self.order = None if order is None else [int(axis) for axis in order]

    def _result(self, x, mask, training):
        if self.order is not None:
            x = x.transpose((*range(self.kept), *(axis + self.kept for axis in self.order)))
        return x.reshape((*x.shape[: self.kept], *self.shape))

    def compute_output_shape(self, input_shape):
        """``(*kept, *shape)``."""
        shape = self._shape(input_shape)
        rest = shape[self.kept :]
        if len(shape) < self.kept or (None not in rest and math.prod(rest) != math.prod(self.shape)):
            raise ValueError(f"expected {math.prod(self.shape)} numbers behind {self.kept} axes, got {shape}")
        return (*shape[: self.kept], *self.shape)

    def _refuses_stream(self):
        steps = self.kept == 1 and self.built and None in self._input_shape[1:2]
        return "needs whole sequences" if steps else None


class ConstantRows(Layer):
    """The same array, a weight, for every row of x, such as initial states that were learned.

    Parameters
    ----------
    shape : list of int
        The weight's, which is named ``rows``.
    trainable : bool
    """

    def __init__(self, shape, trainable=True, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.shape, self.trainable = [int(n) for n in shape], bool(trainable)
        self._rows: np.ndarray | None = None

    def __call__(self, inputs, mask=None, training=False):
        """``(B, *shape)`` for x ``(B, …)``."""
        return self._called(inputs, mask, training)

    def _bound(self):
        return partial(self._repeated, None if self._rows is None else weights_now({"rows": self._rows})["rows"])

    def _repeated(self, rows, inputs, mask, training):
        x = validation.array(inputs, "x")
        if not self.built:
            self._build_with(x.shape, self.dtype or validation.precision_of(x))
            rows = self._rows
        shape, dtype = x.shape, self.dtype
        repeated = np.array(np.broadcast_to(rows, (shape[0], *self.shape)))
        return repeated, lambda d: Gradients({"rows": np.sum(d, axis=0)}, np.zeros(shape, dtype))

    def compute_output_shape(self, input_shape):
        """``(B, *shape)``."""
        return (self._shape(input_shape)[0], *self.shape)

    def compute_mask(self, inputs, mask=None):
        """None: there are no steps."""
        return None

    def _build(self, shape):
        allocation.keep(f"the weight of {self.name!r}", self.shape, self.dtype)
        self._rows = frozen(np.zeros(self.shape), self.dtype)

    def _check_shape(self, shape):
        """Any shape will do."""

    def _forget(self):
        super()._forget()
        self._rows = None

    def _own_arrays(self):
        return {"rows": self._rows} if self._rows is not None else {}

    def _put_own_arrays(self, arrays):
        self._rows = arrays["rows"]

    def __setstate__(self, state):
        self.__dict__.update(state)
        if self._rows is not None:
            self._rows.flags.writeable = False  # neither copy nor pickle carries the flag
