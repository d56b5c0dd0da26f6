"""A loop over time as a function: a step of one row, whose states are its arguments, over arrays and series."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial, update_wrapper
from types import SimpleNamespace
from typing import Any, overload

import numpy as np

from rnnkit import tracebacks
from rnnkit.arguments import positive_integer
from rnnkit.arrays import real
from rnnkit.backends.shared.failures import StepFailed
from rnnkit.complex_pairs import is_complex
from rnnkit.hints import Array, DType, Seed
from rnnkit.layers.rnn import RNN
from rnnkit.layers.stream import Stream
from rnnkit.layers.support import validation
from rnnkit.layers.support.display import Text
from rnnkit.layers.support.loop_forms import Arrays, form_of
from rnnkit.steps.cell import LOOP_LIMIT, Values, cell_name, returned_wrong, split_step_result
from rnnkit.steps.declared import DeclaredCell, keyed
from rnnkit.steps.nesting import Nesting, leaves_of, mapped
from rnnkit.steps.rows import IntegerStarts, is_integer
from rnnkit.steps.states import named_states

_MOST = 64  # kinds of arrays that are remembered
_NUMBERS = {float, int, np.float64, np.float32}
_REQUIRED = inspect.Parameter.empty
_KINDS = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
_TAKEN = "x", "mask", "reverse", "return_state", "checkpoint", "truncate", "batch", "features", "dtype"


class LoopCell(DeclaredCell):
    """Cell of a loop: its keywords are the loop's parameters, and those that are None come as constants."""

    sees_arrays: dict[tuple, bool]  # by the parameters' shapes: whether the step can't be read with x as a number
    is_loops = False  # whether a loop calls it: its layers share compiled code, and numbers may come as a vector

    def _open(self) -> list[str]:
        return [name for name, value in self.keywords.items() if value is None]

    def _takes(self, name):
        return name == "constants" and bool(self._open())

    def _content(self):
        return self if self.is_loops else None

    def _advance_one(self, x, states, constants, training, draws, read=None):
        names = self._open()
        states, draws, random = self._drawn(states, draws)
        if self.is_loops and len(constants) == 1 != len(names):
            constants = [constants[0][i] for i in range(len(names))]
        if len(constants) != len(names):
            raise ValueError(f"expected constants for {', '.join(names)} of {cell_name(self)!r}; got {len(constants)}")
        step = type(self).step if read is None else read(type(self).step, self.loop_limit)
        given = self.keywords | dict(zip(names, constants, strict=True)) | ({"draws": Values(draws)} if random else {})

        def advanced(x):
            output, new = split_step_result(step(x, *states, **given), self)
            for name, start, one in zip(self.spec.states, states, new, strict=False):
                if np.shape(one) != np.shape(start):
                    hint = f"; x is {x.shape} at each step: B rows of numbers are x[:, :, None]" if np.shape(x) else ""
                    what = f"expected {name} of {cell_name(self)!r} of shape {np.shape(start)}, as it starts"
                    raise returned_wrong(self, f"{what}; got {np.shape(one)}{hint}")
            return output, (*new, *random)

        if x.shape != (1,):
            return advanced(x)
        ways, shapes = (
            [lambda: advanced(x[0]), lambda: advanced(x)],
            tuple(np.shape(one) for name, one in given.items() if name != "draws"),
        )
        if shapes in self.sees_arrays:
            return ways[self.sees_arrays[shapes]]()
        if read is not None:
            self.sees_arrays[shapes], found = read.first_readable(ways)
            return found
        try:  # of a step that can't be read, under rk.eager()
            return ways[0]()
        except (TypeError, IndexError, ValueError):
            return ways[1]()


@dataclass(eq=False)
class LoopGradients:
    """Gradients of a loop: for every input of the call the cotangent, in the input's shape.

    Attributes
    ----------
    x : ndarray, or the list, Series, frame or DataArray that the input was
    states, parameters : dict of str to ndarray
        Cotangents of the states' starts, and of parameters, by name; summed for those that all rows share.
    """

    x: Any
    states: dict[str, Any]
    parameters: dict[str, Any]


