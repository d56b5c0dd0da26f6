"""Tracing of a step: run once on symbols, it becomes a graph, which is then compared with the step on numbers."""

from __future__ import annotations

import linecache
import sys
import warnings
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

import rnnkit.compiler.tracing.numpy_functions  # noqa: F401  what they do to symbols is registered there
from rnnkit import tracebacks
from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.evaluate import Evaluation, LongLoop, counts
from rnnkit.compiler.ir.graph import Graph, Node
from rnnkit.compiler.tracing.batch_axis import AsksValues, LostWeight, MixesRows, RowsDiffer, Untraceable, UsesLength
from rnnkit.compiler.tracing.broadcasting import lift
from rnnkit.compiler.tracing.control_flow import reading
from rnnkit.compiler.tracing.scipy_calls import LookedAt
from rnnkit.compiler.tracing.symbol import Symbol

_ROUNDS = 300  # of a loop, in the check on numbers
_TOLERANCE = 1e-5  # of each array's largest value: a wrong graph is off by far more


def trace(step, dtype, weights, constant_shapes=(), training=False, whole=False, by_vjp=False, checked=True) -> Graph:
    """Return the graph of a step.

    Its arrays have `dtype`; `weights` are the layer's own, for the check on numbers: the graph takes their shapes.
    `constant_shapes` have no batch axis. With `whole`, NumPy alone evaluates the graph, which then multiplies batches
    of matrices as such; with `by_vjp`, the vjps that cells have are read, too; if `checked`, the graph is held against
    the step on numbers.

    Raises
    ------
    Untraceable
        If the step can't be read.
    MixesRows
        If one row sees another.
    ValueError
        If the graph computes something else than the step.
    """

    def read(rows=None, calls=False):
        graph = Graph(whole=whole, by_vjp=by_vjp, rows=rows)
        return _trace(step, dtype, weights, constant_shapes, training, graph, checked, calls)

    try:
        return _with_length(step, weights, constant_shapes, read)
    except AsksValues:
        if step.per_row:
            raise
    return _with_length(step, weights, constant_shapes, partial(read, calls=True))


def _with_length(step, weights, constant_shapes, read):
    """Read a step, with a number for the rows if it asks for one."""
    try:
        return read()
    except UsesLength as error:
        shapes = (step.feature_shape, *step.state_shapes, *constant_shapes, *step.draws.values())
        taken = {n for shape in (*shapes, *(w.shape for w in weights.values())) for n in shape}
        rows = next(n for n in range(127, 10**6, 2) if n not in taken)
        try:
            return read(rows=rows)
        except (RowsDiffer, AsksValues):
            raise
        except Exception:
            raise error from None


def _trace(step, dtype, weights, constant_shapes, training, graph, checked, calls):
    watch = _Watch(step)
    graph.calls = LookedAt(watch.codes) if calls else None
    graph.locate = watch
    graph.sparse = step.cell._sparse_weights()
    named = (*weights.items(), *step.cell._complex_weights().items())
    graph.weights = {id(array): name for name, array in named}
    graph.values = _InFloat64(weights)

    given = _given(graph, step, dtype, weights, constant_shapes)
    failed: Exception | None = None
    try:
        with reading(graph, given[0]) as reader:
            watch.reader = reader
            output, states = step(*given, training)
    except MixesRows as error:
        mixed = MixesRows(f"the step of {step.name!r} mixes rows, {watch.place_of(error)}: {error}")
        raise mixed.with_traceback(error.__traceback__) from None
    except Untraceable as error:
        error.add_note(watch.place_of(error))
        raise
    except LostWeight:
        raise
    except Exception as error:
        failed = error
    if failed is not None:  # outside of the except block, where each error would be the other's context
        raise _failure(failed, step, weights, constant_shapes, training, watch.place_of(failed))
    graph.calls = None
    graph.output = _result(output, "output", step, given[0])
    graph.states = tuple(_result(state, f"state {i}", step, given[0]) for i, state in enumerate(states))
    graph.keep_codes()
    graph.names = watch.names()
    graph.weights = {}  # by address: once a weight is replaced, another array may stand where it stood
    live = graph.live()
    under = graph.under(node.args[1] for node in live if node.op == "product" and node.attr == "sparse")
    keys = [("weight", node.attr) for node in live if node.op == "weight" and node.id in under]
    graph.values = {key: graph.values[key] for key in keys}
    if checked and not reader.compiles:  # its compilation takes seconds
        _check(graph, step, weights, constant_shapes, training)
    return graph


