"""Steps without memory on the last axis: the base of Dense, and any function as a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, Self, Unpack

import numpy as np

from rnnkit import hints
from rnnkit.activations import activation
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.shared.call import Gradient, Record, Result
from rnnkit.execution.execution import Execution
from rnnkit.execution.tangents import Tangents
from rnnkit.hints import Config, CustomObjects, LayerOptions, Shape
from rnnkit.layers.cell_layer import CellLayer
from rnnkit.layers.support import validation
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.seeds import weight_generator
from rnnkit.layers.support.validation import finite_under_mask
from rnnkit.serialization.registry import find, name_of
from rnnkit.steps.cell import Cell, prepare


class Memoryless(CellLayer):
    """Base of layers that run a step without memory on the last axis of x ``(B, …, F)``; a subclass has `_cell_for`."""

    _least_rank = 2
    _open_axes = -1
    _padding = "masked"
    _cell: Cell
    _cell_for: Callable[[Any], Cell]  # a new cell for an x of a shape
    _stream_refusal: str | None = None

    def _call(self, inputs, mask, training, wanted=None):
        shape, result = self._run(inputs, mask, wanted is not None)
        outputs = self._given_back(result.outputs, shape)
        if wanted is None:
            return outputs
        back: Callable[..., Gradient] = result.pull  # type: ignore[assignment]  # since a gradient was asked for
        steps = result.outputs.shape  # type: ignore[union-attr]  # the record wants all

        def pull(cotangents, x=True):
            (d,) = cotangents
            gradient = back(None if d is None else self._cotangent_steps(d, steps), None, None, x)
            return Gradients(gradient.weights, self._x_back(gradient.x, shape) if x else None)

        return outputs, Pullback(outputs, self.dtype, pull, partial(pull, x=False))

    def _along(self, x, tangent, weights, wanted) -> Result:
        """Return the results of the dual along a direction, see `Execution.along`: of the steps of x."""
        moved = None if tangent is None else self._steps(tangent)
        return self._execution.along(self._record(self._steps(x)), Tangents(moved, weights=weights), wanted)

    def _run(self, inputs, mask, gradient=False) -> tuple[tuple, Result]:
        """Return the shape of x, and the result of its steps."""
        if mask is None and (plan := self._planned(inputs, False)) is not None:
            return inputs.shape, self._computed(Record(self._steps(inputs), *plan), gradient)
        x = validation.numbers(inputs, "x")
        if x.ndim < 2:
            raise validation.shape_error("x", "batch, …", self._input_shape[-1:] if self.built else None, x.shape)
        if not self.built:
            with all_or_nothing(self):
                build_with(self, x.shape, self.dtype or validation.precision_of(x))
                return self._run(x, mask, gradient)
        self._check_shape(x.shape)
        steps, given = self._steps(finite_under_mask(x, mask)), x if mask is None else None
        return x.shape, self._computed(self._record(steps, given), gradient)

    def reads_more(self, rank: int) -> str | None:
        """Return what the step reads of an x of so many axes other than its last axis; None for nothing else."""
        return None

    # The rows of x as sequences of steps, with one axis for all between batch and features

    def _features_of(self, shape) -> tuple:
        return shape[-1:]

    def _steps(self, x):
        """``(B, …, F)`` as steps ``(B, n, F)``."""
        if x.ndim == 3:
            return x
        x = validation.reshapeable(x) if isinstance(x, DeviceArray) else x
        return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])

    def _given_back(self, steps, shape):
        """Return the outputs of the steps of an x of this shape, as its rows."""
        return steps.reshape(*shape[:-1], *steps.shape[2:])

    def _x_back(self, steps, shape):
        """Return the cotangent of an x of this shape, from that of its steps."""
        return self._given_back(steps, shape)

    def _cotangent_steps(self, d, shape):
        """Return a cotangent of the outputs as one of the steps, which have this shape."""
        return d.reshape(shape)

    def _computed(self, record, gradient) -> Result:
        return self._execution.vjp(record) if gradient else self._execution.run(record)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        shape = super().compute_output_shape(input_shape)
        if self.built:
            self._check_shape(shape)
        return shape

    def _build(self, shape):
        features = self._features_of(shape)
        if None in features:
            raise ValueError(f"expected known features in the shape (batch, …, features), got {shape}")
        self._cell = self._cell_for(shape)
        prepare(self._cell, (None, *features), self.dtype, weight_generator(self))
        self._execution = self._executed(self._cell, features)

    def _shape_of_step(self, shape) -> tuple:
        """Return the shape of the result for an x of this one, by the step: a trial before the layer is built."""
        execution = self._execution
        if execution is None:
            trial, dtype = self._cell_for(shape), np.dtype("float32")
            prepare(trial, (None, shape[-1]), dtype, np.random.default_rng(0))
            execution = Execution(trial, shape[-1:], dtype)
        return (*shape[:-1], *self._features(execution))

    def _features(self, execution) -> tuple:
        return execution.output_shape()

    _step_cell: Any = property(attrgetter("_cell"))


class FunctionCell(Cell):
    """A function of the features as a step that keeps nothing; its one state stays as it is."""

    state_size = 1

    def __init__(self, function, name):
        super().__init__(name=name)
        self.function = function

    def call(self, inputs, states):
        """One step: the function's value, and the state as it came."""
        return self.function(inputs), states

    def _content(self):
        own = isinstance(self.function, np.ufunc) or getattr(self.function, "__module__", "") == activation.__module__
        return self.function if own else None  # what a user's function reads may change


class Activation(Memoryless):
    """An activation function of x ``(B, …, F)``, which sees the last axis.

    Parameters
    ----------
    activation : str or callable
        A name, as of `Dense`, or any NumPy-style function that keeps the shape.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Activation("relu")(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    def __init__(self, activation: hints.Activation, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.activation: Callable[..., Any] = _activation(activation)

    def _cell_for(self, shape):
        return FunctionCell(self.activation, "activation")


_activation = activation  # the constructor's argument has the same name


class Lambda(Memoryless):
    """Any NumPy-style function of the features of x ``(B, …, F)``; it is traced and differentiated as a step is.

    Parameters
    ----------
    function : callable
        From an array ``(B, F)``, of the rows or of a step of them, to one ``(B, G)``. A configuration needs one that
        is registered (`rnnkit.register`) or can be imported by its name.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.Lambda(lambda x: np.sqrt((x**2).sum(axis=-1, keepdims=True)))
    >>> y, pullback = layer.vjp(np.array([[3.0, 4.0]]))
    >>> y, pullback(np.ones_like(y)).x
    (array([[5.]]), array([[0.6, 0.8]]))
    """

    def __init__(self, function: Any, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        if not callable(function):
            raise TypeError(f"expected a function of an array, got {function!r}")
        self.function = function

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, …, G)``."""
        return self._shape_of_step(super().compute_output_shape(input_shape))

    def _build(self, shape):
        super()._build(shape)
        self._features(self._execution)

    def _features(self, execution):
        found = super()._features(execution)
        if not found:
            raise ValueError(
                f"expected the function of {self.name!r} to give an array (batch, features), got one value for each "
                "row; it sees the features of one step at a time, not the time axis"
            )
        return found

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        return {"function": name_of(self.function)} | super().get_config()

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new layer, not built, from what `get_config` gave."""
        return cls(**(config | {"function": find(config["function"])}))

    def _arguments(self):
        return getattr(self.function, "__name__", repr(self.function))

    def _cell_for(self, shape):
        return FunctionCell(self.function, "lambda")
