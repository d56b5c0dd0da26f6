"""A gradient held against central differences: what to trust a derivative by, written by hand or not."""

from __future__ import annotations

import copy
import inspect
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import allocation, tracebacks
from rnnkit.arguments import number_from_zero, positive_integer, sizes
from rnnkit.arrays import real
from rnnkit.complex_pairs import is_complex
from rnnkit.hints import Array, Seed
from rnnkit.layers.base import Layer
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.bound_calls import call_on, vjp_on
from rnnkit.layers.support.facts import built_shape, generator_of, parts_by_path, reads_complex, restart, set_precision
from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.layers.support.seeds import seed_sequence
from rnnkit.layers.support.symbolic import leaves
from rnnkit.models.graph_model import GraphModel
from rnnkit.steps.cell import frozen

_DOUBLE = np.dtype("float64")
_LEAST = 3e-3  # of what the outputs sum up to: the rounding of differences is 1e-8 of that, or less
_SIZES = (3, 6, 4)  # batch, time, features of an input that nobody gave


@dataclass(frozen=True)
class CheckedArray:
    """One array of a `GradCheck`.

    Attributes
    ----------
    name : str
    shape : tuple of int
    error : float
        The largest difference of two directional derivatives, in units of the gradient's norm.
    ok : bool
    """

    name: str
    shape: tuple[int, ...]
    error: float
    ok: bool


class GradCheck:
    """The findings of `gradcheck`, one line per array; true if all is right.

    Attributes
    ----------
    arrays : list of CheckedArray
    tolerance : float
    rules : list of str
        If an array is wrong, the operations of its steps whose own rule is wrong, with their lines.
    """

    arrays: Any
    name: Any
    rules: Any
    tolerance: Any

    def __init__(self, name: str, arrays: list[CheckedArray], tolerance: float, rules: list[str]):
        self.name, self.arrays, self.tolerance, self.rules = name, arrays, tolerance, rules

    def __bool__(self) -> bool:
        return all(array.ok for array in self.arrays)

    def __getitem__(self, name: str) -> CheckedArray:
        for array in self.arrays:
            if array.name == name:
                return array
        raise KeyError(f"no array named {name!r} was checked; there are: {', '.join(a.name for a in self.arrays)}")

    def _told(self) -> str:
        wrong = sum(not array.ok for array in self.arrays)
        return f"{wrong} of {len(self.arrays)} arrays WRONG" if wrong else "ok"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [(a.name, str(a.shape), f"{a.error:.1e}", "ok" if a.ok else "WRONG") for a in self.arrays]

    def __repr__(self) -> str:
        cells = self._rows()
        widths = [max((len(row[i]) for row in cells), default=0) for i in range(3)]
        rows = [f"  {n:<{widths[0]}}  {s:<{widths[1]}}  {e:>{widths[2]}}  {ok}" for n, s, e, ok in cells]
        found = [f"  the rule of {rule} is wrong" for rule in self.rules]
        return "\n".join([f"gradcheck of {self.name}, tolerance {self.tolerance:.0e}: {self._told()}", *rows, *found])

    def _repr_html_(self) -> str:
        from rnnkit.cards import Card, table_of
        from rnnkit.cards_html import page

        facts = {"tolerance": f"{self.tolerance:.0e}", "found": self._told()}
        facts |= {"wrong rules": ", ".join(self.rules)} if self.rules else {}
        table = table_of(("array", "shape", "error", ""), self._rows(), {"error"}, len(self.arrays))
        return page(Card(f"gradcheck of {self.name}", facts=facts, table=table))