def _given(graph, step, dtype, weights, constant_shapes):
    """Return the symbols that a step is called with."""

    def symbol(op, attr, shape, batched=True):
        return Symbol(graph, graph.add(op, (), shape, attr), 0 if batched else None, np.dtype(dtype))

    return (
        symbol("x", None, step.feature_shape),
        tuple(symbol("state", i, shape) for i, shape in enumerate(step.state_shapes)),
        {name: symbol("weight", name, array.shape, batched=False) for name, array in weights.items()},
        tuple(symbol("constant", i, shape) for i, shape in enumerate(constant_shapes)),
        {name: symbol("draw", name, shape) for name, shape in step.draws.items()},
    )


def output_shape(step, weights, constant_shapes, training, look) -> tuple[int, ...]:
    """Return the shape of a row's output, read without values; ``look`` wraps the draws, to note which are read.

    An error of the reading has the line of the step as a note.
    """
    graph = Graph()
    *given, draws = _given(graph, step, np.float64, weights, constant_shapes)
    with reading(graph, given[0]) as reader:
        try:
            return step(*given, look(draws), training)[0].node.shape
        except Exception as error:
            error.add_note(reader.location())
            raise


def _failure(error, step, weights, constant_shapes, training, place) -> Exception:
    """Return an error that the step raises on numbers, too; for any other an `Untraceable`."""
    x, states, weights64, constants, draws = example(step, weights, constant_shapes, initial=True)
    try:
        with np.errstate(all="ignore"):
            step(x, states, weights64, constants, draws, training)
    except Exception as mistake:
        return error if type(error) is type(mistake) and tracebacks.in_words(error) else mistake
    reason = Untraceable(f"{type(error).__name__} while the step was read: {error}")
    reason.add_note(place)
    return reason.with_traceback(error.__traceback__)


class _InFloat64(dict):
    """Weights by node, converted to float64 when first read."""

    def __init__(self, weights):
        super().__init__()
        self._weights = weights

    def __missing__(self, key):
        self[key] = found = np.asarray(self._weights[key[1]], np.float64)
        return found


def _result(value, what, step, like) -> Node:
    if isinstance(value, np.ndarray) and like.graph.rows is not None:
        value = lift(like, value)
    if not isinstance(value, Symbol):
        raise Untraceable(f"the {what} of {step.name!r} is {type(value).__name__}, made without the step's arrays")
    if value.axis != 0:
        raise ValueError(f"expected the {what} of {step.name!r} with the batch axis first, got shape {value.shape}")
    return value.graph.as_float(value.node)


class _Watch:
    """Observer of the step's running line, and afterwards of its local names."""

    def __init__(self, step):
        self.codes = _codes(step.cell)
        self.frames: list[FrameType] = []
        self.reader: Any = None

    def __call__(self) -> str:
        if self.reader is not None and self.reader.place is not None:
            return self.reader.line()
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code not in self.codes:
            frame = frame.f_back
        if frame is None:
            return ""
        if frame not in self.frames:
            self.frames.append(frame)
        return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()

    def place_of(self, error) -> str:
        """Return file, number and text of the line of the step in which an error was raised."""
        if self.reader is not None and self.reader.place is not None:
            return self.reader.location()
        traceback, place = error.__traceback__, "before its first line"
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if code in self.codes:
                line = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
                place = f"{code.co_filename}, line {traceback.tb_lineno}: {line}"
            traceback = traceback.tb_next
        return place

    def names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for found in (*(frame.f_locals for frame in self.frames), *(self.reader.roots if self.reader else ())):
            for name, value in found.items():
                for i, item in enumerate(value if isinstance(value, (tuple, list)) else (value,)):
                    if isinstance(item, Symbol):
                        names.setdefault(item.node.id, f"{name}{i}" if item is not value else name)
        self.frames.clear()
        return names