class Loop:
    """Loop over time, made by `loop` from a step; not made by hand.

    Attributes
    ----------
    function : callable
        The step, as it was written.
    cell : type
        Makes cells of it for layers: ``rk.RNN(f.cell(omega=0.1))``. Parameters that have no default and aren't given
        are the layer's ``constants``, in their order.
    """

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable, loop_limit: int = LOOP_LIMIT, draws: Any = None, seed: Seed = None):
        update_wrapper(self, function)
        self.function, self._seed = function, seed
        starts, parameters = _read_signature(function, bool(draws))
        states, self._draws = keyed(starts, dict(draws or {}))
        if any(draw.every == "call" for name, draw in self._draws.items() if name not in states):
            raise ValueError(f"expected draws of {function.__name__!r} with every='step'")
        starts |= {name: np.zeros(shape) for name, shape in states.items() if name not in starts}
        self._states, self._parameters, self._names = tuple(starts), tuple(parameters), (*starts, *parameters)
        self._starts = set(starts)
        known = {name: one for name, one in (starts | parameters).items() if one is not _REQUIRED}
        if none := [name for name, one in known.items() if one is None]:
            raise TypeError(
                f"expected a number or an array as the default of {none[0]}, got None: leave the default out, or give "
                "a number that changes nothing, such as np.inf"
            )
        self._defaults = {
            n: one if type(one) in _NUMBERS else real(one, f"the default of {n}", complex_too=True)
            for n, one in known.items()
        }
        self._shapes = {name: np.shape(one) for name, one in self._defaults.items()}
        self._arrays = {name for name, shape in self._shapes.items() if shape}
        self._integers = {name for name in starts if is_integer(known[name])}
        self._layers: dict[tuple, RNN] = {}
        self._readings: dict[tuple, dict] = {}  # the shapes that the step sees, by those of the arguments
        self.cell: Any = self._cell_class(parameters, loop_limit)
        self._complex_defaults = {name for name in parameters if is_complex(known.get(name))}
        self._cells: dict[tuple, LoopCell] = {}  # by whether x is complex, and by the complex parameters

    def _cell_class(self, parameters, loop_limit) -> type[LoopCell]:
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None if one is _REQUIRED else one)
            for name, one in parameters.items()
        ]
        spec = SimpleNamespace(
            states={name: self._shapes[name] for name in self._states},
            complex={name for name in self._states if is_complex(self._defaults[name])},
            weights={},
            initial={name: self._defaults[name] for name in self._states},
            draws=self._draws,
            size_names=(),
            hyperparameters=self._parameters,
            optional=("constants",),
            takes_weights=False,
            vjp_names=(),
            named=named_states(self._states),
            signature=inspect.Signature(keywords),
        )
        own = {"step": staticmethod(self.function), "spec": spec, "per_row": True, "__signature__": spec.signature}
        own["_integer_starts"] = IntegerStarts(
            {i: name for i, name in enumerate(self._states) if name in self._integers}
        )
        own |= {"loop_limit": positive_integer(loop_limit, "loop_limit"), "sees_arrays": {}}
        own |= {"__doc__": self.__doc__, "__module__": self.__module__, "__qualname__": f"{self.__qualname__}.cell"}
        return type(self.__name__, (LoopCell,), own)

    def __call__(
        self, x: Array, *, mask: Array = None, reverse: bool = False, return_state: bool = False, **given: Any
    ) -> Any:
        """Run the loop over the sequences of `x`, see `loop`.

        Parameters
        ----------
        x : array_like, list of sequences, Series, frame or DataArray
        mask : array_like ``(T,)`` or ``(B, T)``, optional
            Non-zero uses the step; a masked step holds all states and the output.
        reverse : bool
            From the last step to the first; outputs stand at their own steps.
        return_state : bool
            Return ``(output, *states)``, with the states after the last step.
        **given
            Parameters, and where states start, by their names.
        """
        try:
            form, layer, arguments, has_rows, _ = self._entered(x, mask, reverse, return_state, given)
            with nullcontext() if not reverse else _turned(form):
                return _shown(form, layer(*arguments), has_rows, reverse, return_state)
        except Exception as error:
            tracebacks.shorten(error)
            raise

    @tracebacks.edge
    def vjp(
        self,
        x: Array,
        *,
        mask: Array = None,
        reverse: bool = False,
        return_state: bool = False,
        checkpoint: Any = None,
        truncate: Any = None,
        **given: Any,
    ) -> Any:
        """Run the loop, and return the function from the cotangents of its results to those of its inputs.

        Parameters
        ----------
        x, mask, reverse, return_state, **given
            As in a call.
        checkpoint, truncate
            As in `RNN.vjp`.

        Returns
        -------
        outputs
            The same bits as the call's.
        pullback : callable
            ``pullback(d_outputs)``, with cotangents nested as the outputs, None for zeros, gives `LoopGradients`:
            ``.parameters`` and ``.states``, dicts by name, and ``.x``.

        Raises
        ------
        ValueError, TypeError
            As a call; and for a step whose gradient isn't known.
        """
        form, layer, arguments, has_rows, named = self._entered(x, mask, reverse, return_state, given)
        more = {name: one for name, one in (("checkpoint", checkpoint), ("truncate", truncate)) if one is not None}
        with nullcontext() if not reverse else _turned(form):
            found, pull = layer.vjp(*arguments, **more)
        back = _Back(self, form, found, pull, has_rows, reverse, return_state, named)
        return _shown(form, found, has_rows, reverse, return_state), back

    @tracebacks.edge
    def stream(
        self, batch: int | None = None, *, features: int | None = None, dtype: DType = "float64", **given: Any
    ) -> LoopStream:
        """Return a stream that runs the loop one step at a time, with the bits of a call.

        Parameters
        ----------
        batch : int, optional
            The number of sequences side by side; by default one, or as many as parameters or starts have rows.
        features : int, optional
            The features of a step; by default, a step is a number.
        dtype : {"float64", "float32", "complex128", "complex64"}
            The dtype of `x`.
        **given
            As in a call.

        Returns
        -------
        LoopStream
            ``stream.step(x)`` gives the next output, ``stream.states`` the states by name.
        """
        shape = (1 if features is None else positive_integer(features, "features"),)
        try:
            precision, is_pairs = validation.parts_of_dtype(dtype)
            precision = validation.floating(precision)
            kind = np.result_type(precision, np.complex64) if is_pairs else precision
            layer = self._layer(kind, shape, False, self._complex_parameters(given))
            start, constants, rows, _ = self._spread(given, batch, layer)
            return LoopStream(layer, rows, constants, start)
        except ValueError as error:
            if features is None:
                error.add_note("without features=, a stream's step is a number; stream(features=F) takes (F,)")
            raise

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step was compiled, for each kind of input that there was, as `RNN.explain`."""
        texts = [layer.explain(source, graph) for layer in dict.fromkeys(self._layers.values())]
        return Text("\n\n".join(dict.fromkeys(texts)) or f"{self.__name__}: not compiled yet; it is at the first call")

    def _entered(self, x, mask, reverse, return_state, given) -> tuple:
        form = form_of(x)
        x = form.x
        key = x.dtype, x.shape[2:], return_state, self._complex_parameters(given)
        layer = self._layers.get(key)
        if layer is None:
            dtype = validation.precision_of(validation.numbers(x, "x", complex_too=True))
            dtype = np.result_type(dtype, np.complex64) if is_complex(x) else dtype
            layer = self._layers[key] = self._layer(dtype, *key[1:])
        start, constants, rows, named = self._spread(given, len(x) if form.has_rows else None, layer)
        if rows is not None and len(x) != rows:
            x = np.broadcast_to(x, (rows, *x.shape[1:]))
        mask = form.mask(mask, x)
        if reverse:
            x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
        return form, layer, (x, start, mask, False, constants), rows is not None, named

    def _cell_for(self, dtype, complex_parameters) -> LoopCell:
        key = dtype.kind == "c", complex_parameters
        if key not in self._cells:
            made = self.cell(**dict.fromkeys(self._parameters))
            made.is_loops = True
            if complex_parameters:
                made._complex_constants = tuple(name in complex_parameters for name in self._parameters)
            self._cells.setdefault(key, made)
        return self._cells[key]

    def _complex_parameters(self, given) -> tuple[str, ...]:
        """Return the names of the parameters that are complex numbers, given or by default."""
        if not self._complex_defaults and not any(map(is_complex, given.values())):
            return ()
        return tuple(n for n in self._parameters if is_complex(given.get(n, self._defaults.get(n))))

    def _layer(self, dtype, shape, return_state, complex_parameters=()) -> RNN:
        key = dtype, shape, return_state, complex_parameters
        layer = self._layers.get(key)
        if layer is None:
            cell = self._cell_for(dtype, complex_parameters)
            made = RNN(cell, True, return_state, dtype=dtype, seed=self._seed, name=self.__name__)
            made.build((None, None, *shape))
            layer = self._layers.setdefault(key, made)
        return layer

    def _spread(self, given, rows, layer):
        """Return starts, if any are given, and constants with an axis of rows; the number of rows; all values."""
        named = self._defaults | given
        names = self._parameters if self._starts.isdisjoint(given) else self._names
        try:
            values = [named[name] for name in names]
        except KeyError:
            raise TypeError(self._wrong_names(given)) from None
        if len(named) != len(self._names):
            raise TypeError(self._wrong_names(given))
        split = len(names) - len(self._parameters)
        if _NUMBERS.issuperset(map(type, values)) and self._arrays.isdisjoint(given):
            numbers = np.array([values], layer.dtype)
            if rows is not None and rows != 1:
                numbers = np.repeat(numbers, rows, axis=0)
            start, own = ([*numbers.T[:split].copy()], numbers[:, split:]) if split else (None, numbers)
            constants = [own[:, 0] if own.shape[1] == 1 else own]
        else:
            arrays, rows = self._with_rows(names, values, rows, layer)
            start, constants = arrays[:split] or None, _joined(arrays[split:])
        return start, constants if self._parameters else None, rows, named

    def _with_rows(self, names, values, rows, layer):
        pairs = self.cell.spec.complex | set(self._parameters)  # which may be complex
        arrays = {n: validation.numbers(one, n, n in pairs) for n, one in zip(names, values, strict=True)}
        shapes, of = self._shapes_in_a_row(arrays, rows, layer), "x"
        for name, one in arrays.items():
            if one.shape == shapes[name]:
                continue
            if one.shape[1:] != shapes[name]:
                raise ValueError(
                    f"expected {name} of shape {shapes[name]}, or with rows in front of it; got {one.shape}"
                )
            if rows in (None, 1):
                rows, of = len(one), name
            elif len(one) not in (1, rows):
                hint = "" if name in self._shapes else "; an array that rows share may have a default of its shape"
                raise ValueError(f"expected {name} with {rows} rows, as {of} has; got {len(one)}{hint}")
        count = 1 if rows is None else rows
        kinds = {False: layer.dtype, True: np.result_type(layer.dtype, np.complex64)}
        given = ((n, one.astype(kinds[is_complex(one)])) for n, one in arrays.items())
        return [np.broadcast_to(one, (count, *shapes[n])) for n, one in given], rows

    def _shapes_in_a_row(self, arrays, rows, layer) -> dict[str, tuple]:
        """Return the shape of each that the step sees: that of its default, else one with which it can be read."""
        one_row = rows in (None, 1)
        plain = {name: self._shapes.get(name, one.shape) for name, one in arrays.items()}
        free = {n: one.shape[1:] for n, one in arrays.items() if n not in self._shapes and one.ndim}
        by_row = plain | {n: shape for n, shape in free.items() if one_row or len(arrays[n]) in (1, rows)}
        if plain == by_row:
            return plain
        key = layer, one_row, *plain.items(), *by_row.items()
        if key not in self._readings:
            if len(self._readings) >= _MOST:
                self._readings.clear()
            pairs = {name: (2,) if is_complex(one) else () for name, one in arrays.items()}
            several = [[np.empty((1, *pairs[n], *way[n])) for n in self._parameters] for way in (plain, by_row)]
            step, constants = layer._execution.step, list(map(_joined, several))
            is_plain, is_by_row = map(step.is_readable, constants)
            if not is_plain and not is_by_row:  # as under rk.eager()
                is_plain, is_by_row = (step.is_readable(one, run=True) for one in constants)
            self._readings[key] = plain if is_plain and (one_row or not is_by_row) else by_row
        return self._readings[key]

    def _wrong_names(self, given) -> str:
        if unknown := [name for name in given if name not in self._names]:
            return f"expected names of {self!r}, or mask, reverse and return_state; got {', '.join(unknown)}"
        lacking = ", ".join(name for name in self._parameters if name not in self._defaults | given)
        return f"expected {lacking}, for which {self!r} has no default; got {', '.join(given) or 'nothing'}"

    def __reduce__(self):
        return self.__qualname__  # by its name, as a function

    def __repr__(self) -> str:
        return f"{self.__name__}{inspect.signature(self.function)}"


class LoopStream(Stream):
    """A loop one step at a time, see `Loop.stream` and `Stream`; without rows, arrays have no axis of them."""

    def __init__(self, layer: RNN, batch: Any = None, constants: Array = None, initial_state: Array = None):
        self._has_rows = batch is not None
        super().__init__(layer, batch if self._has_rows else 1, constants, initial_state)

    def step(self, x: Array) -> Any:  # type: ignore[override]  # a loop's results are not those of its layer
        """Compute the output of the next step.

        Parameters
        ----------
        x : number or array_like ``(F,)``, with rows also ``(B,)`` or ``(B, F)``
            The next step; without an axis of rows, it is the same for all.

        Returns
        -------
        number or ndarray, nested as the step's output
        """
        x = validation.numbers(x, "x", self.layer._reads_complex)
        one = () if self._features == (1,) else self._features
        shapes = [one, *([(self.batch, *one), (self.batch, *self._features)] if self._has_rows else [self._features])]
        if x.shape not in shapes:
            what = f"of shape {one}" if one else "as one number"
            rows = f", or {(self.batch, *one)} for {self.batch} rows" if self._has_rows else ""
            hint = "" if one else "; stream(features=F) takes steps of shape (F,)"
            raise ValueError(f"expected x {what}{rows}; got {x.shape}{hint}")
        if x.shape == one or (self._has_rows and x.shape == (self.batch, *one)):
            x = np.broadcast_to(x.reshape(-1, *self._features), (self.batch, *self._features))
        output = super().step(x)
        return output if self._has_rows else mapped(output, lambda y: y[0])

    @property
    def states(self) -> Any:
        """Copies of the states, by name."""
        states = zip(self.layer.cell.spec.states, super().states, strict=True)
        return {name: one if self._has_rows else one[0] for name, one in states}

    def __getstate__(self) -> Any:
        found = super().__getstate__()
        layer, batch, *more = found["given"]
        return found | {"given": (layer, batch if self._has_rows else None, *more)}


@contextmanager
def _turned(form):
    """Count the steps of errors inside from the other end."""
    try:
        yield
    except StepFailed as error:
        raise error.at(error.row, form.x.shape[1] - 1 - error.step) from None


def _shown(form, found, has_rows, reverse, return_state):
    """Return the result of a loop from that of its layer."""
    if return_state:
        states = found[1:] if has_rows else [state[0] for state in found[1:]]
        return (_shown(form, found[0], has_rows, reverse, False), *states)
    if type(found) is not np.ndarray:
        return mapped(found, lambda one: _shown(form, one, has_rows, reverse, False))
    return form.shown(np.ascontiguousarray(found[:, ::-1]) if reverse else found, has_rows)


@dataclass(eq=False, slots=True)
class _Back:
    """Pullback of a loop's call: from the cotangents of its results to those of all inputs, by the layer's pullback."""

    loop: Loop
    form: Arrays
    found: Any
    pull: Callable
    has_rows: bool
    reverse: bool
    return_state: bool
    named: dict[str, Any]

    @tracebacks.edge
    def __call__(self, d_outputs) -> LoopGradients:
        with nullcontext() if not self.reverse else _turned(self.form):
            return self._gradients(self.pull(self._cotangents(d_outputs)))

    def _cotangents(self, given):
        """Return the cotangents of the layer's results, zeros for None."""
        if not self.return_state:
            return self._of_outputs(given, self.found)
        if not isinstance(given, (list, tuple)) or len(given) != len(self.found):
            names = ", ".join(("output", *self.loop._states))
            raise ValueError(f"expected d_outputs as ({names}), since the call had return_state; got {given!r}")
        states = [self._of_state(d, state) for d, state in zip(given[1:], self.found[1:], strict=True)]
        return [self._of_outputs(given[0], self.found[0]), *states]

    def _of_outputs(self, given, outputs):
        nesting, arrays = Nesting(outputs, 0), leaves_of(outputs)
        leaves = [None] * len(arrays) if given is None else nesting.leaves(given, "d_outputs")
        return nesting.packed([self._of_output(d, y) for d, y in zip(leaves, arrays, strict=True)])

    def _of_output(self, d, y):
        d = np.zeros_like(y) if d is None else self.form.taken(d, y, self.has_rows)
        return d[:, ::-1] if self.reverse else d

    def _of_state(self, d, state):
        found = np.zeros_like(state) if d is None else validation.numbers(d, "d_outputs", is_complex(state))
        return found if d is None or self.has_rows else found[None]

    def _gradients(self, found) -> LoopGradients:
        x = _gathered(found.x[:, ::-1] if self.reverse else found.x, self.form.x.shape)
        constants: Any = found.constants or ()
        if len(constants) == 1 != len(self.loop._parameters):
            constants = np.moveaxis(constants[0], 1, 0)
        arrays = zip(self.loop._names, [*found.initial_state, *constants], strict=True)
        named = {name: _gathered(d, np.shape(self.named[name])) for name, d in arrays}
        states = {name: named.pop(name) for name in self.loop._states}
        return LoopGradients(self.form.gradient(x), states, named)


