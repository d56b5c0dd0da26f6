"""A built cell as the compiler, the engine and the layers see it."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from rnnkit import allocation, tracebacks
from rnnkit.arguments import is_own
from rnnkit.arrays import real
from rnnkit.complex_pairs import is_complex, to_complex, to_pairs
from rnnkit.steps.cell import Cell, call_initial, cell_name, returned_wrong
from rnnkit.steps.nesting import Nesting, is_shape, leaves_of

READING: dict[str, Callable] = {}  # functions for the output's shape of a traced step: the execution registers them


class Step:
    """A built cell as the code below it sees it: flat tuples of states, weights by name, checked returns.

    Nested inputs and outputs are one array of features, of which the cell sees the parts.
    """

    def __init__(self, cell: Cell, feature_shape):
        self.cell = cell
        self.name = cell_name(cell)
        self.per_row = any(one.per_row for _, one in leaves(cell))  # whether a cell's step sees one row
        if cell.per_row and cell._has_vjp():
            raise ValueError(f"expected {self.name!r} without a vjp of its own, since its step is of one row")
        self.inputs = feature_shape if isinstance(feature_shape, Nesting) else None
        self.outputs: Nesting | None = None  # the output's nesting, known once the step ran
        self.feature_shape = self.inputs.shape if self.inputs else tuple(feature_shape)
        self.states = cell._states()
        self.state_shapes = self.states.shapes
        self.weight_shapes = {name: array.shape for name, array in cell._all_weights().items()}
        self.takes_constants = cell._takes("constants")
        self._draws = cell._draws(self.feature_shape)
        self.draws = {name: shape for name, (_, shape) in self._draws.items()}
        of_a_row = [("the features", self.feature_shape), *(("a state", shape) for shape in self.state_shapes)]
        of_a_row += [(f"the draw {name!r}", shape) for name, shape in self.draws.items()]
        for what, shape in of_a_row:
            allocation.check(f"{what} of {self.name!r}", shape)
        if cell._has_vjp() and self.has_complex:
            raise ValueError(f"expected {self.name!r} without a vjp of its own, since it has complex numbers")
        self.starts_at_zero, self.starts_alike = cell._starts_at_zero(), cell._starts_alike()
        self.starts_by_own_code = _starts_by_own_code(cell)  # not by a user's code, which may do anything
        self._probes: dict = {}
        # Calls in which the step decides by values, and so takes one row at a time: (training, shapes of constants).
        self.by_row: set[tuple] = set()

    @property
    def has_complex(self) -> bool:
        """Whether it takes complex numbers, has them as states or weights, or gives them; programs have pairs."""
        nestings = [one for one in (self.inputs, self.outputs) if one is not None]
        return any([*self.states.complex, *self.cell._complex_weights(), *self.cell._complex_constants,
                    *(c for one in nestings for c in one.complex)])  # fmt: skip

    def bind(self, weights: Mapping[str, object]):
        """Return the step with weights: ``advance(x, states, constants, draws, training) -> (output, states)``."""
        advance = self._advance(weights)

        def advance_rows(x, states, constants=(), draws=MappingProxyType({}), training=False):
            if not len(x) or not self._is_by_row(constants, training):
                return advance(x, states, constants, draws, training)
            results = [advance(*_row(r, x, states, constants, draws), training) for r in range(len(x))]
            outputs, states = zip(*results, strict=True)
            return np.concatenate(outputs), tuple(np.concatenate(s) for s in zip(*states, strict=True))

        return advance_rows

    def _is_by_row(self, constants, training):
        return (training, tuple(c.shape[1:] for c in constants)) in self.by_row

    def _advance(self, weights):
        cell = self.cell._bound(weights)

        @tracebacks.door
        def advance(x, states, constants=(), draws=MappingProxyType({}), training=False):
            try:
                x = x if self.inputs is None else self.inputs.packed(self.inputs.parted(x, 1))
                flags = self.cell._complex_constants
                if any(flags):
                    constants = [to_complex(one, 1) if c else one for one, c in zip(constants, flags, strict=True)]
                if any(flags := self.states.complex):
                    states = [to_complex(one, 1) if c else one for one, c in zip(states, flags, strict=True)]
                output, new = cell._advance(x, tuple(states), tuple(constants), training, draws)
            except Exception as error:
                if isinstance(error, IndexError) and self.takes_constants and not len(constants):
                    missing = ValueError(f"expected constants, which the step of {self.name!r} takes; got none")
                    raise missing.with_traceback(error.__traceback__) from None
                tracebacks.name_shapes(error)
                raise
            return self._check(output, new)

        return advance

    def bind_vjp(self, weights: Mapping[str, object]):
        """Return the cell's own vjp with these weights.

        ``pull(x, states, constants, draws, training, d_output, d_states) -> (d_x, d_states, d_weights, d_constants)``.
        """
        if self.inputs or self.outputs:
            raise ValueError(f"expected {self.name!r} without a vjp of its own, since its arrays are nested")
        cell = self.cell._bound(weights)

        @tracebacks.door
        def pull(x, states, constants, draws, training, d_output, d_states):
            return cell._pull(x, tuple(states), tuple(constants), training, draws, d_output, tuple(d_states))

        def pull_rows(x, states, constants, draws, training, d_output, d_states):
            if not self._is_by_row(constants, training):
                return pull(x, states, constants, draws, training, d_output, d_states)
            results = []
            for r in range(len(x)):
                x_r, states_r, constants_r, draws_r = _row(r, x, states, constants, draws)
                d = d_output[r : r + 1], _rows(d_states, r)
                results.append(pull(x_r, states_r, constants_r, draws_r, training, *d))
            d_x, d_states, d_weights, d_constants = zip(*results, strict=True)
            total: dict = {}
            for one in d_weights:
                total |= {name: total.get(name, 0) + array for name, array in one.items()}
            d_states, d_constants = (
                tuple(np.concatenate(d) for d in zip(*several, strict=True)) for several in (d_states, d_constants)
            )
            return np.concatenate(d_x), d_states, total, d_constants

        return pull_rows

    def __call__(self, x, states, weights, constants=(), draws=MappingProxyType({}), training=False):
        """Return the results of one step on all rows at once: ``(output, tuple of new states)``."""
        return self._advance(weights)(x, states, constants, draws, training)

    def _check(self, output, new):
        if len(new) != len(self.state_shapes):
            what = f"expected the step of {self.name!r} to return {len(self.state_shapes)} states, got {len(new)}"
            raise returned_wrong(self.cell, what)
        flags = self.states.complex
        for i, (state, shape) in enumerate(zip(new, self.states.own_shapes, strict=True)):
            if is_complex(state) and not flags[i]:
                hint = 'declare it as rk.State(shape, "complex"), or in a loop start it with 0j'
                what = f"expected state {i} of {self.name!r} of real numbers, got complex ones; {hint}"
                raise returned_wrong(self.cell, what)
            got = tuple(np.shape(state))
            if len(got) != len(shape) + 1 or got[1:] != shape:
                expected = f"(batch, {', '.join(map(str, shape))})"
                what = f"expected state {i} of {self.name!r} of shape {expected}, got {got}"
                raise returned_wrong(self.cell, what)
        new = tuple(to_pairs(one, 1) if c else one for one, c in zip(new, flags, strict=True)) if any(flags) else new
        if isinstance(output, (list, tuple, Mapping)) or is_complex(output):
            self.outputs = Nesting(output, 1)
            output = self.outputs.joined(leaves_of(output), 1)
        if not np.shape(output):
            what = f"expected the output of {self.name!r} of shape (batch, …), one row per row of x; got ()"
            raise returned_wrong(self.cell, what)
        return output, new

    def exemplary(self, x, states, *others):
        """Return arguments of the step with integers for the states that it takes as such."""
        integers = self.cell._integer_starts.taken
        return x, tuple(np.rint(s) if i in integers else s for i, s in enumerate(states)), *others

    def initial_states(self, batch_size: int, dtype) -> tuple[np.ndarray, ...]:
        """Return the states before the first step, new arrays ``(B, *shape)``."""
        if self.starts_at_zero:
            return self.states.zeros(batch_size, dtype)
        return start_of(self.cell, self.states, batch_size, dtype)

    @tracebacks.door
    def draw(self, name: str, batch_size: int, rng: np.random.Generator, dtype) -> np.ndarray:
        """Return one declared draw, ``(B, *shape)``."""
        draw, shape = self._draws[name]
        if batch_size > allocation.MANY_ROWS:
            allocation.check(f"the draw {name!r}", (batch_size, *shape))
        values = real(draw.function(rng, (batch_size, *shape)), f"the draw {name!r}")
        if values.shape != (batch_size, *shape):
            raise ValueError(f"expected the draw {name!r} of shape {(batch_size, *shape)}, got {values.shape}")
        return values.astype(dtype, order="C")  # kernels read contiguous rows

    def output_shape(self, constants=(), training: bool = False) -> tuple[int, ...]:
        """Return the output's shape without the batch axis, found by running the step once."""
        return self._probe(constants, training)[0]

    def nesting(self, constants=(), training: bool = False) -> Nesting | None:
        """Return the output's nesting, with such constants; None if it is one array."""
        known = self._probes.get((tuple(c.shape[1:] for c in constants), training)) if constants else None
        return self.outputs if known is None else known[2]

    def share(self, other: Step) -> None:
        """Take over what is known of the results of another step, which differs in its weights alone."""
        self.outputs, self._probes = other.outputs, other._probes

    def last_output_shape(self) -> tuple[int, ...] | None:
        """Return the result of `output_shape` for the newest shapes of constants; None before there were any."""
        return next(reversed(self._probes.values()))[0] if self._probes else None

    def used_draws(self, constants=(), training: bool = False) -> tuple[str, ...]:
        """Return the names of the draws that the step reads, for this ``training``."""
        return self._probe(constants, training)[1]

    def _read_shape(self, draws, constant_shapes, training):
        """Return the shape of `_run_shape` for a step that may refuse zeros, or loop for ever."""
        symbols = Recorder({})

        def look(given):
            symbols.update(given)
            return symbols

        weights, read = self.cell._all_weights(), READING["output_shape"]
        try:
            shape = read(self, weights, constant_shapes, training, look)
            draws.seen = symbols.seen
        except Exception as error:
            try:
                return self._run_shape(draws, constant_shapes, training)
            except Exception:
                kind = f"{type(error).__name__}: " if isinstance(error, (KeyError, NameError, AttributeError)) else ""
                notes = (f"({note})" for note in getattr(error, "__notes__", []) if note)
                told = " ".join([f"{kind}{error}", *notes])
                raise ValueError(f"{self.name!r} can't be read, as a step of one row has to be: {told}") from None
        return (1, *shape)

    def is_readable(self, constants, run: bool = False) -> bool:
        """Return whether a step of one row can be read, or run on zeros, with constants of these shapes."""
        shapes, kept = tuple(c.shape[1:] for c in constants), self.outputs
        draws = {name: np.ones((1, *shape)) for name, shape in self.draws.items()}
        try:
            if run:
                self._run_shape(draws, shapes, False)
            else:
                weights = self.cell._all_weights()
                READING["output_shape"](self, weights, shapes, False, lambda draws: draws)
        except Exception:  # the user's own error, for shapes that don't fit
            return False
        finally:
            self.outputs = kept
        return True

    def _run_shape(self, draws, constant_shapes, training):
        with np.errstate(all="ignore"):
            output, _ = self(
                np.zeros((1, *self.feature_shape)),
                tuple(np.asarray(s) for s in self.initial_states(1, np.float64)),
                self.cell._all_weights(),
                tuple(np.zeros((1, *shape)) for shape in constant_shapes),
                draws,
                training,
            )
        return np.shape(output)

    @tracebacks.door
    def _probe(self, constants, training):
        key = (tuple(c.shape[1:] for c in constants), training)
        if key not in self._probes:
            draws = Recorder({name: np.ones((1, *shape)) for name, shape in self.draws.items()})
            shape = (self._read_shape if self.per_row else self._run_shape)(draws, key[0], training)
            if not shape or shape[0] != 1:
                what = f"expected the output of {self.name!r} of shape (batch, …), one row per row of x; got {shape}"
                raise returned_wrong(self.cell, what)
            declared = self.cell._output_size()
            if self.outputs is not None:
                sizes = (
                    [_size_tuple(declared)] if self.outputs.alone and declared else declared and _flat_sizes(declared)
                )
                if declared is not None and sizes != self.outputs.shapes:
                    raise ValueError(f"expected output_size {declared} of {self.name!r}, got {self.outputs.shapes}")
            elif declared is not None and _size_tuple(declared) != shape[1:]:
                raise ValueError(f"expected output_size {declared} of {self.name!r}, but its output has {shape[1:]}")
            self._probes[key] = (shape[1:], tuple(name for name in self.draws if name in draws.seen), self.outputs)
        return self._probes[key]