def _codes(cell) -> set:
    codes = {getattr(function, "__code__", None) for function in cell._functions()}
    for part in cell._parts().values():
        codes |= _codes(part)
    return codes


def example(step, weights, constant_shapes, initial: bool, seed: int = 0):
    """Return two rows of random inputs for a step, in float64: ``(x, states, weights, constants, draws)``."""
    rng = np.random.default_rng(seed)
    states = step.initial_states(2, np.float64)
    found = (
        rng.standard_normal((2, *step.feature_shape)),
        states if initial else tuple(rng.uniform(-0.9, 0.9, s.shape) for s in states),
        {name: np.asarray(array, np.float64) for name, array in weights.items()},
        tuple(rng.standard_normal((2, *shape)) for shape in constant_shapes),
        {name: step.draw(name, 2, rng, np.float64) for name in step.draws},
    )
    exemplary = getattr(step, "exemplary", None)  # of a function that takes integers
    return found if exemplary is None else exemplary(*found)


_INF, _NAN = float("inf"), float("nan")
_LARGE = (
    0.0, -0.0, 0.5, -0.5, 1.5, -2.5, 1.0, -3.0, 255.0, 300.0, -129.0, 40000.0, 123456.75, 2.0**31 - 1, 2.0**31,
    2.0**32 + 5, -(2.0**40) - 3, 1e15 + 1, 1e30, -1e30,
)  # fmt: skip
_SPECIAL = (0.0, -0.0, 0.5, -1.5, 2.5, 1.0, _INF, -_INF, _NAN)
_DRAWN = (None, None, _LARGE, _SPECIAL)


def _check(graph, step, weights, constant_shapes, training):
    """Compare a graph with its step on numbers: usual ones, then large ones, then those that aren't finite."""
    results = [graph.output, *graph.states, *graph.residuals.values()]
    evaluation = Evaluation(results, np.float64, rounds=_ROUNDS)
    every = _casts_as_graphs(graph) and not (graph.matrices or graph.complex)
    for seed, drawn in enumerate(_DRAWN if every else _DRAWN[:2]):
        given = _drawn(step, weights, constant_shapes, seed, drawn)
        for rows in (slice(0, 1), slice(1, 2)) if step.per_row else (slice(None),):
            _check_rows(graph, evaluation, step, _rows(given, rows), drawn, training)


def _rows(given, rows):
    x, states, weights, constants, draws = given
    states, constants = (tuple(a[rows] for a in arrays) for arrays in (states, constants))
    return x[rows], states, weights, constants, {name: draw[rows] for name, draw in draws.items()}


def _check_rows(graph, evaluation, step, given, drawn, training) -> None:
    x, states, weights, constants, draws = given
    inputs: dict[tuple, np.ndarray] = {("x", None): x}
    inputs |= {("state", i): s for i, s in enumerate(states)} | {("constant", i): c for i, c in enumerate(constants)}
    inputs |= {("weight", name): w for name, w in weights.items()} | {("draw", name): d for name, d in draws.items()}
    try:
        with np.errstate(all="ignore"):
            values = evaluation(inputs)
    except LongLoop:
        return
    refused = any(np.any(values[node.id]) for node in graph.residuals.values())
    if step.per_row and refused:
        return
    try:
        wanted = _results(step, given, training)
    except IndexError:
        if not refused:
            raise
        return
    except np.linalg.LinAlgError:
        return  # nothing to compare with
    except (ArithmeticError, ValueError):
        if step.per_row:  # as math.log, where NumPy's is NaN
            return
        raise
    names = ["output", *(f"state {i}" for i in range(len(graph.states)))]
    found = [np.broadcast_to(values[node.id], (len(x), *node.shape)) for node in (graph.output, *graph.states)]
    for i, (what, got, expected) in enumerate(zip(names, found, wanted, strict=True)):
        if expected.shape != got.shape:
            shapes = f"has shape {got.shape}, the step gives {expected.shape}"
            raise ValueError(f"the traced {what} of {step.name!r} {shapes}")
        off = _differ(got, expected, drawn)
        if drawn is _LARGE and off.any():
            off &= not _cancels(graph) and ~_is_chance(step, given, training, i, expected, got)
        if off.any():
            of = " for large numbers" if drawn is _LARGE else " for 0, infinities or NaN" if drawn else ""
            raise ValueError(
                f"the traced {what} of {step.name!r} differs from what its step computes{of} ({got[off][0]:g} in "
                f"place of {expected[off][0]:g}): a step must be a function of its arguments alone (for random "
                "numbers, declare draws)"
            )


