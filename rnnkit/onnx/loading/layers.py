"""Layers for what stands around recurrent operators in an ONNX graph and no layer of Keras does."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from rnnkit.execution.execution import Execution
from rnnkit.layers.base import Layer
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.merging import Merge
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
    dtype, seed, name
        As in every layer.
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
    dtype, seed, name
        As in every layer.

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

    def _moved(self, x, mask):
        kept, order = self.kept, self.order
        inner = range(x.ndim - kept) if order is None else order
        full = (*range(kept), *(axis + kept for axis in inner))
        turned, back = x.transpose(full), np.argsort(full)
        shape = turned.shape
        moved = np.ascontiguousarray(turned).reshape(self.compute_output_shape(x.shape))
        return moved, lambda d: np.array(np.array(d).reshape(shape).transpose(back), order="C")

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

    def get_config(self):
        """The constructor's arguments as JSON values."""
        return {"shape": self.shape, "kept": self.kept, "order": self.order} | super().get_config()


class TimeSlice(Shaping):
    """Some steps of x ``(B, T, …)``: ``x[:, start:stop:step]``.

    Parameters
    ----------
    start, stop, step : int, optional
        As of a slice.
    dtype, seed, name
        As in every layer.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import TimeSlice
    >>> TimeSlice(step=-1)(np.array([[1.0, 2.0, 3.0]]))
    array([[3., 2., 1.]])
    """

    _least_rank = 2
    _axes = "batch, time"

    def __init__(self, start=None, stop=None, step=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.start, self.stop, self.step = start, stop, step

    def _moved(self, x, mask):
        part, shape, dtype = (slice(None), slice(self.start, self.stop, self.step)), x.shape, x.dtype

        def back(d):
            found = np.zeros(shape, dtype)
            found[part] = d
            return found

        return np.ascontiguousarray(x[part]), back

    def compute_output_shape(self, input_shape):
        """``(B, T', …)``."""
        batch, time, *rest = self._shape(input_shape)
        if time is not None:
            time = len(range(time)[slice(self.start, self.stop, self.step)])
        elif (self.start, self.stop, self.step) in ((-1, None, None), (0, 1, None), (0, 1, 1), (-1, None, 1)):
            time = 1
        return (batch, time, *rest)

    def _refuses_stream(self):
        last = (self.start, self.stop, self.step) in ((-1, None, None), (-1, None, 1))
        return None if last else super()._refuses_stream()

    def get_config(self):
        """The constructor's arguments as JSON values."""
        return {"start": self.start, "stop": self.stop, "step": self.step} | super().get_config()


class TimeReduce(Shaping):
    """The mean, sum or largest of all steps, ``(B, T, …)`` to ``(B, …)``; of equal ones the first has the gradient.

    Parameters
    ----------
    how : {"mean", "sum", "max", "min"}
    dtype, seed, name
        As in every layer.
    """

    _least_rank = 2
    _axes = "batch, time"

    def __init__(self, how, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        if how not in ("mean", "sum", "max", "min"):
            raise ValueError(f"expected 'mean', 'sum', 'max' or 'min', got {how!r}")
        self.how = how

    def _moved(self, x, mask):
        time, shape, dtype = x.shape[1], x.shape, x.dtype
        if self.how in ("mean", "sum"):
            total = np.zeros((shape[0], *shape[2:]))  # in double, one step after the other
            for t in range(time):
                total += x[:, t]
            by = time if self.how == "mean" else 1
            return (total / by).astype(dtype), lambda d: np.array(np.broadcast_to(d[:, None] / dtype.type(by), shape))
        place = (np.argmax if self.how == "max" else np.argmin)(x, axis=1)[:, None]

        def back(d):
            found = np.zeros(shape, dtype)
            np.put_along_axis(found, place, d[:, None], axis=1)
            return found

        return np.take_along_axis(x, place, axis=1)[:, 0], back

    def compute_output_shape(self, input_shape):
        """``(B, …)``."""
        batch, _, *rest = self._shape(input_shape)
        return (batch, *rest)

    def get_config(self):
        """The constructor's arguments as JSON values."""
        return {"how": self.how} | super().get_config()


class StepCount(Shaping):
    """How many steps x ``(B, T, …)`` has, for every row.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import StepCount
    >>> StepCount()(np.zeros((2, 5, 3)))
    array([5., 5.])
    """

    _least_rank = 2
    _axes = "batch, time"

    def _moved(self, x, mask):
        shape, dtype = x.shape, x.dtype
        return np.full(shape[0], shape[1], dtype), lambda d: np.zeros(shape, dtype)

    def compute_output_shape(self, input_shape):
        """``(B,)``."""
        return self._shape(input_shape)[:1]


class StepNumbers(Shaping):
    """The number of each step of x ``(B, T, …)``, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import StepNumbers
    >>> StepNumbers()(np.zeros((2, 3, 5)))
    array([[0., 1., 2.],
           [0., 1., 2.]])
    """

    _least_rank = 2
    _axes = "batch, time"

    def _moved(self, x, mask):
        shape, dtype = x.shape, x.dtype
        numbers = np.broadcast_to(np.arange(shape[1]), shape[:2])
        return numbers.astype(dtype), lambda d: np.zeros(shape, dtype)

    def compute_output_shape(self, input_shape):
        """``(B, T)``."""
        return self._shape(input_shape)[:2]


class RepeatOverTime(Merge):
    """The first of two arrays ``(B, …)`` at every step of the second ``(B, T, …)``.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import RepeatOverTime
    >>> RepeatOverTime()([np.ones((2, 3)), np.ones((2, 5, 7))]).shape
    (2, 5, 3)
    """

    def _merged_shape(self, shapes):
        if len(shapes) != 2 or len(shapes[1]) < 2:
            raise ValueError(f"expected an array and one with steps, got {shapes}")
        (batch, *rest), (_, time, *_) = shapes
        return (batch, time, *rest)

    def _merged(self, arrays):
        x, like = arrays
        shape = like.shape
        return np.repeat(x[:, None], shape[1], axis=1), lambda d: [np.sum(d, axis=1), np.zeros(shape, like.dtype)]

    def _refuses_stream(self):
        return None


class LengthMask(Merge):
    """Which steps of the second array ``(B, T, …)`` the lengths in the first ``(B,)`` use: 1 before a row's length.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.onnx.loading.layers import LengthMask
    >>> LengthMask()([np.array([1, 3]), np.zeros((2, 3, 1))])
    array([[1., 0., 0.],
           [1., 1., 1.]])
    """

    def _merged_shape(self, shapes):
        if len(shapes) != 2 or len(shapes[0]) != 1 or len(shapes[1]) < 2:
            raise ValueError(f"expected lengths (batch,) and an array (batch, time, …), got {shapes}")
        return (shapes[0][0], shapes[1][1])

    def _merged(self, arrays):
        lengths, like = arrays
        used = (np.arange(like.shape[1]) < lengths[:, None]).astype(like.dtype)
        return used, lambda d: [np.zeros_like(lengths), np.zeros_like(like)]


class ConstantRows(Layer):
    """The same array, a weight, for every row of x, such as initial states that were learned.

    Parameters
    ----------
    shape : list of int
        The weight's, which is named ``rows``.
    trainable : bool
    dtype, seed, name
        As in every layer.
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

    def get_config(self):
        """The constructor's arguments as JSON values."""
        return {"shape": self.shape, "trainable": self.trainable} | super().get_config()

    def _build(self, shape):
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