def _row(r, x, states, constants, draws) -> tuple[Any, ...]:
    return x[r : r + 1], _rows(states, r), _rows(constants, r), {k: d[r : r + 1] for k, d in draws.items()}


def _rows(arrays, r):
    return tuple(array[r : r + 1] for array in arrays)


def start_of(cell, spec, batch_size: int, dtype) -> tuple[np.ndarray, ...]:
    """Return the states that a cell says it starts from, new arrays ``(B, *shape)``."""
    given = call_initial(cell.get_initial_state, batch_size)
    if not isinstance(given, (list, tuple)) and not hasattr(given, "__array__"):
        given = list(given)
    return spec.unpack(given, batch_size, dtype, "get_initial_state")


def _starts_by_own_code(cell) -> bool:
    own = is_own(type(cell).get_initial_state) and "get_initial_state" not in vars(cell)
    return own and all(map(_starts_by_own_code, cell._parts().values()))


def _size_tuple(size):
    return (int(size),) if isinstance(size, numbers.Integral) else tuple(size)


def _flat_sizes(sizes) -> list[tuple[int, ...]]:
    if isinstance(sizes, numbers.Integral):
        return [_size_tuple(sizes)]
    found: list[tuple[int, ...]] = []
    for one in sizes.values() if isinstance(sizes, Mapping) else sizes:
        found += [_size_tuple(one)] if is_shape(one) else _flat_sizes(one)
    return found


class Recorder(dict):
    """Draws that remember which of them were read."""

    def __init__(self, draws):
        super().__init__(draws)
        self.seen: set[str] = set()

    def __getitem__(self, name):
        self.seen.add(name)
        return super().__getitem__(name)


def leaves(cell, path=""):
    """Return a cell, or the cells of a stack from the bottom, with their paths."""
    if cell._states().parts is None:
        return [(path, cell)]
    below = []
    for name, part in cell._parts().items():
        below += leaves(part, f"{path}/{name}" if path else name)
    return below


def declared_output_shape(cell) -> tuple[int, ...]:
    """Return a cell's declared output shape, by Keras's rule: `output_size`, or the size of its first state."""
    size = cell._output_size()
    if size is None:
        return cell._states().own_shapes[0]
    return tuple(size) if isinstance(size, (tuple, list)) else (int(size),)