def _drawn(step, weights, constant_shapes, seed, drawn):
    """Return the arguments of a step, as `example` does, or of the numbers `drawn`."""
    if drawn is None:
        return example(step, weights, constant_shapes, initial=seed == 0)
    rng = np.random.default_rng(seed)
    x, states, weights64, constants, draws = example(step, weights, constant_shapes, initial=False)
    x, *others = (np.where(rng.random(a.shape) < 0.3, a, rng.choice(drawn, a.shape)) for a in (x, *states, *constants))
    found = x, tuple(others[: len(states)]), weights64, tuple(others[len(states) :]), draws
    exemplary = getattr(step, "exemplary", None)
    return found if exemplary is None else exemplary(*found)


def _results(step, given, training) -> list[np.ndarray]:
    x, states, weights, constants, draws = given
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # such as that of an empty mean
        output, new = step(x.copy(), tuple(s.copy() for s in states), weights, constants, draws, training)
    return [np.asarray(a, np.float64) for a in (output, *new)]


def _differ(got, expected, drawn) -> np.ndarray:
    """Return where two arrays differ by more than rounding."""
    with np.errstate(all="ignore"):
        if drawn is None:
            scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
            both = np.isfinite(expected) | np.isfinite(got)
            return ~(np.abs(expected - got) <= _TOLERANCE * scale) & both
        near = np.abs(expected - got) <= _TOLERANCE * np.maximum(np.abs(expected), 1.0)
        if drawn is _LARGE:  # a sum in another order overflows elsewhere
            return ~near & np.isfinite(expected) & np.isfinite(got)
        # A product spreads a NaN over its whole result; in another order, it may have one for an infinity.
        return ~(near | np.isnan(got) | ~(np.isfinite(expected) | np.isfinite(got)))


def _cancels(graph) -> bool:
    """Tell whether a step sums floats: of large ones, a sum in another order may have no digit in common."""
    sums = ("product", "einsum", "inverse", "function", "sum", "prod")
    return any(node.op in sums and not node.is_integer and not counts(node) for node in graph.live())


def _is_chance(step, given, training, i, expected, got) -> np.ndarray:
    """Return where the last bit of a step's arguments changes a result as much as the graph differs."""
    x, states, weights, constants, draws = given
    nudged = [np.nextafter(a, np.copysign(np.inf, a)) for a in (x, *states, *constants)]
    count = len(states)
    moved = nudged[0], tuple(nudged[1 : 1 + count]), weights, tuple(nudged[1 + count :]), draws
    try:
        other = _results(step, moved, training)[i]
    except (IndexError, np.linalg.LinAlgError):
        return np.ones(expected.shape, bool)
    with np.errstate(all="ignore"):
        return ~(1000.0 * np.abs(other - expected) < np.abs(got - expected))


def _casts_as_graphs(graph) -> bool:
    """Tell whether NumPy casts floats to integers as a graph does, also those that don't fit: platforms differ."""
    return all(node.kind in _SAME for node in graph.nodes if node.op == "cast" and node.is_integer)


with np.errstate(all="ignore"):
    _ODD = np.array([*_LARGE, *_SPECIAL])
    _SAME = {k for k in kinds.INTEGERS if np.array_equal(_ODD.astype(k), kinds.cast(_ODD, k, np.float64))}
