"""What every optimizer has: one step over all weights, clipping, decay, its state and its configuration."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnkit.arguments import number_from_zero
from rnnkit.arrays import real
from rnnkit.backends.python.eager import Eager
from rnnkit.backends.shared.call import Record
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.optimizers import schedules
from rnnkit.optimizers.rows import LENGTH, Rows
from rnnkit.regularizers import L1L2
from rnnkit.serialization.registry import Configurable
from rnnkit.steps.cell import Cell, Values
from rnnkit.steps.step import Step
from rnnkit.steps.weight_options import PLAIN, WeightOptions

_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_OWN = ("iterations", "learning_rate")  # entries of a state that belong to no weight


class Optimizer(Configurable):
    """Base class of optimizers: how weights follow their gradients.

    An update is a recurrence, so it is a step like a cell's: a rule in NumPy, which is compiled and runs once for all
    weights of a model. A subclass names its `slots`, arrays like the weight that are 0 at first, and writes `rule`::

        weight, slots = rule(weight, gradient, slots, now)

    It sees the weights in rows, so it may compute with every number for itself only. What it reads besides is in
    `now`: ``now.learning_rate`` and what else `coefficients` gives for an update.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        A number of 0 or more, or what gives one for each update, see `rnnkit.optimizers.schedules`.
    weight_decay : float, optional
        Before the update, each weight loses ``learning_rate * weight_decay`` of itself.
    clipnorm : float, optional
        The gradient of each weight is scaled to at most this length.
    clipvalue : float, optional
        Every number of a gradient is cut at this and minus this.
    global_clipnorm : float, optional
        All gradients are scaled by one number, so that they have at most this length together.
    name : str, optional

    Raises
    ------
    ValueError
        For a number out of range, or more than one way to clip.

    Notes
    -----
    The gradient that is clipped has the regularizers' in it. Lengths are computed in float64, and no result depends on
    the number of threads.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class Signs(rk.optimizers.Optimizer):
    ...     slots = ("average",)
    ...     def rule(self, weight, gradient, slots, now):
    ...         average = 0.9 * slots[0] + 0.1 * gradient
    ...         return weight - now.learning_rate * np.sign(average), (average,)
    >>> optimizer = Signs(learning_rate=0.5)
    >>> optimizer.apply({"bias": np.ones(3)}, {"bias": np.array([2.0, 0.0, -1.0])})["bias"]
    array([0.5, 1. , 1.5])
    """

    slots: tuple[str, ...] = ()

    # What an optimizer has that evaluates the loss itself, as `LBFGS`.
    minimize: Callable[..., dict[str, np.ndarray]]

    def __init__(
        self,
        learning_rate=0.001,
        *,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        name=None,
    ):
        self._rate = schedules.get(learning_rate)
        self.weight_decay = None if weight_decay is None else number_from_zero(weight_decay, "weight_decay")
        clips = dict(zip(_CLIPS, (clipnorm, clipvalue, global_clipnorm), strict=True))
        if sum(limit is not None for limit in clips.values()) > 1:
            given = ", ".join(f"{clip}={limit}" for clip, limit in clips.items() if limit is not None)
            raise ValueError(f"expected one of {', '.join(_CLIPS)} at most, got {given}")
        for clip, limit in clips.items():
            if limit is not None and number_from_zero(limit, clip) == 0:
                raise ValueError(f"expected {clip} above 0, got {limit!r}")
        self.clipnorm, self.clipvalue, self.global_clipnorm = (
            None if limit is None else float(limit) for limit in clips.values()
        )
        self.name = name or type(self).__name__.lower()
        self.iterations = 0
        self._groups: list[_Group] | None = None
        self._waiting: dict[str, np.ndarray] | None = None  # a state for weights that aren't known yet
        self._owner: weakref.ref | None = None

    def rule(self, weight, gradient, slots, now):
        """The update of weights in NumPy: ``(weight, slots)``, both new.

        Parameters
        ----------
        weight, gradient : array (R, n)
        slots : tuple of array (R, n)
            In the order of `slots`.
        now
            The `coefficients` by attribute.
        """
        raise NotImplementedError(f"expected {type(self).__name__} to define rule(weight, gradient, slots, now)")

    def coefficients(self, step: int, learning_rate: float) -> dict[str, float]:
        """What the rule reads in ``now`` at an update, which changes without compiling anything again.

        Parameters
        ----------
        step : int
            1 for the first update.
        learning_rate : float
        """
        return {"learning_rate": learning_rate}

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; settable unless a schedule gives it.

        Raises
        ------
        TypeError
            If it is set and a schedule gives it.
        """
        return float(self._rate(self.iterations)) if callable(self._rate) else self._rate

    @learning_rate.setter
    def learning_rate(self, value):
        if callable(self._rate) and not callable(value):
            raise TypeError(
                f"expected the learning rate of {self.name!r} to be left to its schedule {self._rate!r}; make the "
                "optimizer with a number to set it"
            )
        self._rate = schedules.get(value)

    # Updates

    def apply(
        self,
        weights: Mapping[str, np.ndarray],
        gradients: Mapping[str, np.ndarray | RowGradient],
        weight_options: Mapping[str, WeightOptions] | None = None,
    ) -> dict[str, np.ndarray]:
        """One update of all weights.

        Parameters
        ----------
        weights : mapping of str to ndarray
            float32 or float64; the same names and shapes at every call.
        gradients : mapping of str to ndarray or RowGradient
            One for each trainable weight at least, without what regularizers add.
        weight_options : mapping of str to WeightOptions, optional
            Which weights are trainable, their regularizers and constraints; all are trainable without.

        Returns
        -------
        dict of str to ndarray
            The trainable weights after the update, read-only.

        Raises
        ------
        ValueError
            For other weights than at the first update, or a gradient that is missing or has another shape.
        FloatingPointError
            For NaN or infinity in a gradient, or in what a weight would become, with the weight's name. The state is
            unchanged after any error.
        """
        weight_options = {} if weight_options is None else weight_options
        own = {name: weight_options.get(name, PLAIN) for name in weights}
        names = [name for name, one in own.items() if one.trainable]
        groups, fresh = self._laid_out(weights, names), self._groups is None
        given, gradients = gradients, {}
        for name in names:
            if name not in given:
                raise ValueError(f"expected a gradient for each trainable weight, got none for {name!r}")
            one = given[name]
            gradients[name] = one if isinstance(one, RowGradient) else real(one, f"the gradient of {name!r}")
            if np.shape(gradients[name]) != weights[name].shape:
                raise ValueError(
                    f"expected the gradient of {name!r} of shape {weights[name].shape}, got {np.shape(gradients[name])}"
                )
        for group in groups:
            group.take(weights, gradients, own)
        if self.clipnorm or self.global_clipnorm:
            self._scale(groups)
        rate = self.learning_rate
        now = self.coefficients(self.iterations + 1, rate)
        limit = np.inf if self.clipvalue is None else self.clipvalue
        results = [group.run(now, (limit, rate * (self.weight_decay or 0.0))) for group in groups]
        for what, told in enumerate((_gradient_not_finite, _weight_not_finite)):
            if wrong := {name for group in groups for name in group.not_finite(what)}:
                name = next(name for name in names if name in wrong)
                raise FloatingPointError(told(name, gradients[name], weights[name].dtype))
        made = [group.finish(result, own) for group, result in zip(groups, results, strict=True)]
        for group, (rows, views, slots) in zip(groups, made, strict=True):
            group.keep(rows, views, slots)
        if fresh:
            self._groups, self._waiting = groups, None
        self.iterations += 1
        found = {name: view for _, views, _ in made for name, view in views.items()}
        return {name: found[name] for name in names}

    @contextlib.contextmanager
    def _all_or_nothing(self):
        """What fails inside leaves the state as it was."""
        own = self.iterations, self._groups, self._waiting
        kept = [(group, group._weights, group._views, group.slots) for group in self._groups or ()]
        try:
            yield
        except BaseException:
            self.iterations, self._groups, self._waiting = own
            for group, *arrays in kept:
                group.keep(*arrays)
            raise

    def _scale(self, groups) -> None:
        """What gradients are multiplied with, so that they aren't longer than they may be."""
        squares = [group.squares() for group in groups]
        if self.clipnorm:
            for group, found in zip(groups, squares, strict=True):
                group.scale({name: self._shrink(square, self.clipnorm) for name, square in found.items()})
        else:
            total = sum(square for found in squares for square in found.values())
            for group, found in zip(groups, squares, strict=True):
                group.scale(dict.fromkeys(found, self._shrink(total, self.global_clipnorm)))

    @staticmethod
    def _shrink(square, limit) -> float:
        return limit / max(square**0.5, limit)

    def _laid_out(self, weights, names) -> list[_Group]:
        """The groups of weights of one dtype, made at the first update."""
        given = {name: (weights[name].shape, weights[name].dtype) for name in names}
        if self._groups is not None:
            known = {name: (shape, g.rows.dtype) for g in self._groups for name, shape in g.rows.shapes.items()}
            if given != known:
                raise ValueError(_other_weights(self.name, known, given))
            return self._groups
        if strange := [name for name, (_, dtype) in given.items() if dtype.name not in ("float32", "float64")]:
            raise ValueError(f"expected weights of float32 or float64, got {given[strange[0]][1]} for {strange[0]!r}")
        dtypes = dict.fromkeys(dtype for _, dtype in given.values())
        groups = [
            _Group(self, Rows({name: shape for name, (shape, own) in given.items() if own == dtype}, dtype))
            for dtype in dtypes
        ]
        if self._waiting is not None:
            _restore(groups, self._waiting, self.name)
        return groups

    def belong_to(self, model) -> None:
        """Be the optimizer of a model from here on.

        Raises
        ------
        ValueError
            If it has trained another one, whose moments it would bring along.
        """
        if self.iterations and self._owner is not None and self._owner() is not model:
            raise ValueError(
                f"expected a new optimizer, {self.name!r} has made {self.iterations} updates of another model; what it "
                "keeps of those goes from one to the other by get_state and set_state"
            )
        self._owner = weakref.ref(model)

    # State and configuration

    def get_state(self) -> dict[str, np.ndarray]:
        """All that the next update depends on besides weights and gradients, as new arrays.

        Returns
        -------
        dict of str to ndarray
            ``"iterations"``, ``"learning_rate"`` unless a schedule gives it, and ``"slot/weight"`` for each slot of
            each weight.
        """
        state = {"iterations": np.array(self.iterations, np.int64)}
        if not callable(self._rate):
            state["learning_rate"] = np.array(self._rate, np.float64)
        if self._groups is None:
            return state | {name: array.copy() for name, array in (self._waiting or {}).items()}
        for group in self._groups:
            for slot, rows in zip(self.slots, group.slots, strict=True):
                state |= {f"{slot}/{name}": view.copy() for name, view in group.rows.views(rows).items()}
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `get_state` gave; the next update then has the same bits.

        Raises
        ------
        ValueError
            For a state of other weights, or of another optimizer; before the first update, that shows there.
        """
        state = {name: np.array(real(array, f"the state {name!r}")) for name, array in state.items()}
        if "iterations" not in state or state["iterations"].size != 1:
            raise ValueError(f"expected a state from get_state of {self.name!r}, with iterations; got {list(state)}")
        iterations = int(state.pop("iterations"))
        rate = state.pop("learning_rate", None)
        if self._groups is None:
            self._waiting = state if iterations else None
        else:
            _restore(self._groups, state, self.name)
        self.iterations = iterations
        if rate is not None and not callable(self._rate):
            self._rate = float(rate)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        config: dict[str, Any] = {}
        for kind in type(self).__mro__:
            parameters = list(inspect.signature(kind).parameters.values())
            config |= {one.name: getattr(self, one.name) for one in parameters if one.kind is not one.VAR_KEYWORD}
            if all(one.kind is not one.VAR_KEYWORD for one in parameters):  # else they are handed on
                break
        if "learning_rate" in config:
            config["learning_rate"] = schedules.config_of(self._rate)
        return config

    def __getstate__(self):
        # Groups hold compiled code; a copy makes its own when it knows the weights.
        slots = {name: array for name, array in self.get_state().items() if name not in _OWN}
        return self.__dict__ | {"_groups": None, "_waiting": slots if self.iterations else None, "_owner": None}

    def __repr__(self):
        plain = inspect.signature(type(self).__init__).parameters
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value is not None and name != "name" and (name not in plain or plain[name].default != value)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class _Update(Cell):
    """An optimizer's update of rows as a step: x is the gradient, the states are the weight and its slots.

    Its constants are numbers of a row's own, l1, l2 and what its gradient is scaled with, and those of all: what the
    rule reads, the limit of a gradient's numbers and the weight's decay. Where nothing is asked for they are 0, 1 or
    infinite and change no bit, so that one program does for all settings. Its output is the largest absolute value in
    each row of the gradient, and of the new weight, which show what is not finite.
    """

    def __init__(self, optimizer, names):
        super().__init__(name=getattr(optimizer.rule, "__qualname__", "update"))
        self.rule, self.names = optimizer.rule, names
        self.state_size = [LENGTH] * (1 + len(optimizer.slots))
        self.built = True

    def _functions(self):
        return (getattr(self.rule, "__func__", self.rule),)

    def call(self, inputs, states, constants):
        """One update."""
        weight, slots = states[0], tuple(states[1:])
        (own, shared), width = constants, len(self.names)
        l1, l2, scale = (own[:, i : i + 1] for i in range(3))
        limit, decay = (shared[:, width + i : width + i + 1] for i in range(2))
        gradient = scale * (inputs + l1 * np.sign(weight) + 2 * l2 * weight)
        gradient = np.minimum(np.maximum(gradient, -limit), limit)
        now = Values({name: shared[:, i : i + 1] for i, name in enumerate(self.names)})
        weight, slots = self.rule(weight - weight * decay, gradient, slots, now)
        largest = [np.max(np.abs(one), axis=1, keepdims=True) for one in (inputs, weight)]
        return np.concatenate(largest, axis=1), [weight, *slots]


class _Group:
    """The weights of one dtype with their slots, and what runs the update."""

    def __init__(self, optimizer, rows: Rows):
        self.optimizer, self.rows = optimizer, rows
        self.slots = tuple(rows.zeros() for _ in optimizer.slots)
        self._weights: np.ndarray | None = None  # the rows that the last update gave
        self._views: dict[str, np.ndarray] = {}  # as the weights that it returned
        self._gradient = rows.zeros()
        self._gradient_views = rows.views(self._gradient)
        self._weight_options: list[WeightOptions] | None = None
        self._own = np.zeros((rows.count, 3), rows.dtype)  # l1, l2 and the gradient's scale, for each row
        self._programs: dict[tuple[str, ...], Any] = {}

    def take(self, weights, gradients, weight_options) -> None:
        """Have gradients and weights in rows, and each row's own coefficients."""
        rows = self.rows
        with np.errstate(over="ignore"):  # what is too large for float32 is found to be infinite
            rows.fill(self._gradient_views, gradients)
        if any(weights[name] is not view for name, view in self._views.items()) or self._weights is None:
            self._given = rows.zeros()
            rows.fill(rows.views(self._given), weights)
        else:
            self._given = self._weights
        own = [weight_options[name] for name in rows.shapes]
        if own != self._weight_options:
            for name, one in zip(rows.shapes, own, strict=True):
                penalty = one.regularizer
                weighed = (penalty.l1, penalty.l2) if isinstance(penalty, L1L2) else (0.0, 0.0)
                self._own[rows.places[name], :2] = weighed
            self._weight_options = own
        self._own[:, 2] = 1
        for name, one in zip(rows.shapes, own, strict=True):
            if one.regularizer is not None and not isinstance(one.regularizer, L1L2):
                self._gradient_views[name] += one.regularizer.gradient(weights[name])

    def squares(self) -> dict[str, float]:
        """The squared length of each weight's gradient, with its penalty's."""
        gradient, (l1, l2) = self._gradient, self._own[:, :2, None].swapaxes(0, 1)
        with np.errstate(all="ignore"):
            if l1.any() or l2.any():
                gradient = gradient + l1 * np.sign(self._given) + 2 * l2 * self._given
            return self.rows.squares(gradient)

    def scale(self, factors) -> None:
        """Multiply each weight's gradient."""
        for name, factor in factors.items():
            self._own[self.rows.places[name], 2] = factor

    def run(self, now, around):
        """The step, and the largest absolute value of each row of the gradient."""
        shared = np.empty((self.rows.count, len(now) + len(around)), self.rows.dtype)
        shared[:] = (*now.values(), *around)
        record = Record(
            x=self._gradient[:, None],
            states=(self._given, *self.slots),
            weights={},
            constants=(self._own, shared),
            sequences=False,
        )
        result = self._program(tuple(now)).run(record)
        self._largest, self._new = result.last, result.states[0]
        return result

    def _program(self, names):
        """What runs the step for such coefficients: compiled, or NumPy for a rule that can't be read."""
        if names not in self._programs:
            from rnnkit.compiler.tracing.batch_axis import Untraceable
            from rnnkit.execution import pipeline

            step = Step(_Update(self.optimizer, names), (LENGTH,))
            try:
                program = pipeline.compile_step(step, self.rows.dtype, {}, ((3,), (len(names) + 2,)))
            except Untraceable:
                program = Eager(step)
            self._programs[names] = program
        return self._programs[names]

    def not_finite(self, what: int) -> list[str]:
        """The weights whose gradients (0) aren't finite, or that wouldn't be any more (1)."""
        finite = np.isfinite(self._largest[:, what])
        if finite.all():
            return []
        wrong = [name for name, place in self.rows.places.items() if not finite[place].all()]
        views = self.rows.views(self._new)  # in what fills a row up a rule may divide 0 by 0
        return [name for name in wrong if not what or not np.isfinite(views[name]).all()]

    def finish(self, result, weight_options):
        """The new rows with the constraints' work done, the weights in them, and the new slots."""
        rows, *slots = result.states
        views = self.rows.views(rows)
        for name, view in views.items():
            if (constraint := weight_options[name].constraint) is not None:
                view[...] = _constrained(constraint, view, name)
        rows.flags.writeable = False
        return rows, self.rows.views(rows), tuple(slots)

    def keep(self, rows, views, slots) -> None:
        """Go on from here."""
        self._weights, self._views, self.slots = rows, views, slots


