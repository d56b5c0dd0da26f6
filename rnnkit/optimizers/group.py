"""The weights of one dtype as rows of one length, and the step that updates all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.arrays import real
from rnnkit.backends.python.eager import Eager
from rnnkit.backends.shared.call import Record, Result, recording_of
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.opaque import opaque
from rnnkit.regularizers import L1L2
from rnnkit.steps.cell import Cell, Values
from rnnkit.steps.step import Step
from rnnkit.steps.weight_options import WeightOptions

_LENGTHS = (32, 64, 128, 256)  # candidate lengths of rows; zeros pad a weight's last row
_ROW = 24  # cost of a row, in numbers
_CHUNK = 1 << 16  # numbers per partial sum, which fit in the cache


class Rows:
    """The layout of weights of one dtype, given by name and shape, in an array ``(count, length)``."""

    def __init__(self, shapes, dtype):
        self.shapes, self.dtype, self.count = dict(shapes), np.dtype(dtype), 0
        self.places: dict[str, slice] = {}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.length = min(_LENGTHS, key=lambda length: sum(-(-size // length) for size in sizes) * (length + _ROW))
        for name, size in zip(self.shapes, sizes, strict=True):
            rows = -(-size // self.length)
            self.places[name] = slice(self.count, self.count + rows)
            self.count += rows
        # A structured dtype with a field per weight makes many views quickly.
        row, fields = self.length * self.dtype.itemsize, [str(i) for i in range(len(self.shapes))]
        self._fields = dict(zip(self.shapes, fields, strict=True))
        self._layout = np.dtype(
            {
                "names": fields,
                "formats": [(self.dtype, shape) for shape in self.shapes.values()],
                "offsets": [place.start * row for place in self.places.values()],
                "itemsize": self.count * row,
            }
        )

    def zeros(self) -> np.ndarray:
        return np.zeros((self.count, self.length), self.dtype)

    def views(self, rows) -> dict[str, np.ndarray]:
        """Return each weight's part of an array of rows, in the weight's shape."""
        whole = np.asarray(np.ndarray((), self._layout, rows), like=rows)
        return {name: whole[field] for name, field in self._fields.items()}

    def fill(self, views, arrays) -> None:
        """Put arrays into the `views` of rows."""
        for name, view in views.items():
            given = arrays[name]
            if isinstance(given, RowGradient):
                opaque(_scatter, view, given, draws=True, writes=[view])
            elif given.dtype != view.dtype:
                opaque(_cast_into, view, given, writes=[view])
            elif given is not view:
                view[...] = given

    def squares(self, rows) -> dict[str, float]:
        """Return the sum of squares of each weight's part, in float64 and in a fixed order."""
        found, at_once = {}, _CHUNK // self.length
        for name, place in self.places.items():
            total = 0.0
            for first in range(place.start, place.stop, at_once):
                chunk = rows[first : min(first + at_once, place.stop)]
                total += float(np.sum(np.square(chunk, dtype=np.float64)))
            found[name] = total
        return found


def _scatter(view, given: RowGradient) -> None:
    view[...] = 0
    view[given.ids] = given.rows


def _cast_into(view, given) -> None:
    with np.errstate(over="ignore"):  # an infinite gradient is found later
        view[...] = given


# Constants common to all rows, besides the rule's coefficients.
LIMIT, DECAY = "the limit of a gradient's numbers", "what a weight loses of itself"
# Coefficients of averages of weights, and of gradients of several batches; 1 where a weight changes.
KEEPS, REPLACES, CHANGES = "keeps of an average", "average in place of the weight", "end of an accumulation"