@tracebacks.edge
def gradcheck(
    layer: Any,
    x: Array = None,
    *,
    initial_state: Array = None,
    mask: Array = None,
    constants: Array = None,
    training: bool = False,
    directions: Any = 3,
    step: Any = 1e-5,
    tolerance: Any = 1e-7,
    seed: Seed = 0,
) -> GradCheck:
    """Hold the gradient of a cell or layer against central differences, in float64.

    For every array that a call reads, its initial states, constants and weights, and for random cotangents `g` of all
    that it returns, ``sum(gradient * d)`` must be the slope of ``sum(layer(array + s * d) * g)`` in random directions
    `d`. A copy is checked, with the same weights in float64; the layer itself, its states and its stream of random
    numbers stay as they are. Where training draws masks, every call draws the same.

    Parameters
    ----------
    layer : cell or layer with ``vjp``
        A cell is run by an `RNN` that returns all outputs and states; weights that it hasn't are drawn.
    x : array_like, or a tuple for its shape; or a list or dict of them for several inputs, optional
        A shape stands for normal random numbers. Default: 3 rows of 6 steps. Integers stay as they are for a layer that
        has no gradient by them.
    initial_state : nested as a call takes it, optional
        Default: random, between -0.9 and 0.9 around the cell's own: zeros are corners of many functions.
    mask : array_like (B, T), optional
    constants : list of array_like or of shapes, optional
    training : bool
    directions : int
        For each array.
    step : float
        The size of a difference, which the direction's elements of about 1 are multiplied by.
    tolerance : float
        What two slopes may differ by, in units of the norm of the array's gradient.
    seed : int
        Of all random numbers.

    Returns
    -------
    GradCheck
        Shows one line per array; true if all are right. Where one is wrong, each operation of the steps is checked by
        itself, and those whose rule is wrong are named with their lines.

    Raises
    ------
    TypeError
        For what is neither a cell nor a layer with a gradient.
    ValueError
        As the call and its vjp.

    Notes
    -----
    A difference across a corner or a jump, a ``maximum`` or a comparison, is no slope. Where one fails, two smaller
    ones are tried; if it is still none, another `seed` tells whether the gradient is wrong.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> check = rk.gradcheck(rk.GRUCell(4), mask=[[1, 1, 0, 1, 1, 0]] * 3)
    >>> bool(check), [array.name for array in check.arrays]
    (True, ['x', 'initial_state', 'kernel', 'recurrent_kernel', 'bias'])
    """
    directions = positive_integer(directions, "directions")
    tolerance = number_from_zero(tolerance, "tolerance")
    if not (step := number_from_zero(step, "step")):
        raise ValueError("expected a step above 0, got 0")
    twin, rng = _Twin(layer, seed), np.random.default_rng(seed_sequence(seed))
    arrays = twin.arrays(x, initial_state, constants, rng)
    more = ({} if mask is None else {"mask": mask}) | ({"training": True} if training else {})
    outputs, pullback = twin.vjp(arrays, more)
    cotangents = _mapped(outputs, lambda y: _normal(rng, y))
    gradients, factors = _by_name(pullback(cotangents)), leaves(cotangents)
    size = sum(float((np.abs(y * g) ** 2).sum()) for y, g in zip(leaves(outputs), factors, strict=True)) ** 0.5

    def difference(name, d):
        above, below = (twin(arrays | {name: arrays[name] + s * d}, more) for s in (1.0, -1.0))
        return sum(_dot(a - b, g) for a, b, g in zip(above, below, factors, strict=True))

    def error_along(name, gradient, d) -> float:
        errors = []
        for s in (step, step / 8, step / 64):  # a smaller one where the first may have crossed a corner
            slope = (8 * difference(name, s * d) - difference(name, 2 * s * d)) / (12 * s)
            norm = max(float(np.linalg.norm(gradient)), abs(slope), _LEAST * size) or 1.0
            errors.append(abs(slope - _dot(gradient, d)) / norm)
            if errors[-1] <= tolerance:
                return errors[-1]
        return errors[0]

    checked = []
    for name, array in arrays.items():
        if (gradient := gradients.get(name)) is not None:
            errors = [error_along(name, gradient, twin.direction(name, array, rng)) for _ in range(directions)]
            error = float(np.max(errors, initial=0.0))  # NaN, too
            checked.append(CheckedArray(name, array.shape, error, error <= tolerance))
    rules = [] if all(one.ok for one in checked) else twin.wrong_rules(training, rng)
    return GradCheck(twin.name, checked, tolerance, rules)