def _constrained(constraint: Callable, weight, name):
    found = real(constraint(weight.copy()), f"the constraint's array for {name!r}")
    if found.shape != weight.shape:
        raise ValueError(
            f"expected the constraint of {name!r} to return an array of shape {weight.shape}, got {found.shape}"
        )
    return found


def _restore(groups, state, name) -> None:
    """Put a state into groups, if it is one of theirs."""
    made = []
    known: set[str] = set()
    for group in groups:
        slots = []
        for slot in group.optimizer.slots:
            rows = group.rows.zeros()
            for weight, view in group.rows.views(rows).items():
                key = f"{slot}/{weight}"
                known.add(key)
                if key not in state or state[key].shape != view.shape:
                    got = state[key].shape if key in state else "none"
                    raise ValueError(
                        f"expected a state of {name!r} with {key!r} of shape {view.shape}, got {got}; a state belongs "
                        "to an optimizer of the same kind and weights of the same names and shapes"
                    )
                view[...] = state[key]
            slots.append(rows)
        made.append(tuple(slots))
    if unknown := [key for key in state if key not in known]:
        raise ValueError(
            f"expected a state of {name!r} with {', '.join(sorted(known)) or 'no slots'}; got {unknown[0]!r}"
        )
    for group, own in zip(groups, made, strict=True):
        group.slots = own


def _gradient_not_finite(name, gradient, dtype) -> str:
    given = np.asarray(gradient)
    with np.errstate(over="ignore"):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(given.astype(dtype)))[0])
    return f"expected finite gradients, got {given[place]} at {list(place)} in that of {name!r}; no weight was changed"


def _weight_not_finite(name, gradient, dtype) -> str:
    return f"expected finite weights, but the update leads {name!r} beyond {dtype}; no weight was changed"


def _other_weights(name, known, given) -> str:
    changed = [key for key in (*known, *given) if known.get(key) != given.get(key)]
    key = changed[0]
    told = (f"{one[key][1]} {one[key][0]}" if key in one else "none" for one in (known, given))
    return (
        f"expected {name!r} to get the trainable weights of its first update, {key!r} was {next(told)} and is "
        f"{next(told)}; other weights want a new optimizer: compile again"
    )