class Update(Cell):
    """The step of an optimizer's update on rows: x is the gradient, the states are the weight and its slots.

    The constants of a row are l1, l2, the scale of its gradient, and 1 if it decays; those of all rows are the rule's
    coefficients, the limit of a gradient's numbers and the weight decay. Unused ones are 0, 1 or infinite and change no
    bit, so that one program serves all settings. The output is the largest absolute value in each row of the gradient,
    and of the new weight, to detect values that aren't finite.
    """

    def __init__(self, optimizer, names, length):
        super().__init__(name=getattr(optimizer.rule, "__qualname__", "update"))
        self.rule, self.names = optimizer.rule, names
        self.state_size = [length] * (1 + len(optimizer._all_slots))
        self.averages, self.batches = optimizer.use_ema, optimizer.gradient_accumulation_steps or 1
        self.built = True

    def _functions(self):
        return (getattr(self.rule, "__func__", self.rule),)

    def call(self, inputs, states, constants):
        before, slots = states[0], list(states[1:])
        accumulated = slots.pop() if self.batches > 1 else None
        average = slots.pop() if self.averages else None
        (own, shared), width = constants, len(self.names)
        l1, l2, scale, decays = (own[:, i : i + 1] for i in range(4))
        limit, decay = (shared[:, width + i : width + i + 1] for i in range(2))
        gradient = scale * (inputs + l1 * np.sign(before) + 2 * l2 * before)
        total = gradient if accumulated is None else accumulated + gradient
        gradient = total if accumulated is None else total / self.batches
        gradient = np.minimum(np.maximum(gradient, -limit), limit)
        given = {name: shared[:, i : i + 1] for i, name in enumerate(self.names)}
        weight, new = self.rule(before - before * (decay * decays), gradient, tuple(slots), Values(given))
        if accumulated is not None:
            changes = given[CHANGES] > 0
            weight, new = (
                np.where(changes, weight, before),
                [np.where(changes, *two) for two in zip(new, slots, strict=True)],
            )
        if average is not None:
            average = given[KEEPS] * average + (1 - given[KEEPS]) * weight
            weight = np.where(given[REPLACES] > 0, average, weight)
        slots = [*new, *([] if average is None else [average])]
        slots += [] if accumulated is None else [np.where(changes, 0 * total, total)]
        largest = [np.max(np.abs(one), axis=1, keepdims=True) for one in (inputs, weight)]
        return np.concatenate(largest, axis=1), [weight, *slots]