class _Twin:
    """A copy of a layer in float64 that starts every call from the same states and random numbers."""

    def __init__(self, layer, seed):
        if isinstance(layer, Layer):
            if not callable(getattr(layer, "vjp", None)):
                raise TypeError(f"expected a cell or a layer with a gradient, {layer!r} has none")
            self.layer: Any = copy.deepcopy(layer)
            self.name = repr(layer)
        else:
            cell = copy.deepcopy(layer)
            self.layer = RNN(cell, return_sequences=True, return_state=True, dtype=_DOUBLE, seed=seed)
            self.name = repr(self.layer.cell)
        self._all = dict(_inside(self.layer))
        for one in self._all.values():
            set_precision(one, _DOUBLE)
        put_arrays(self.layer, _wide(arrays_by_name(self.layer)))
        for one in self._all.values():
            if not one.built and isinstance(one, RNN) and one.cell.built:
                one.cell._replace_weights(_wide(one.cell._all_weights()))
        for one in self._all.values():
            if hasattr(one, "__setstate__"):
                one.__setstate__({})  # a program of the old precision goes
        self._generators = {path: generator_of(one) for path, one in self._all.items()}
        self._x = self._start = self._constants = None

    def arrays(self, x, initial_state, constants, rng) -> dict[str, np.ndarray]:
        """Return all that a call reads, by name."""
        layer, takes = self.layer, inspect.signature(self.layer.vjp).parameters
        x = self._input(x, rng)
        if not layer.built:
            if isinstance(layer, RNN) and is_complex(x):
                set_precision(layer, _DOUBLE, complex_too=True)
            layer.build(_mapped(x, lambda array: array.shape))
        self._x, count = x, len(leaves(x)[0])
        if initial_state is not None:
            self._start = _mapped(initial_state, lambda a: _double(real(a, "initial_state", complex_too=True)))
        elif "initial_state" in takes:
            near = lambda start: start + _like(start, lambda: rng.uniform(-0.9, 0.9, start.shape))
            self._start = _mapped(layer.get_initial_state(count), near)
        if constants is not None:
            self._constants = [
                self._drawn(rng, (count, *c)) if _is_shape(c) else _double(real(c, "constants", complex_too=True))
                for c in constants
            ]
        found = _named("x", x) | _named("initial_state", self._start) | _named("constants", self._constants)
        self._weights = dict(layer.weights)
        return found | self._weights

    def _input(self, x, rng):
        if x is None:
            features = getattr(getattr(self.layer, "cell", None), "_feature_shape", ()) or (None,)
            shape = built_shape(self.layer) or (None, None, *features)
            fill = lambda one: tuple(_SIZES[min(i, 2)] if n is None else n for i, n in enumerate(one))
            x = list(map(fill, shape)) if isinstance(shape, list) else fill(shape)
        if isinstance(x, dict):
            return {name: self._input(one, rng) for name, one in x.items()}
        if isinstance(x, (list, tuple)) and any(_is_shape(one) or isinstance(one, np.ndarray) for one in x):
            return [self._input(one, rng) for one in x]
        if _is_shape(x):
            drawn = self._drawn(rng, x)
            return drawn + 1j * self._drawn(rng, x) if reads_complex(self.layer) else drawn
        x = real(x, "x", complex_too=True)
        return _double(x) if x.dtype.kind in "fc" else x

    @staticmethod
    def _drawn(rng, shape) -> np.ndarray:
        shape = sizes(shape, "the shape of an array to check at")
        allocation.check("an array to check at", shape)
        return rng.standard_normal(shape)

    def direction(self, name, array, rng) -> np.ndarray:
        """Return a random direction; a sparse weight keeps its zeros."""
        d = _normal(rng, array)
        return np.where(array != 0, d, 0.0) if name in self._sparse() else d

    def _sparse(self) -> set:
        cells = {path: getattr(one, "cell", getattr(one, "_cell", None)) for path, one in self._all.items()}
        return {
            f"{path}/{name}" if path else name
            for path, cell in cells.items()
            if cell is not None
            for name in cell._sparse_weights()
        }

    def __call__(self, arrays, more) -> list[np.ndarray]:
        """Return the results of a call, in a list."""
        return leaves(self._applied(call_on, arrays, more))

    def vjp(self, arrays, more):
        """Return the layer's vjp."""
        return self._applied(vjp_on, arrays, more)

    def wrong_rules(self, training, rng) -> list[str]:
        """Return the operations whose own rule is wrong, with their lines, in the graphs of all steps and functions."""
        from rnnkit.execution import rules

        steps = [getattr(one, "_execution", None) for one in self._all.values()]
        models = [one for one in self._all.values() if isinstance(one, GraphModel)]
        layers = [*self._all.values(), *(layer for one in models for layer in one._graph.fused.layers)]
        traces = [trace for one in layers for trace in getattr(one, "_traces", {}).values()]
        shapes = tuple((*(2,) * is_complex(one), *one.shape[1:]) for one in leaves(self._constants))
        found = [rules.wrong_of_step(one.step, shapes, training, rng) for one in steps if one is not None]
        return sorted(
            {told for one in (*found, *(rules.wrong_of_function(one, rng) for one in traces)) for told in one}
        )

    def _applied(self, function, arrays, more):
        for path, one in self._all.items():
            restart(one, self._generators[path])
        for name, array in self._weights.items():
            if arrays[name] is not array:
                self.layer.weights[name] = self._weights[name] = arrays[name]
        given = {}
        for what, nested in (("x", self._x), ("initial_state", self._start), ("constants", self._constants)):
            if nested is not None:
                own = iter(arrays[name] for name in _named(what, nested))
                given[what] = _mapped(nested, lambda _, own=own: next(own))
        return function(self.layer, given.pop("x"), **given, **more)