def _joined(constants):
    """Return numbers as one vector for each row, which takes less time than several arrays."""
    if len(constants) > 1 and all(one.ndim == 1 and not is_complex(one) for one in constants):
        return [np.stack(constants, axis=1)]
    return constants


def _gathered(d, shape):
    """Return the cotangent ``(B, …)`` of an argument of this shape, summed over the rows that shared it."""
    if len(shape) < d.ndim:
        return d.sum(axis=0)
    return d if len(d) == shape[0] else d.sum(axis=0, keepdims=True)


def _read_signature(function, draws: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the states' starts, and the parameters with their defaults, by name; without `draws`."""
    if not inspect.isfunction(function):
        raise TypeError(f"expected a function of one step under rk.loop, got {type(function).__name__}")
    found = list(inspect.signature(function).parameters.values())
    starts = {p.name: p.default for p in found[1:] if p.kind in _KINDS}
    parameters = {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}
    fits = found and found[0].kind in _KINDS and len(found) == 1 + len(starts) + len(parameters)
    if draws and parameters.pop("draws", None) is None:
        raise ValueError(f"expected {function.__name__!r} with draws behind the star, since it draws at each step")
    if not fits or not starts or any(one is _REQUIRED for one in starts.values()):
        raise ValueError(
            f"expected {function.__name__}(x, state=start, …, *, parameter, …), with x, at least one state and where "
            f"each starts; got {function.__name__}{inspect.signature(function)}"
        )
    if taken := [name for name in (*starts, *parameters) if name in _TAKEN]:
        raise ValueError(f"expected other names than {', '.join(_TAKEN)}, which a loop's methods take; got {taken[0]}")
    return starts, parameters


@overload
def loop(function: Callable) -> Loop: ...


@overload
def loop(*, loop_limit: int = ..., draws: Any = ..., seed: Seed = ...) -> Callable[[Callable], Loop]: ...


def loop(function: Any = None, *, loop_limit: int = LOOP_LIMIT, draws: Any = None, seed: Seed = None) -> Any:
    """Make a loop over time of a step as one writes it for numba: a compiled function with a gradient, masks and rows.

    For one sequence it equals::

        def f(x, h=start, *, omega):
            outputs = []
            for x_t in x:
                output, h = function(x_t, h, omega=omega)
                outputs.append(output)
            return outputs

    Parameters
    ----------
    function : callable
        ``function(x, h=0.0, …, *, omega, …)``, which returns ``(output, (h, …))``. Its first argument is a step of the
        input. Those with defaults are states: the default, a number or an array, is where one starts, and its shape;
        a complex one makes the state complex. The input and parameters may be complex, too.
        Arguments behind the star are parameters. Inside, all are floats of the call's
        precision. The step may decide by their values, as `cell` says of ``per_row``.
    loop_limit : int
        The most rounds of a loop inside the step, for ``@rk.loop(loop_limit=…)``: more are an error.
    draws : dict of str to Draw, optional
        Random numbers that each step has anew, ``Draw(…, every="step")``; the function takes ``draws`` behind the star.
        The generator stands in a further state, ``random``, see `Draw`.
    seed : int or numpy.random.Generator, optional
        The seed or generator of the draws. A call goes on where the one before it ended.

    Returns
    -------
    Loop
        ``f(x, *, mask=None, reverse=False, return_state=False, **given)``, see Notes; `Loop.vjp`, `Loop.stream`,
        `Loop.explain`; and ``f.cell`` for layers.

    Raises
    ------
    TypeError, ValueError
        For what isn't such a function.

    Notes
    -----
    ``x`` is ``(T,)``, one sequence of numbers; ``(T, F)``, one of F features; or ``(B, T, F)``, B rows of these. The
    step sees ``(F,)``, and of one feature a number, unless it can't be read so: one that takes ``x[0]``. Any array of
    two axes is ``(T, F)``: B sequences of numbers are ``x[:, :, None]``, or the list of them. A list of arrays
    is one of sequences, of any lengths. A Series or frame of pandas or polars is one sequence, with columns as
    features. A DataArray of xarray is read by the names of its dimensions: time, feature, and another one for rows.

    Parameters and starts, `given` by name, are of the shape of their default, or have a first axis of rows, which is
    theirs alone if `x` has none. A parameter without a default may be a number or any array: where `x` has rows, one of
    as many entries is by row if the step can be read so; where it has none, if the step can't be read with it as it is.
    A default avoids this choice. Arrays without an axis of rows are shared by all rows, as is `x`.

    Results have the axes of rows, where anything had one, and of time, and are nested as the step's output. Without
    rows, a Series or frame gives a Series with its index, or a frame where the output is an array; of several outputs,
    each. A list gives lists. The first call of a dtype of x decides nothing for others: float32 and float64 are
    computed in their own precision, integers in float32.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.loop
    ... def smoothed(x, level=0.0, *, alpha):
    ...     level = level + alpha * (x - level)
    ...     return level, level
    >>> smoothed(np.array([1.0, 2.0, 3.0]), alpha=0.5)
    array([0.5  , 1.25 , 2.125])
    >>> y, pull = smoothed.vjp(np.array([1.0, 2.0, 3.0]), alpha=0.5)
    >>> float(pull(np.ones(3)).parameters["alpha"])
    5.75
    >>> smoothed(np.array([1.0, 2.0, 3.0]), alpha=[0.5, 1.0], level=1.0)
    array([[1.  , 1.5 , 2.25],
           [1.  , 2.  , 3.  ]])
    """
    given = {"loop_limit": loop_limit, "draws": draws, "seed": seed}
    return partial(Loop, **given) if function is None else Loop(function, **given)