class Group:
    """The weights of one dtype with their slots, and the program of the update."""

    def __init__(self, optimizer, rows: Rows):
        self.optimizer, self.rows = optimizer, rows
        self.slots = tuple(rows.zeros() for _ in optimizer._all_slots)
        self.given: np.ndarray  # rows before the next update
        self._weights: np.ndarray | None = None  # rows after the last update
        self._views: dict[str, np.ndarray] = {}  # the weights returned by the last update
        self.gradient = rows.zeros()
        self.gradient_views = rows.views(self.gradient)
        self._weight_options: list[WeightOptions] | None = None
        self.own = np.zeros((rows.count, 4), rows.dtype)  # l1, l2, the gradient's scale and decay, for each row
        self.scales = self.own[:, 2]
        self._programs: dict[tuple[str, ...], Any] = {}

    def take_weights(self, weights) -> None:
        rows = self.rows
        if any(weights[name] is not view for name, view in self._views.items()) or self._weights is None:
            self.given = rows.zeros()
            rows.fill(rows.views(self.given), weights)
        else:
            self.given = self._weights

    def take_options(self, weight_options) -> None:
        """Set each row's own coefficients."""
        rows = self.rows
        own = [weight_options[name] for name in rows.shapes]
        if own != self._weight_options:
            for name, one in zip(rows.shapes, own, strict=True):
                penalty = one.regularizer
                weighed = (penalty.l1, penalty.l2) if isinstance(penalty, L1L2) else (0.0, 0.0)
                self.own[rows.places[name], :2] = weighed
                self.own[rows.places[name], 3] = 0.0 if self.optimizer._keeps_whole(name) else 1.0
            self._weight_options = own
        self.scales[:] = 1

    def take_gradients(self, gradients) -> None:
        """Set the gradients in rows, including those of penalties other than l1 and l2."""
        self.rows.fill(self.gradient_views, gradients)
        given = self.rows.views(self.given)
        assert self._weight_options is not None, "options were taken"
        for name, one in zip(self.rows.shapes, self._weight_options, strict=True):
            if one.regularizer is not None and not isinstance(one.regularizer, L1L2):
                self._add_penalty(self.gradient_views[name], one.regularizer, given[name])

    def _add_penalty(self, gradient, regularizer, weight):
        def add(gradient, weight):
            gradient[...] += regularizer.gradient(weight.copy())  # a copy, as the regularizer may keep it

        opaque(add, gradient, weight, writes=[gradient])

    def squares(self) -> dict[str, float]:
        """Return the squared norm of each weight's gradient, including its penalty."""
        gradient, (l1, l2) = self.gradient, self.own[:, :2, None].swapaxes(0, 1)
        with np.errstate(all="ignore"):
            if l1.any() or l2.any():
                gradient = gradient + l1 * np.sign(self.given) + 2 * l2 * self.given
            return self.rows.squares(gradient)

    def scale(self, factors) -> None:
        """Set the factor of each weight's gradient."""
        for name, factor in factors.items():
            self.scales[self.rows.places[name]] = factor

    def run(self, now) -> Result:
        """Run the step, and return its result with the largest absolute values of the rows."""
        shared = np.empty((self.rows.count, len(now)), self.rows.dtype)
        opaque(self._share, shared, now, draws=True, writes=[shared], like=self.given)
        states, constants = (self.given, *self.slots), (self.own, shared)
        x, recording = self.gradient[:, None], recording_of(self.gradient)
        record = Record(x, states, {}, constants=constants, sequences=False, recording=recording)
        return self._program(tuple(name for name in now if name not in (LIMIT, DECAY))).run(record)

    def _share(self, shared, now) -> None:
        """Write the coefficients common to all rows."""
        shared[:] = tuple(now.values())

    def _program(self, names):
        """Return the program of the step for these coefficients: compiled, or NumPy for an untraceable rule."""
        if names not in self._programs:
            from rnnkit.compiler.tracing.batch_axis import Untraceable
            from rnnkit.execution import pipeline

            step = Step(Update(self.optimizer, names, self.rows.length), (self.rows.length,))
            try:
                program = pipeline.compile_step(step, self.rows.dtype, {}, ((4,), (len(names) + 2,)))
            except Untraceable:
                program = Eager(step)
            self._programs[names] = program
        return self._programs[names]

    def not_finite(self, what: int, result: Result) -> list[str]:
        """Return the weights whose gradients (`what` is 0) or new values (1) in a result of `run` aren't finite."""
        finite = np.isfinite(result.last[:, what])
        if finite.all():
            return []
        wrong = [name for name, place in self.rows.places.items() if not finite[place].all()]
        views = self.rows.views(result.states[0])  # in padding of rows, rules may divide 0 by 0
        return [name for name in wrong if not what or not np.isfinite(views[name]).all()]

    def finish(self, result, weight_options):
        """Return the new rows after the constraints, the weights in them, and the new slots."""
        rows, *slots = result.states
        self.constrain(rows, weight_options)
        rows.flags.writeable = False
        return rows, self.rows.views(rows), tuple(slots)

    def constrain(self, rows, weight_options) -> None:
        """Apply the constraints to new rows."""
        for name, view in self.rows.views(rows).items():
            if (constraint := weight_options[name].constraint) is not None:
                self._constrain(view, constraint, name)

    def _constrain(self, view, constraint, name):
        def put(view):
            view[...] = constrained(constraint, view, name)

        opaque(put, view, writes=[view])

    def keep(self, rows, views, slots) -> None:
        self._weights, self._views, self.slots = rows, views, slots


def constrained(constraint: Callable, weight, name) -> np.ndarray:
    """Return a weight after a constraint."""
    found = real(constraint(weight.copy()), f"the constraint's array for {name!r}")
    if found.shape != weight.shape:
        raise ValueError(
            f"expected the constraint of {name!r} to return an array of shape {weight.shape}, got {found.shape}"
        )
    return found
