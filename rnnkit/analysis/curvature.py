"""First and second derivatives of whole calls: along a direction, by products with the Hessian, and all of them.

The step's dual (`rnnkit.compiler.autodiff.forward`) gives the results and their tangents; its gradient by the weights,
from a cotangent of the tangents, is the Hessian times the direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.analysis.duals import Along, Both, Dual, check_single, dual_of
from rnnkit.circumstances import standing_in
from rnnkit.complex_pairs import is_complex, to_complex, to_pairs
from rnnkit.execution.tangents import BY_ROW, Tangents
from rnnkit.hints import Array
from rnnkit.layers.loop import Loop
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.facts import reads_complex, reads_ids
from rnnkit.layers.support.symbolic import leaves
from rnnkit.layers.support.weight_mapping import complex_names
from rnnkit.models.graph_model import GraphModel
from rnnkit.steps.nesting import leaves_of

_ARGUMENTS = ("initial_state", "mask", "training", "constants")  # of a recurrent layer's call behind x
_AT_ONCE = 1 << 22  # numbers of x in the rows of the directions that one call takes


@tracebacks.edge
def hvp(layer: Any, x: Array, direction: Any, by: Any, of: Callable | None = None, **call: Any) -> Any:
    """Compute the Hessian of the sum of a call's outputs, times a direction.

    It is exact, and takes the time of a few gradients, whatever the sizes. Of complex outputs, it is that of the real
    part of the sum.

    Parameters
    ----------
    layer : built recurrent layer, `Loop`, `Sequential`, or functional `Model` with one output
        Of the layers of a model, the tangents have to be known, as of recurrent ones, `Dense` and functions of arrays.
    x : array_like, or list or dict of these
        As in a call.
    direction : array_like, or dict of these
        Of the shape of what `by` names, complex where that is, or a dict by name where `by` is a list.
    by : str or list of str
        Names of weights, "x", "initial_state" or "constants" (of one array each); of a loop "x" and the names of
        parameters and states; of a model with several inputs their names.
    of : callable, optional
        A NumPy function of the outputs ``(B, …)`` whose results are summed in their place; rows stay apart. Of a loop
        without rows, of ``(T, …)``.
    **call
        What else the call takes: ``mask``, ``initial_state``, ``constants``, ``training``; a loop's parameters.

    Returns
    -------
    ndarray, or dict of ndarray
        As `direction`; by a complex number, its derivative by the real part plus *i* times that by the imaginary one.

    Raises
    ------
    ValueError, TypeError
        For arguments that don't fit, and a step whose derivatives aren't known.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.loop
    ... def decay(x, h=0.0, *, rate):
    ...     h = rate * h + x
    ...     return h, h
    >>> x = np.array([1.0, 0.0, 0.0])  # outputs 1, rate, rate**2
    >>> float(rk.hvp(decay, x, 1.0, by="rate", rate=0.5))
    2.0
    """
    names, several = _names(by)
    given = direction if several else {names[0]: direction}
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise ValueError(f"expected a direction for each of {', '.join(names)} as a dict, got {given!r}")

    def ordinary(layer, x, directions, **call):
        point = _point(layer, x, call, names)
        moved = {name: point.whole(name, one) for name, one in zip(names, directions, strict=True)}
        return point.complexed(point.turned(point.curved(moved, names, of)))

    arguments, found = (x, [given[name] for name in names]), None
    if isinstance(layer, RNN) and layer.built and of is None:  # small calls are recorded, as those of layers
        found = entry.hessian_runner(layer, names).run(layer, ordinary, arguments, call)
    found = ordinary(layer, *arguments, **call) if found is None else found
    return found if several else found[names[0]]


@tracebacks.edge
def hessian(layer: Any, x: Array, by: Any, of: Callable | None = None, **call: Any) -> Any:
    """Compute all second derivatives of the sum of a call's outputs.

    Parameters
    ----------
    layer, x, by, of, **call
        As of `hvp`.

    Returns
    -------
    ndarray, or dict of dict of ndarray
        ``(*a, *a)`` for what `by` names, of shape ``a``. What has an axis of rows, as x, constants and states, has one
        in front alone, ``(B, *a, *a)``: rows have nothing to do with each other. Of several names, ``found["a"]["b"]``
        is by a, then by b. What is complex counts as both parts, with an axis of two in front of its own.

    Raises
    ------
    ValueError, TypeError
        As `hvp`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.SimpleRNN(2, seed=0)
    >>> y = layer(np.ones((1, 5, 3)))
    >>> rk.hessian(layer, np.ones((1, 5, 3)), by="recurrent_kernel").shape
    (2, 2, 2, 2)
    """
    names, several = _names(by)
    point = _point(layer, x, call, names)
    blocks = point.blocks(names, of)
    for a in names:
        for b in names:
            if b not in blocks[a]:  # by what has rows, then by a weight: the other way round
                turned, size = blocks[b][a], len(point.shapes[b])
                blocks[a][b] = np.moveaxis(turned, range(size), range(turned.ndim - size, turned.ndim))
    return blocks if several else blocks[names[0]][names[0]]


def jacobian_by(layer: Any, x: Array, by: Any, of: Callable | None = None, **call: Any) -> Any:
    """Return the `jacobian` of a whole call."""
    names, several = _names(by)
    found = _point(layer, x, call, names).slopes(names, of)
    return found if several else found[names[0]]


def _names(by) -> tuple[list[str], bool]:
    several = isinstance(by, (list, tuple))
    names = list(by) if several else [by]
    if not names or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
        raise ValueError(f"expected by as a name or a list of different names, got {by!r}")
    return names, several


def _point(layer, x, call, names) -> _Point:
    if isinstance(layer, Loop):
        point: _Point = _OfLoop(layer, x, dict(call))
    elif isinstance(layer, GraphModel):
        point = _OfModel(layer, x, dict(call))
    elif isinstance(layer, RNN):
        point = _Point(layer, x, dict(call))
    else:
        told = "expected a recurrent layer, a loop or a model of layers for derivatives"
        raise TypeError(f"{told}, got {type(layer).__name__}")
    for name in point.pairs & point.weights.keys():
        point.weights[name] = point.shapes[name] = (2, *point.weights[name])
    if unknown := [name for name in names if name not in point.shapes]:
        raise ValueError(f"expected by among {', '.join(point.shapes)}, got {unknown[0]!r}")
    return point


class _Point:
    """A layer and the arguments of a call of it, at which derivatives are taken.

    Attributes
    ----------
    shapes : dict of str to tuple
        Of everything by which there are derivatives, as the user gives it; of what has rows, without them.
    by_row : dict of str to bool
        Of what is an array with rows for the step, whether it has rows as the user gives it.
    pairs : set of str
        What is complex: it has an axis of both parts in front here, behind that of rows.
    """

    def __init__(self, layer: RNN, x, call):
        known = dict.fromkeys(_ARGUMENTS) | {"training": False} | call
        if unknown := [name for name in call if name not in _ARGUMENTS]:
            raise TypeError(f"expected {', '.join(_ARGUMENTS)} beside x, got {unknown[0]!r}")
        if not layer.built:
            raise ValueError(f"expected the layer {layer.name!r} to be built; call it first")
        check_single(layer)
        self.layer: Any = layer
        self.row_form = False
        self.x = validation.numbers(x, "x", reads_complex(layer))
        self.arguments = self.x, *(known[name] for name in _ARGUMENTS), None  # of `RNN._run`
        given = call.get("constants")
        self.constants: Any = ()
        if given is not None:
            self.constants = layer._constants(given, len(self.x), layer.dtype)
        self.states = layer._execution.step.state_shapes
        flags = {"x": [reads_complex(layer)], "initial_state": layer._spec.complex}
        flags["constants"] = layer.cell._complex_constants
        self.rows = {"x": (*([2] * reads_complex(layer)), *self.x.shape[1:])}
        if len(self.states) == 1:
            self.rows["initial_state"] = tuple(self.states[0])
        if len(self.constants) == 1:
            self.rows["constants"] = self.constants[0].shape[1:]
        self.by_row = dict.fromkeys(self.rows, True)
        self.pairs = complex_names(layer) | {name for name in self.rows if any(flags[name])}
        self.weights = {name: array.shape for name, array in layer.weights.items()}
        self.shapes: dict[str, tuple] = self.weights | self.rows

    # Of what the step sees of a direction

    def whole(self, name, value) -> np.ndarray:
        """Return a user's direction, checked; with an axis of rows, of what has one for the step."""
        shape, rows = self.shapes[name], len(self.x)
        given = (rows, *shape) if name in self.rows and self.by_row[name] else shape
        axis = len(given) - len(shape) if name in self.pairs else None
        found = validation.like(value, f"the direction of {name}", np.empty(given, self.layer.dtype), axis)
        return np.broadcast_to(found, (rows, *shape)) if name in self.rows else found

    def complexed(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by name, as `turned` gives them, those of pairs as complex ones."""
        return {n: to_complex(a, a.ndim - len(self.shapes[n])) if n in self.pairs else a for n, a in found.items()}

    def paired(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Complex derivatives by name as pairs."""
        return {n: to_pairs(a, a.ndim + 1 - len(self.shapes[n])) if is_complex(a) else a for n, a in found.items()}

    def turned(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Derivatives by arrays with rows as the user gives these: summed over what rows share."""
        return {n: a.sum(axis=0) if n in self.rows and not self.by_row[n] else a for n, a in found.items()}

    def _tangents(self, moved, times, record) -> Tangents:
        own = [name for name in moved if name in self.weights]
        states = None if "initial_state" not in moved else (moved["initial_state"],)
        constants = None if "constants" not in moved else (moved["constants"],)
        return Tangents(self._moved_x(moved), states, constants, {name: moved[name] for name in own}, times=times)

    def _moved_x(self, moved):
        """Return the tangent of x as a call has it, its pairs behind the axis of time; None for zeros."""
        found = moved.get("x")
        return np.moveaxis(found, 1, 2) if found is not None and "x" in self.pairs else found

    def _shown_x(self, x):
        """Return a cotangent of x as `rows` has it."""
        return np.moveaxis(x, 2, 1) if "x" in self.pairs else x

    def _by_name(self, gradient, x) -> dict[str, np.ndarray]:
        """Return the derivatives by the names of `rows` from those by the arrays of the step; `x` is that by x."""
        found = {"x": x}
        found |= {"initial_state": gradient.states[0]} if "initial_state" in self.rows else {}
        return found | ({"constants": gradient.constants[0]} if "constants" in self.rows else {})

    # Derivatives

    def curved(self, moved, wanted, of, times: int = 1) -> dict[str, np.ndarray]:
        """Return the Hessian along a direction, by the wanted names; of so many copies of the rows in turn."""
        weights = frozenset(name for name in wanted if name in self.weights)
        run = partial(self.layer._run, self.arguments, weights, along=partial(self._tangents, moved, times))
        if of is None:
            gradient = self._of_sum(run(sequences=False), "x" in wanted)
        else:
            both = Both(self.layer, run())
            gradient = both.pull(*self._cotangents(of, both.y, both.dy), "x" in wanted)
        states, x = gradient.states[: len(gradient.states) // 2], gradient.x
        if "x" in moved and x is not None:
            x = x[:, :, 0]
        x = None if x is None else self._shown_x(x)
        constants = gradient.constants[: len(self.constants)]
        found = self._by_name(SimpleNamespace(states=states, constants=constants), x)
        return {name: found[name] if name in self.rows else gradient.weights[name] for name in wanted}

    def _of_sum(self, result, x: bool) -> Any:
        """Return the gradient of the sum of the outputs' tangents, or of its real part; it reads no output."""
        steps = self.x.shape[1] if self.layer.return_sequences else 1
        d = np.zeros((steps, *result.last.shape[1:]), self.layer.dtype)
        d[(slice(None), 1, 0) if self.layer._execution.step.outputs is not None else (slice(None), 1)] = 1
        d.flags.writeable = False
        rows = np.broadcast_to(np.asarray(d, like=result.last), (len(result.last), *d.shape))
        return result.pull(*((rows, None) if self.layer.return_sequences else (None, rows[:, 0])), None, x)

    def _cotangents(self, of, y, dy) -> tuple[np.ndarray, np.ndarray]:
        """Return the cotangents of outputs and of their tangents, for the tangent of the sum, or of its real part."""
        if of is None:
            return np.zeros_like(y), np.ones_like(y)
        return self._summed(of, y).curved(y, dy)

    def _summed(self, of, y) -> _Sum:
        return _Sum(of, y.shape[1:], self.layer.dtype, self.row_form, is_complex(y))

    def blocks(self, names: list[str], of) -> dict[str, dict[str, np.ndarray]]:
        """Return the second derivatives by each array, then by each; by what has rows not by weights then."""
        dtype, rows = self.layer.dtype, len(self.x)
        found: dict[str, dict[str, np.ndarray]] = {}
        own = [name for name in names if name in self.weights]
        each, last = self._along_weights(own, names, of), 0
        for a in own:
            shape, first = self.shapes[a], last
            last += math.prod(shape)
            stacks = {b: np.stack([one[b] for one in each[first:last]]) for b in names}
            found[a] = {b: stack.reshape(*shape, *stack.shape[1:]) for b, stack in stacks.items()}
        with_rows = [name for name in names if name in self.rows]
        sizes = [math.prod(self.rows[name]) for name in with_rows]
        parts = [{name: np.zeros((0, rows, *self.rows[name]), dtype) for name in with_rows}]
        for some in self._some(sum(sizes)):  # directions of all of them, as rows of one call
            units, moved = np.eye(sum(sizes), dtype=dtype)[some], {}
            for name, size, last in zip(with_rows, sizes, np.cumsum(sizes), strict=True):
                unit = units[:, last - size : last].reshape(len(some), *self.rows[name])
                moved[name] = np.repeat(unit, rows, axis=0)
            curved = self.curved(moved, with_rows, of, len(some))
            parts.append({b: curved[b].reshape(len(some), rows, *self.rows[b]) for b in with_rows})
        for a, size, last in zip(with_rows, sizes, np.cumsum(sizes), strict=True):
            whole = {b: np.concatenate([part[b] for part in parts])[last - size : last] for b in with_rows}
            found[a] = {b: self._arranged(a, b, block) for b, block in whole.items()}
        return found

    def _along_weights(self, own, names, of) -> list[dict[str, np.ndarray]]:
        """Return the Hessian along each number of some weights: in one call, if rows may have weights of their own."""
        shapes, dtype = {name: self.shapes[name] for name in own}, self.layer.dtype
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        eyes = {name: np.eye(sizes[name], dtype=dtype).reshape(-1, *shapes[name]) for name in own}
        if not own or not self._takes_members(own):
            return [self.turned(self.curved({a: unit}, names, of)) for a in own for unit in eyes[a]]
        held, found, rows = self.layer.cell._all_weights().values(), [], len(self.x)
        parts = np.split(np.eye(sum(sizes.values()), dtype=dtype), np.cumsum(list(sizes.values()))[:-1], axis=1)
        units = {name: part.reshape(-1, *shapes[name]) for name, part in zip(own, parts, strict=True)}
        for some in self._some(sum(sizes.values())):
            with standing_in((array, np.broadcast_to(array, (len(some), *array.shape))) for array in held):
                curved = self.curved({name: one[some] for name, one in units.items()}, names, of, len(some))
            apart = {b: one.reshape(-1, rows, *self.rows[b]) if b in self.rows else one for b, one in curved.items()}
            found += [self.turned({b: one[k] for b, one in apart.items()}) for k in range(len(some))]
        return found

    def _takes_members(self, own) -> bool:
        """Tell whether a call along a direction of weights may have several, each for its rows."""
        execution, training = self.layer._execution, self.arguments[3]
        if not execution.takes_members(self.constants, bool(training)):
            return False
        shapes, moved = tuple(one.shape[1:] for one in self.constants), frozenset(own)
        return execution.dual(shapes, bool(training), moved, moved).plain.takes_members

    def _some(self, size) -> Iterator[np.ndarray]:
        several = max(1, _AT_ONCE // max(1, self.x.size))
        return (np.arange(first, min(first + several, size)) for first in range(0, size, several))

    def _arranged(self, a, b, block):
        """``(size of a, rows, *b)`` as the user gives both."""
        rows, shape, other = block.shape[1], self.shapes[a], self.shapes[b]
        block = block.reshape(*shape, rows, *other)
        if self.by_row[a]:
            return np.moveaxis(block, len(shape), 0)
        return block if self.by_row[b] else block.sum(axis=len(shape))

    def slopes(self, names, of) -> dict[str, np.ndarray]:
        """Return the derivatives of the sum of the outputs, or of each entry of a function of them."""
        if of is not None and (found := self._forwards(names, of)) is not None:
            return found
        y, back = self._backwards()
        if of is None:
            parts = [self.turned(back(np.full_like(y, one))) for one in ((1, 1j) if is_complex(y) else (1,))]
            if len(parts) == 1:
                return {name: parts[0][name] for name in names}
            return {n: np.stack([one[n] for one in parts], int(self.by_row.get(n, False))) for n in names}
        total = self._summed(of, y)
        value = total(y)
        rows, shape = len(value), value.shape[1:]
        by_weight = any(name in self.weights or not self.by_row[name] for name in names)
        entries = []
        for k in range(math.prod(shape)):
            d = np.zeros((rows, math.prod(shape)), self.layer.dtype)
            d[:, k] = 1
            of_rows = [d * (np.arange(rows) == r)[:, None] for r in range(rows)] if by_weight else [d]
            entries.append([back(total.pull(y, one.reshape(value.shape))) for one in of_rows])
        return {name: self._stacked(name, entries, shape) for name in names}

    def _backwards(self) -> tuple[np.ndarray, Callable]:
        """Return the outputs, and the function from their cotangent to those of everything by name."""
        outputs, pull = self.layer.vjp(**self._keywords())

        def back(d):
            found = pull([d, *[None] * len(self.states)] if self.layer.return_state else d)
            given = SimpleNamespace(states=leaves_of(found.initial_state), constants=found.constants)
            x = found.x.reshape(len(found.x), *self.rows["x"]["x" in self.pairs :])
            return self.paired({**found.weights, **self._by_name(given, x)})

        return outputs[0] if self.layer.return_state else outputs, back

    def _forwards(self, names, of) -> dict[str, np.ndarray] | None:
        """Return the `slopes` of a function, a direction at a time; None where its entries are fewer."""
        rows = len(self.x)
        outputs = self.layer(**self._keywords())
        y = outputs[0] if isinstance(outputs, tuple) else outputs
        total = self._summed(of, y)
        shape = total.traced.shapes[0]
        own = [name for name in names if name in self.weights]
        count = sum(math.prod(self.shapes[name]) for name in own) + (len(own) < len(names))
        shared = any(name in self.weights or not self.by_row[name] for name in names)
        if count > math.prod(shape) * (rows if shared else 1):
            return None
        found = {}
        for name in names:
            size = math.prod(self.shapes[name])
            some = np.arange(size)[:, None] if self._is_shared(name) else self._some(size)
            parts = [self._along(*self._units(name, part)) for part in some]
            slopes = np.concatenate([total.along(y, dy).reshape(-1, rows, *shape) for y, dy in parts])
            slopes = np.moveaxis(slopes.reshape(size, rows, *shape), 0, -1).reshape(rows, *shape, *self.shapes[name])
            found[name] = slopes[0] if self.row_form else slopes
        return found

    def _units(self, name, some) -> tuple[dict[str, np.ndarray], int]:
        """Return some unit directions of an array: as rows of one call, of a weight the one."""
        shape, rows = self.shapes[name], len(self.x)
        units = np.eye(math.prod(shape), dtype=self.layer.dtype)[some]
        if self._is_shared(name):
            return {name: units.reshape(shape)}, 1
        units = np.broadcast_to(units.reshape(len(some), 1, *shape), (len(some), rows, *shape))
        return {name: units.reshape(-1, *shape)}, len(some)

    def _is_shared(self, name) -> bool:
        """Tell whether all rows of a call have the same direction of an array: of a weight that isn't small."""
        is_sparse = name in self.weights and name in self.layer.cell._sparse_weights()
        return is_sparse or (name in self.weights and math.prod(self.shapes[name]) > BY_ROW)

    def _along(self, moved, times) -> tuple[np.ndarray, np.ndarray]:
        """Return the outputs and their tangents, of so many copies of the rows in turn."""

        def along(record):
            found = self._tangents(moved, times, record)
            found.by_row = {n: found.weights.pop(n) for n in list(found.weights) if not self._is_shared(n)}
            return found

        both = Both(self.layer, self.layer._run(self.arguments, along=along))
        return both.y, both.dy

    def _stacked(self, name, entries, shape):
        """``(B, *value, *a)`` from the gradients of each entry of the value, for all rows at once or one by one."""
        rows = len(self.x)
        if len(entries[0]) == 1:
            found = np.stack([one[0][name] for one in entries], axis=1)
        elif name in self.rows and self.by_row[name]:
            found = np.stack([np.stack([one[r][name][r] for r in range(rows)]) for one in entries], axis=1)
        else:
            found = np.stack([np.stack([self.turned(g)[name] for g in one]) for one in entries], axis=1)
        found = found.reshape(len(found), *shape, *found.shape[2:])
        return found[0] if self.row_form else found

    def _keywords(self) -> dict[str, Any]:
        return dict(zip(("sequences", *_ARGUMENTS), self.arguments, strict=False))


class _OfModel(_Point):
    """A model and the arguments of a call of it."""

    def __init__(self, model: GraphModel, x, call):
        mask = call.pop("mask", None)
        if call:
            raise TypeError(f"expected mask beside x for a model, got {next(iter(call))!r}")
        if not model.built:
            raise ValueError(f"expected the model {model.name!r} to be built; call it first")
        graph = model._graph
        if len(graph.outputs) > 1:
            raise TypeError(f"expected a model with one output for derivatives, got {', '.join(model._output_names())}")
        names = model._input_names() if len(graph.inputs) > 1 else ["x"]
        arrays, masks = model._entered(x, mask)
        self.layer: Any = model
        self.row_form, self.constants, self.states = False, (), ()
        readers = [[graph.layers[c.layer] for c in graph.calls if i in leaves(c.x)] for i in range(len(names))]
        ids = {name for name, own in zip(names, readers, strict=True) if any(reads_ids(one) for one in own)}
        pairs = {name for name, own in zip(names, readers, strict=True) if any(reads_complex(one) for one in own)}
        kinds = {name: np.result_type(model.dtype, np.complex64) if name in pairs else model.dtype for name in names}
        numbers = {n: validation.numbers(one, "x", n in pairs) for n, one in zip(names, arrays, strict=False)}
        self.given = {n: one if n in ids else one.astype(kinds[n], copy=False) for n, one in numbers.items()}
        self.masks, self.x = masks[: len(names)], self.given[names[0]]
        self.rows = {n: (*([2] * (n in pairs)), *one.shape[1:]) for n, one in self.given.items() if n not in ids}
        self.by_row = dict.fromkeys(self.rows, True)
        self.weights = {name: array.shape for name, array in model.weights.items()}
        self.shapes, self.pairs = self.weights | self.rows, complex_names(model) | pairs

    def _takes_members(self, own):
        return False

    def _is_shared(self, name):
        return name in self.weights

    def _dual(self, moved, wanted, times) -> Dual:
        """Return the dual of a call with so many copies of the rows in turn."""
        given = [np.concatenate([one] * times) for one in self.given.values()]
        masks = [None if one is None else np.concatenate([np.asarray(one)] * times) for one in self.masks]
        own = {name: moved[name] for name in self.weights if name in moved}
        moved = {n: to_complex(one, 1) if n in self.pairs and n in self.rows else one for n, one in moved.items()}
        tangents = {"x": [moved.get(name) for name in self.given]}
        return dual_of(self.layer, Along({"x": given}, tangents, masks, own, wanted))

    def curved(self, moved, wanted, of, times: int = 1):
        """See `_Point.curved`."""
        dual = self._dual(moved, frozenset(name for name in wanted if name in self.weights), times)
        (y,), (dy,) = dual.y, dual.dy
        d, d_tangent = self._cotangents(of, y, dy)
        weights, found = dual.pull([d], [d_tangent], any(name in self.rows for name in wanted))
        weights |= self.paired({n: c for n, (c, _) in zip(self.given, found["x"], strict=True) if c is not None})
        lead = {name: (times * len(self.x),) for name in self.rows}
        missing = [name for name in wanted if name not in weights]
        zeros = {n: np.zeros((*lead.get(n, ()), *self.shapes[n]), self.layer.dtype) for n in missing}
        return {name: (weights | zeros)[name] for name in wanted}

    def _along(self, moved, times):
        dual = self._dual(moved, None, times)
        return dual.y[0], dual.dy[0]

    def _keywords(self):
        both = list(self.given.values()), self.masks
        return dict(zip(("inputs", "mask"), both if len(self.given) > 1 else (one[0] for one in both), strict=True))

    def _backwards(self):
        outputs, pull = self.layer.vjp(**self._keywords())

        def back(d):
            found = pull(d)
            inputs = found.x if len(self.given) > 1 else [found.x]
            weights = {name: np.asarray(one) for name, one in found.weights.items()}
            return self.paired({**weights, **dict(zip(self.given, inputs, strict=True))})

        return outputs, back


class _OfLoop(_Point):
    """A loop and the arguments of a call; its parameters and states have names, and rows if the user gives some."""

    def __init__(self, loop: Loop, x, call):
        if refused := [name for name in ("reverse", "return_state") if name in call]:
            raise TypeError(f"expected no {refused[0]} for a derivative of {loop.__name__!r}; give x in its order")
        form, layer, given, has_rows, named = loop._entered(x, call.pop("mask", None), False, False, call)
        x, start, mask, _, constants = given
        super().__init__(layer, x, {"mask": mask, "initial_state": start, "constants": constants})
        self.loop, self.row_form, self.weights = loop, not has_rows, {}
        rows, names = len(self.x), [*loop._states, *loop._parameters]
        inner = dict(zip(loop._states, self.states, strict=True))
        self.joined = constants is not None and len(constants) == 1 != len(loop._parameters)
        of_constants = [()] * len(loop._parameters) if self.joined else [c.shape[1:] for c in self.constants]
        inner |= dict(zip(loop._parameters, of_constants, strict=True))
        self.is_numbers = form._is_numbers  # whether a step of x is a number
        of_x = self.rows["x"][:-1] if form._is_numbers else self.rows["x"]
        self.rows = {"x": of_x} | {name: tuple(inner[name]) for name in names}
        self.pairs = self.pairs & {"x"} | loop.cell.spec.complex | set(loop._complex_parameters(call))
        self.by_row = {name: np.ndim(named[name]) + (name in self.pairs) > len(inner[name]) for name in names}
        self.by_row["x"] = np.ndim(form.x) == self.x.ndim and len(form.x) == rows and has_rows
        self.shapes = dict(self.rows)

    def _moved_x(self, moved):
        found = super()._moved_x(moved)
        return found[..., None] if found is not None and self.is_numbers else found

    def _shown_x(self, x):
        return super()._shown_x(x[..., 0] if self.is_numbers else x)

    def _tangents(self, moved, times, record):
        rows = times * len(record.x)
        states = tuple(
            moved.get(name, np.zeros((rows, *self.rows[name]), self.layer.dtype)) for name in self.loop._states
        )
        constants = None
        if any(name in moved for name in self.loop._parameters):
            own = [moved.get(n, np.zeros((rows, *self.rows[n]), self.layer.dtype)) for n in self.loop._parameters]
            constants = (np.stack(own, axis=1),) if self.joined else tuple(own)
        return Tangents(self._moved_x(moved), states, constants, times=times)

    def _by_name(self, gradient, x):
        constants: Any = gradient.constants or ()
        own = np.moveaxis(constants[0], 1, 0) if self.joined else constants
        return (
            {"x": x}
            | dict(zip(self.loop._states, gradient.states, strict=True))
            | dict(zip(self.loop._parameters, own, strict=True))
        )


class _Sum:
    """A function of a layer's outputs whose results are summed, with its derivatives.

    Parameters
    ----------
    function : callable
    shape : tuple of int
        Of a row of outputs.
    dtype : dtype
    row_form : bool
        Whether the function takes one row, without the batch axis.
    has_pairs : bool
        Whether outputs are complex. Values that are have an axis of both parts in front, behind that of rows.
    """

    def __init__(self, function, shape, dtype, row_form: bool, has_pairs: bool = False):
        from rnnkit.execution.array_functions import TracedFunction  # with the compiler

        self.has_pairs, self.gives_pairs, axis = has_pairs, False, 0 if row_form else 1

        def of_pairs(y):
            found = function(to_complex(y, axis) if has_pairs else y)
            self.gives_pairs = is_complex(found)
            return to_pairs(found, axis) if self.gives_pairs else found

        own = partial(_by_row, of_pairs) if row_form else of_pairs
        shape = (2, *shape) if has_pairs else shape
        self.traced = TracedFunction(
            lambda arrays: own(arrays[0]), [shape], [True], ["float"], dtype, "of", (function,)
        )
        if len(self.traced.shapes) != 1:
            raise ValueError(f"expected `of` to give one array, got {len(self.traced.shapes)}")

    def _paired(self, y):
        return to_pairs(y, 1) if self.has_pairs else y

    def _shown(self, d):
        return to_complex(d, 1) if self.has_pairs else d

    def __call__(self, y):
        return self.traced([self._paired(y)])[0]

    def along(self, y, dy):
        """Return the tangent of the values."""
        return self.traced.along([self._paired(y)], [self._paired(dy)])[0]

    def pull(self, y, d):
        """Return the cotangent of y."""
        return self._shown(self.traced.pull([self._paired(y)], [np.asarray(d, y.real.dtype)])[0])

    def curved(self, y, dy):
        """Return the derivatives of the sum's tangent by y and by dy: the Hessian times dy, and the gradient."""
        shape = (len(y), *self.traced.shapes[0])
        zeros, ones = np.zeros(shape, y.real.dtype), np.ones(shape, y.real.dtype)
        if self.gives_pairs:
            ones[:, 1] = 0  # of the real part
        found = self.traced.curved([self._paired(y)], [self._paired(dy)], [zeros], [ones])
        return tuple(self._shown(one) for (one,) in found)


def _by_row(function, y):
    """Return a function of a row for rows, of numbers or symbols."""
    if isinstance(y, np.ndarray):
        return np.stack([function(one) for one in y])
    found = function(y.made(y.node))
    return found.made(found.node, 0)