def _like(array, draw):
    """Return what is drawn, of complex numbers both parts."""
    return draw() + 1j * draw() if is_complex(array) else draw()


def _normal(rng, array) -> np.ndarray:
    return _like(array, lambda: rng.standard_normal(array.shape))


def _dot(a, b) -> float:
    """Return the sum of products, of complex numbers as of the pairs that they are."""
    return float((a * np.conj(b)).sum().real)


def _double(array) -> np.ndarray:
    return array.astype(np.complex128 if is_complex(array) else _DOUBLE)


def _wide(arrays) -> dict:
    return {name: frozen(array, _DOUBLE) for name, array in arrays.items()}


def _inside(layer, path=""):
    """Yield a layer and all inside it, with the paths that their weights' names begin with."""
    yield path, layer
    for name, part in parts_by_path(layer).items():
        yield from _inside(part, f"{path}/{name}" if path else name)


def _is_shape(value) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, numbers.Integral) for n in value)


def _is_nested(value) -> bool:
    """Tell whether this holds arrays rather than numbers."""
    return isinstance(value, dict) or (
        isinstance(value, (list, tuple)) and any(isinstance(one, np.ndarray) or _is_nested(one) for one in value)
    )


def _mapped(nested, function):
    """Return the same nesting with a function applied to each array, from the first to the last."""
    if isinstance(nested, dict):
        return {name: _mapped(one, function) for name, one in nested.items()}
    return [_mapped(one, function) for one in nested] if _is_nested(nested) else function(nested)


def _named(name, nested) -> dict:
    """Return the arrays of a nesting by name and place; one alone has no place."""
    if nested is None:
        return {}
    if not _is_nested(nested):
        return {name: nested}
    if isinstance(nested, dict):
        return {k: leaf for key, one in nested.items() for k, leaf in _named(f"{name}[{key!r}]", one).items()}
    if len(nested) == 1:
        return _named(name, nested[0])
    return {k: leaf for i, one in enumerate(nested) for k, leaf in _named(f"{name}[{i}]", one).items()}


def _by_name(gradient) -> dict:
    """Return all that a pullback gave, by name."""
    found = {name: np.asarray(array) for name, array in gradient.weights.items()}
    for what in ("x", "initial_state", "constants"):
        found |= _named(what, gradient.of(what))
    return found
