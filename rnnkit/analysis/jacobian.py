"""The derivatives of one step: along a direction, and in all of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from rnnkit import allocation, tracebacks
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.complex_pairs import is_complex, to_complex, to_pairs
from rnnkit.hints import Array, Seed
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import validation
from rnnkit.layers.support.facts import built_shape
from rnnkit.layers.support.seeds import seed_sequence
from rnnkit.steps.cell import Cell, as_cell, cell_name, prepare
from rnnkit.steps.declared import DeclaredCell
from rnnkit.steps.nesting import Nesting
from rnnkit.steps.step import Step

_ROWS = 4096  # evaluated at a time


@tracebacks.edge
def jvp(
    cell: Any,
    x: Array,
    states: Array = None,
    d_x: Array = None,
    d_states: Array = None,
    *,
    constants: Array = None,
    training: bool = False,
    seed: Seed = None,
) -> Any:
    """Compute one step, and how its results change along a direction of x and the states.

    Parameters
    ----------
    cell : built cell, or `RNN`
        Of a layer, its cell with its weights.
    x : array_like ``(B, *features)``
    states : nested as a layer's ``initial_state``, optional
        Default: the cell's own start.
    d_x, d_states : array_like, nested as `x` and `states`, optional
        The direction; None is zeros.
    constants : list of array_like (B, …), optional
    training : bool
    seed : int or numpy.random.Generator, optional
        Where the cell's draws, such as dropout masks, come from.

    Returns
    -------
    results : (output, states)
        What the step returns, the states nested as the cell's own.
    tangents : (d_output, d_states)
        Their changes to first order, of the same shapes.

    Raises
    ------
    ValueError, TypeError
        For a cell that isn't built, an array that doesn't fit, or a step without known derivatives.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"h": "features"})
    ... def squares(x, states, weights):
    ...     h = x * states[0] ** 2
    ...     return h, h
    >>> (output, h), (d_output, d_h) = rk.jvp(squares(), [[2.0]], [[3.0]], d_states=[[1.0]])
    >>> h.item(), d_h.item()
    (18.0, 12.0)
    """
    with allocation.named("rk.jvp"):
        point = _Point(cell, x, states, constants, training, seed)
        spec = point.step.states
        directions = [np.zeros_like(one) for one in (point.x, *point.states)]
        if d_x is not None:
            directions[0] = validation.like(d_x, "d_x", point.x, 1 if point.reads_complex else None)
        if d_states is not None:
            directions[1:] = spec.unpack(d_states, point.rows, point.dtype, "d_states")
        found = point.along(directions)
    shown = (lambda output: output) if point.step.outputs is None else (lambda output: to_complex(output, 1))
    packed = lambda states: spec.pack(states)[0] if spec.bare else spec.pack(states)
    return tuple((shown(output), packed(states)) for output, *states in found)


@dataclass(eq=False)
class Jacobian:
    """All derivatives of a step, for each row.

    Where the cell has several states, a *state* stands for a dict by name (``"h"``; of a class cell by number, of a
    stack ``"0/h"``): ``state_by_state["h"]["c"]`` is the derivative of the new h by the old c.

    Attributes
    ----------
    state_by_state : ndarray (B, *state, *state), or dict of dict
        The new state by the old one.
    state_by_x : ndarray (B, *state, *features), or dict
    output_by_state : ndarray (B, *output, *state), or dict
    output_by_x : ndarray (B, *output, *features)
    matrix : ndarray (B, N, N)
        All states by all states, each made flat, one after another.

    Notes
    -----
    What is complex counts as both parts, with an axis of two in front of its own.
    """

    state_by_state: np.ndarray | dict[str, Any]
    state_by_x: np.ndarray | dict[str, Any]
    output_by_state: np.ndarray | dict[str, Any]
    output_by_x: np.ndarray
    matrix: np.ndarray

    def __repr__(self) -> str:
        names = ("state_by_state", "state_by_x", "output_by_state", "output_by_x", "matrix")
        return f"Jacobian({', '.join(f'{name}: {_shapes(getattr(self, name))}' for name in names)})"


@tracebacks.edge
def jacobian(
    cell: Any,
    x: Array,
    states: Array = None,
    *,
    by: Any = None,
    of: Callable | None = None,
    constants: Array = None,
    training: bool = False,
    seed: Seed = None,
    **call: Any,
) -> Any:
    """Compute all derivatives of one step by its input and states; or with `by`, those of a whole call.

    Parameters
    ----------
    cell, x, states, constants, training, seed
        As in `jvp`. Rows have nothing to do with each other, so the steps of a trajectory may be handed in as rows.
    by, of, **call
        As of `hessian`, for a recurrent layer or a loop, and `x` as in a call: the derivative of the sum of the
        outputs, or of each entry of a function of them, ``(B, *value, *a)``; of a loop without rows, ``(*value, *a)``.
        What is complex counts as both parts, with an axis of two in front of its own.

    Returns
    -------
    Jacobian, or with `by` ndarray or dict of ndarray

    Raises
    ------
    ValueError, TypeError
        As `jvp`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.LSTM(4, return_sequences=True, seed=0)
    >>> layer.build((None, None, 3))
    >>> rk.jacobian(layer, np.ones((2, 3))).matrix.shape
    (2, 8, 8)
    """
    if by is not None:
        from rnnkit.analysis.curvature import jacobian_by  # with loops

        more = {n: one for n, one in (("constants", constants), ("training", training or None)) if one is not None}
        return jacobian_by(cell, x, by, of, **more, **call)
    if of is not None or call:
        raise TypeError(f"expected by= with {', '.join(['of'] * (of is not None) + list(call))}: a step has none")
    with allocation.named("rk.jacobian"):
        point = _Point(cell, x, states, constants, training, seed)
        (output_by_x, *output_by), *by = point.everywhere()
    names = _names(point.cell)

    def by_name(entries):
        return entries[0] if len(names) == 1 else dict(zip(names, entries, strict=True))

    sizes = [math.prod(shape) for shape in point.step.state_shapes]
    blocks = [
        [array.reshape(point.rows, n, m) for array, m in zip(row[1:], sizes, strict=True)]
        for row, n in zip(by, sizes, strict=True)
    ]
    return Jacobian(
        by_name([by_name(row[1:]) for row in by]),
        by_name([row[0] for row in by]),
        by_name(output_by),
        output_by_x,
        np.block(blocks),
    )


class _Point:
    """A built cell and the inputs of one step of it, all checked."""

    def __init__(self, cell, x, states, constants, training, seed):
        x = validation.array(x, "x", complex_too=True)
        if x.ndim < 2:
            raise validation.shape_error("x", "batch", None, x.shape)
        self.cell = _built(cell, x)
        self.reads_complex = self.cell._complex_inputs
        if is_complex(x) and not self.reads_complex:
            raise TypeError(f"expected x of real numbers for {cell_name(self.cell)!r}, got {x.dtype}")
        weights = self.cell._all_weights()
        layers = cell.dtype if isinstance(cell, RNN) else validation.precision_of(x)
        self.dtype = cast(np.dtype, next((array.dtype for array in weights.values()), layers))
        features = _features_of(cell, x.shape[1:])
        if x.shape[1:] != features:
            raise validation.shape_error("x", "batch", features, x.shape)
        self.weights, self.training = weights, bool(training)
        self.x, self.rows = to_pairs(x, 1, self.dtype) if self.reads_complex else x.astype(self.dtype), len(x)
        nesting = Nesting.of_shapes(x.shape, 1, x.dtype) if self.reads_complex else None
        self.step = step = Step(self.cell, nesting or features)
        if states is None:
            self.states = step.initial_states(self.rows, self.dtype)
        else:
            self.states = step.states.unpack(states, self.rows, self.dtype, "states")
        if constants is not None and not step.takes_constants:
            raise ValueError(f"expected no constants: the step of {self.cell!r} doesn't name them")
        flags = self.cell._complex_constants
        self.constants = () if constants is None else validation.constants(constants, self.rows, self.dtype, flags)
        rng = np.random.default_rng(seed_sequence(seed))
        self.draws = {
            name: step.draw(name, self.rows, rng, self.dtype) for name in step.used_draws(self.constants, self.training)
        }
        self._inputs = (step.feature_shape, *step.state_shapes)
        self._outputs = (step.output_shape(self.constants, self.training), *step.state_shapes)
        if step.outputs is not None and not step.outputs.alone:
            raise ValueError(f"expected a cell with one output; {step.name!r} has several")
        from rnnkit.execution import pipeline  # takes the compiler with it

        shapes = tuple(constant.shape[1:] for constant in self.constants)
        self._tangent: Any = None  # of a step that can be traced, unless a cell has a vjp of its own
        self._pull: Any = None
        if pipeline.has_vjp(step):
            if pipeline.decides_by_values(step, self.dtype, shapes, self.training):
                step.by_row.add((self.training, shapes))
            self._pull = pipeline.chain(step, self.dtype, shapes, self.training).bind(self.weights)
        else:
            self._tangent = pipeline.tangent(step, self.dtype, self.weights, shapes, self.training)

    def along(self, directions):
        """Return the results of the step, ``(output, *states)``, and their tangents along those of x and the states."""
        rows = np.arange(self.rows)
        if self._tangent is not None:
            return self._moved(rows, directions)
        x, states, constants, draws = self._given(rows)
        with np.errstate(all="ignore"):
            output, new = self.step.bind(self.weights)(x, states, constants, draws, self.training)
        flat = [d.reshape(self.rows, -1, 1) for d in directions]
        tangents = []
        for row, shape in zip(self.everywhere(), self._outputs, strict=True):
            blocks = [j.reshape(self.rows, math.prod(shape), d.shape[1]) for j, d in zip(row, flat, strict=True)]
            total = sum(block @ d for block, d in zip(blocks, flat, strict=True))
            tangents.append(total.reshape(self.rows, *shape))
        return [np.array(a, self.dtype) for a in (output, *new)], tangents

    def everywhere(self) -> list[list[np.ndarray]]:
        """For the output and each state, its derivatives by x and by each state, ``(B, *result, *input)``."""
        inputs, outputs, rows = self._inputs, self._outputs, self.rows
        found = [[np.zeros((rows, math.prod(o), math.prod(i)), self.dtype) for i in inputs] for o in outputs]
        if self._tangent is not None:
            for k, some, moved in self._units(inputs):
                _, tangents = self._moved(np.tile(np.arange(rows), len(some)), moved)
                for row, tangent in zip(found, tangents, strict=True):
                    row[k][:, :, some] = tangent.reshape(len(some), rows, -1).transpose(1, 2, 0)
        else:
            for k, some, moved in self._units(outputs):
                cotangents = self._pulled(np.tile(np.arange(rows), len(some)), moved)
                for array, cotangent in zip(found[k], cotangents, strict=True):
                    array[:, some] = cotangent.reshape(len(some), rows, -1).transpose(1, 0, 2)
        return [
            [array.reshape(rows, *o, *i) for array, i in zip(row, inputs, strict=True)]
            for row, o in zip(found, outputs, strict=True)
        ]

    def _units(self, shapes):
        """Unit vectors of all arrays of these shapes, some at a time: which array, which elements, and all arrays."""
        several = max(1, _ROWS // max(1, self.rows))
        for k, shape in enumerate(shapes):
            size = math.prod(shape)
            for first in range(0, size if self.rows else 0, several):
                some = np.arange(first, min(first + several, size))
                arrays = [np.zeros((len(some) * self.rows, *one), self.dtype) for one in shapes]
                arrays[k] = np.repeat(np.eye(size, dtype=self.dtype)[some], self.rows, axis=0).reshape(arrays[k].shape)
                yield k, some, arrays

    def _given(self, rows):
        """``(x, states, constants, draws)`` in these rows."""
        return (
            self.x[rows],
            tuple(array[rows] for array in self.states),
            tuple(array[rows] for array in self.constants),
            {name: array[rows] for name, array in self.draws.items()},
        )

    def _moved(self, rows, directions):
        x, states, constants, draws = self._given(rows)
        inputs: dict = {("x", None): x}
        inputs |= {("state", i): array for i, array in enumerate(states)}
        inputs |= {("constant", i): array for i, array in enumerate(constants)}
        inputs |= {("draw", name): array for name, array in draws.items()}
        inputs |= {("weight", name): array for name, array in self.weights.items()}
        keys = [("x", None), *(("state", i) for i in range(len(states)))]
        return self._tangent(inputs, dict(zip(keys, directions, strict=True)), len(rows))

    def _pulled(self, rows, cotangents):
        with np.errstate(all="ignore"):
            d_x, d_states, _, _ = self._pull(*self._given(rows), self.training, cotangents[0], tuple(cotangents[1:]))
        return d_x, *d_states


def _built(cell, x) -> Cell:
    """Return the cell with its weights; one that has none to be drawn needs no building."""
    if isinstance(cell, RNN):
        if not cell.built:
            raise ValueError(f"expected a built layer, got {cell!r}; call build(input_shape) or the layer first")
        return cell.cell
    found = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else as_cell(cell)
    if found.built:
        return found
    trial = copy.deepcopy(found)
    prepare(trial, (None, *x.shape[1:]), validation.precision_of(x), np.random.default_rng(0))
    if trial._all_weights():
        raise ValueError(
            f"expected a cell with weights, but {cell_name(found)!r} isn't built: hand in a layer of it that was "
            "built, or that layer's cell"
        )
    return trial


def _features_of(cell, given) -> tuple[int, ...]:
    """Return the shape of an input's features, of a class cell only as its layer knows it."""
    return built_shape(cell)[2:] if isinstance(cell, RNN) else getattr(cell, "_feature_shape", ()) or given


def _names(cell) -> list:
    """Return the states' names, or of a class cell their numbers; in a stack behind the cell's path."""
    if isinstance(cell, DeclaredCell):
        return list(cell.spec.states)
    spec = cell._states()
    if spec.parts is None:
        return list(range(len(spec.shapes)))
    return [f"{path}/{name}" for path, part in cell._parts().items() for name in _names(part)]


def _shapes(entry):
    if isinstance(entry, dict):
        return {name: _shapes(one) for name, one in entry.items()}
    return entry.shape
