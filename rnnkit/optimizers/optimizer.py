"""The base of optimizers: one step over all weights, clipping, decay, state and configuration."""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnkit.arguments import is_own, number_from_zero, positive_integer
from rnnkit.arrays import real
from rnnkit.configured import parameters
from rnnkit.docstrings import describe_by_bases
from rnnkit.hints import Array, LearningRate
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.variable import Variable, put_all
from rnnkit.layers.support.weight_mapping import weight_keys
from rnnkit.optimizers import schedules
from rnnkit.optimizers.group import CHANGES, DECAY, KEEPS, LIMIT, REPLACES, Group, Rows
from rnnkit.optimizers.in_place import ApplyRunner
from rnnkit.optimizers.variables import Count, Rate, StateVariable, limits_of, names_of, of_optimizer, update
from rnnkit.serialization.registry import Configurable
from rnnkit.steps.weight_options import PLAIN, WeightOptions

_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_OWN = ("iterations", "learning_rate")  # entries of a state without a weight


class Optimizer(Configurable):
    """Base class of optimizers, which update weights by their gradients.

    An update is a recurrence, so it is a step like a cell's: a rule in NumPy, which is compiled and runs once for all
    weights of a model. A subclass names its `slots`, arrays like the weight that are 0 at first, and writes `rule`::

        weight, slots = rule(weight, gradient, slots, now)

    The rule gets the weights in rows, so it must be elementwise. Its coefficients are in
    `now`: ``now.learning_rate`` and the others that `coefficients` returns for an update.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        A number of 0 or more, or a function that returns one for each update, see `rnnkit.optimizers.schedules`.
    weight_decay : float, optional
        Before the update, each weight loses ``learning_rate * weight_decay`` of itself.
    clipnorm : float, optional
        The gradient of each weight is scaled to at most this length.
    clipvalue : float, optional
        Every component of a gradient is clipped to between minus this and this.
    global_clipnorm : float, optional
        All gradients are scaled by one factor, so that they have at most this length together.
    use_ema : bool
        Keep a moving average of each weight, which takes the weight's place at the end of a fit.
    ema_momentum : float from 0 to 1
        What an average keeps of itself at each update.
    ema_overwrite_frequency : int, optional
        The averages take the weights' places after every so many updates, too.
    gradient_accumulation_steps : int, optional
        Change the weights once in so many updates, by the mean of their gradients.
    name : str, optional

    Raises
    ------
    ValueError
        For a number out of range, or more than one way to clip.

    Notes
    -----
    Clipping includes the regularizers' gradients. Lengths are computed in float64, and no result depends on
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

    clipnorm: Any
    clipvalue: Any
    global_clipnorm: Any
    slots: tuple[str, ...] = ()
    _coefficients: tuple[str, ...] = ()  # coefficients passed to the rule unchanged

    # Set by optimizers that evaluate the loss themselves, such as `LBFGS`.
    minimize: Callable[..., dict[str, np.ndarray]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        describe_by_bases(cls)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ):
        self._rate = schedules.get(learning_rate)
        self.weight_decay: Any = None if weight_decay is None else number_from_zero(weight_decay, "weight_decay")
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
        self.use_ema: bool = bool(use_ema)
        self.ema_momentum: float = number_from_zero(ema_momentum, "ema_momentum")
        if self.ema_momentum > 1:
            raise ValueError(f"expected ema_momentum from 0 to 1, got {ema_momentum!r}")
        self.ema_overwrite_frequency: int | None = _positive(ema_overwrite_frequency, "ema_overwrite_frequency")
        self.gradient_accumulation_steps: int | None = _positive(
            gradient_accumulation_steps, "gradient_accumulation_steps"
        )
        if (gradient_accumulation_steps or 1) > 1 and (clipnorm or global_clipnorm):
            raise ValueError(
                "expected clipvalue with gradient_accumulation_steps: lengths would be those of single batches; got "
                f"clipnorm={clipnorm}, global_clipnorm={global_clipnorm}"
            )
        self._swapped = False  # whether the averages are in the model, and its weights here
        self._kept_whole: list = []  # variables and patterns of their names, without weight decay
        self.name: Any = name or type(self).__name__.lower()
        self._iterations = 0
        self._variables: list[Variable] = []  # that `build` was given
        self._groups: list[Group] | None = None
        self._waiting: dict[str, np.ndarray] | None = None  # a state for weights not yet known
        self._owner: weakref.ref | None = None
        self._apply_runner = ApplyRunner()

    def __setattr__(self, name: str, value: Any) -> None:
        known = name[0] == "_" or hasattr(type(self), name) or name in vars(self) or not is_own(type(self))
        if not known and name not in {one.name for kind in (Optimizer, type(self)) for one in parameters(kind)}:
            raise AttributeError(
                f"expected an attribute that {self.name!r} has, got {name!r}, which would change nothing; "
                "learning_rate and clipnorm are examples"
            )
        super().__setattr__(name, value)

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        """Update a weight in NumPy: ``(weight, slots)``, both new.

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
        """Return the rule's coefficients ``now`` at an update, which can change without compiling again.

        Parameters
        ----------
        step : int
            1 for the first update.
        learning_rate : float
        """
        return {"learning_rate": learning_rate} | {name: getattr(self, name) for name in self._coefficients}

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; settable unless a schedule gives it.

        Raises
        ------
        TypeError
            If the rate is set although a schedule gives it.
        """
        return of_optimizer(Rate, self._current_rate(), self)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> Any:
        if callable(self._rate) and not callable(value):
            raise TypeError(
                f"expected the learning rate of {self.name!r} to be left to its schedule {self._rate!r}; make the "
                "optimizer with a number to set it"
            )
        self._rate = schedules.get(value)

    @property
    def _all_slots(self) -> tuple[str, ...]:
        """The slots of the rule, and those of averages and accumulated gradients."""
        several = (self.gradient_accumulation_steps or 1) > 1
        return (*self.slots, *["ema"] * self.use_ema, *["accumulated"] * several)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Leave some weights out of the decay.

        Parameters
        ----------
        var_list : list of variables, optional
        var_names : list of str, optional
            Regular expressions, each searched for in the names of weights, such as ``"dense/bias"``.

        Raises
        ------
        ValueError
            After the first update.
        """
        if self._groups is not None:
            raise ValueError(f"expected weights without decay to be named before {self.name!r} makes an update")
        self._kept_whole = [*self._kept_whole, *(var_list or []), *map(re.compile, var_names or [])]

    def _keeps_whole(self, name: str) -> bool:
        """Return whether a weight doesn't decay."""
        if not self._kept_whole:
            return False
        owner = None if self._owner is None else self._owner()
        key = None if owner is None else weight_keys(owner).get(name)
        path = name.partition("/")[2] if name.startswith("variable ") else name
        return any(
            one.search(path) if isinstance(one, re.Pattern) else one.key == key or one.path == path
            for one in self._kept_whole
        )

    def finalize_variable_values(self, variables: Any) -> None:
        """Set variables to the averages of `use_ema`, as the end of a fit does."""
        if self.use_ema:
            self.swap_averages(variables, back=False)

    def swap_averages(self, variables: Any, back: bool = True) -> None:
        """Replace variables by the averages of `use_ema`, and, with `back`, these by the variables."""
        variables, state = list(variables), self.get_state()
        names = [f"ema/{name}" for name in names_of(variables, None if self._owner is None else self._owner())]
        pairs = [(one, name) for one, name in zip(variables, names, strict=True) if name in state]
        new = {name: one.numpy() for one, name in pairs}
        if pairs and (back or not self._swapped):
            put_all([one for one, _ in pairs], [state[name] for _, name in pairs])
        self.set_state(state | new if back or self._swapped else state)
        self._swapped = back and not self._swapped

    def _current_rate(self) -> float:
        return float(self._rate(self._iterations)) if callable(self._rate) else self._rate

    @property
    def iterations(self) -> int:
        """The number of updates so far; an int that has ``assign`` and ``numpy``, as the learning rate has."""
        return of_optimizer(Count, self._iterations // (self.gradient_accumulation_steps or 1), self)

    @iterations.setter
    def iterations(self, value: Any) -> Any:
        self._iterations = int(value) * (self.gradient_accumulation_steps or 1)

    # Updates

    def apply(
        self,
        weights: Mapping[str, np.ndarray],
        gradients: Mapping[str, np.ndarray | RowGradient] | Any = None,
        weight_options: Mapping[str, WeightOptions] | None = None,
        *,
        trainable_variables: Any = None,
    ) -> dict[str, np.ndarray]:
        """Update all weights once.

        ``apply(gradients, variables)`` of two lists, as Keras has it, updates variables in their place.

        Parameters
        ----------
        weights : mapping of str to ndarray
            float32 or float64; the same names and shapes at every call.
        gradients : mapping of str to ndarray or RowGradient
            At least one for each trainable weight, without those of regularizers.
        weight_options : mapping of str to WeightOptions, optional
            Whether weights are trainable, their regularizers and constraints; by default all are trainable.

        Returns
        -------
        dict of str to ndarray
            The trainable weights after the update, read-only; of variables an empty one.

        Raises
        ------
        ValueError
            For other weights than at the first update, or a gradient that is missing or has another shape.
        FloatingPointError
            For NaN or infinity in a gradient, or in what a weight would become, with the weight's name. The state is
            unchanged after any error.
        """
        if not isinstance(weights, Mapping):
            given = trainable_variables if gradients is None else gradients
            update(self, weights, self._variables if given is None else given)
            return {}
        if gradients is None or trainable_variables is not None:
            raise TypeError("expected apply(weights, gradients) by name, or apply(gradients, variables) of two lists")
        found = self._apply_runner.apply(self, weights, gradients) if weight_options is None else None
        return self._applied(weights, gradients, weight_options or {}) if found is None else found

    def _applied(self, weights, gradients, weight_options: Mapping[str, WeightOptions] = {}) -> dict[str, np.ndarray]:
        """Return the result of `apply`, without recordings."""
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
            group.take_weights(weights)
            group.take_options(own)
            group.take_gradients(gradients)
        if self.clipnorm or self.global_clipnorm:
            self._scale(groups)
        now = self._now()
        results = [group.run(now) for group in groups]
        for what in (0, 1):
            if wrong := {
                name for group, result in zip(groups, results, strict=True) for name in group.not_finite(what, result)
            }:
                name = next(name for name in names if name in wrong)
                raise FloatingPointError(_not_finite(what, name, gradients[name], weights[name].dtype))
        made = [group.finish(result, own) for group, result in zip(groups, results, strict=True)]
        for group, (rows, views, slots) in zip(groups, made, strict=True):
            group.keep(rows, views, slots)
        if fresh:
            self._groups, self._waiting = groups, None
        self._iterations += 1
        found = {name: view for _, views, _ in made for name, view in views.items()}
        return {name: found[name] for name in names}

    def apply_gradients(self, grads_and_vars: Any) -> None:
        """Update variables in their place, given as pairs of a gradient and a variable.

        A variable whose gradient is None is left as it is, with a warning. What regularizers add has to be in the
        gradients, as it is where `losses` of the model are in the loss; constraints are applied.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> layer, optimizer = rk.Dense(1, use_bias=False, kernel_initializer="ones"), rk.optimizers.SGD(0.5)
        >>> y, pullback = layer.vjp(np.ones((1, 2), "float32"))
        >>> optimizer.apply_gradients(zip(pullback(np.ones_like(y)).weights.values(), layer.variables))
        >>> layer.weights["kernel"].tolist()
        [[0.5], [0.5]]
        """
        pairs = list(grads_and_vars)
        update(self, [gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def build(self, variables: Any) -> None:
        """Make the slots of variables, so that they are among `variables` before the first update."""
        self._variables = list(variables)
        names = names_of(self._variables, None if self._owner is None else self._owner())
        self._groups = self._laid_out(
            {name: one.value for name, one in zip(names, self._variables, strict=True)}, names
        )
        self._waiting = None

    @property
    def variables(self) -> list[Variable]:
        """Return what the next update depends on, the entries of `get_state`, as variables that can be assigned."""
        return [StateVariable(self, name, array.shape) for name, array in self.get_state().items()]

    def stateless_apply(self, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> tuple[list, list]:
        """Return arrays and entries of a state after an update, and leave the optimizer as it is.

        Parameters
        ----------
        optimizer_variables : list of array_like
            As `variables` has them.
        grads, trainable_variables : list of array_like
            In the order of `build`.

        Raises
        ------
        ValueError
            Before `build`, and as `apply`.
        """
        if not self._variables:
            raise ValueError(f"expected {self.name!r} to know its weights; call build(model.trainable_variables) first")
        names = names_of(self._variables, None if self._owner is None else self._owner())
        before, groups = (self._iterations, self._rate), self._groups or []
        slots = [tuple(map(np.array, group.slots)) for group in groups]  # an update may change them in place
        try:
            self.set_state(dict(zip(self._state_names(), map(np.asarray, optimizer_variables), strict=True)))
            dtypes = [one.dtype for one in self._variables]
            weights = dict(zip(names, map(np.asarray, trainable_variables, dtypes), strict=True))
            new = self.apply(weights, dict(zip(names, grads, strict=True)), limits_of(names, self._variables))
            return [new[name] for name in names], list(self.get_state().values())
        finally:
            self._iterations, self._rate = before
            for group, own in zip(groups, slots, strict=True):
                group.slots = own

    def _now(self) -> dict[str, float]:
        """Return the coefficients common to all rows of the next update: the rule's, then the limit and the decay."""
        rate = self._current_rate()
        limit = np.inf if self.clipvalue is None else self.clipvalue
        every, done = self.gradient_accumulation_steps or 1, self._iterations + 1
        made = self._iterations // every
        now = {**self.coefficients(made + 1, rate)}
        if self.use_ema:
            now[KEEPS] = self.ema_momentum if made else 0.0
            now[REPLACES] = float(self.ema_overwrite_frequency is not None and done % self.ema_overwrite_frequency == 0)
        if every > 1:
            now[CHANGES] = float(done % every == 0)
        now[LIMIT], now[DECAY] = limit, rate * (self.weight_decay or 0.0)
        return now

    @contextlib.contextmanager
    def _all_or_nothing(self):
        """Restore the state if the block fails."""
        own = self._iterations, self._groups, self._waiting
        kept = [(group, group._weights, group._views, group.slots) for group in self._groups or ()]
        try:
            yield
        except BaseException:
            self._iterations, self._groups, self._waiting = own
            for group, *arrays in kept:
                group.keep(*arrays)
            raise

    def _scale(self, groups) -> None:
        """Scale gradients to the lengths allowed by clipping."""
        squares, limit = [group.squares() for group in groups], self.clipnorm or self.global_clipnorm
        total = sum(square for found in squares for square in found.values())
        for group, found in zip(groups, squares, strict=True):
            lengths = {name: (square if self.clipnorm else total) ** 0.5 for name, square in found.items()}
            group.scale({name: limit / max(length, limit) for name, length in lengths.items()})

    def _laid_out(self, weights, names) -> list[Group]:
        """Return the groups of weights of one dtype, made at the first update."""
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
            Group(self, Rows({name: shape for name, (shape, own) in given.items() if own == dtype}, dtype))
            for dtype in dtypes
        ]
        if self._waiting is not None:
            _restore(groups, self._waiting, self.name)
        return groups

    def belong_to(self, model: Any) -> None:
        """Become the optimizer of a model.

        Raises
        ------
        ValueError
            If the optimizer has trained another model, whose moments it holds.
        """
        if self.iterations and self._owner is not None and self._owner() is not model:
            raise ValueError(
                f"expected a new optimizer, {self.name!r} has made {self.iterations} updates of another model; what it "
                "keeps of those goes from one to the other by get_state and set_state"
            )
        self._owner = weakref.ref(model)

    # State and configuration

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the state that the next update depends on, besides weights and gradients, as new arrays.

        Returns
        -------
        dict of str to ndarray
            ``"iterations"``, ``"learning_rate"`` unless a schedule gives it, and ``"slot/weight"`` for each slot of
            each weight.
        """
        state = {"iterations": np.array(self._iterations, np.int64)}
        if not callable(self._rate):
            state["learning_rate"] = np.array(self._rate, np.float64)
        if self._groups is None:
            return state | {name: array.copy() for name, array in (self._waiting or {}).items()}
        for group in self._groups:
            for slot, rows in zip(self._all_slots, group.slots, strict=True):
                state |= {f"{slot}/{name}": view.copy() for name, view in group.rows.views(rows).items()}
        return state

    def _state_names(self) -> list[str]:
        """Return the names in a state of `get_state`, after the first update or `build`."""
        names = list(_OWN[: 1 if callable(self._rate) else 2])
        return names + [
            f"{slot}/{name}" for group in self._groups or () for slot in self._all_slots for name in group.rows.shapes
        ]

    def set_state(self, state: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray] | None = None) -> None:
        """Set a state of `get_state`; the next update then has the same bits.

        Parameters
        ----------
        state : dict of str to ndarray
        weights : dict of str to ndarray, optional
            The weights to update, by name.

        Raises
        ------
        ValueError
            For a state of other weights, or of another optimizer; before the first update, raised there unless
            `weights` are given.
        """
        state = {name: np.array(real(array, f"the state {name!r}")) for name, array in state.items()}
        if "iterations" not in state or state["iterations"].size != 1:
            raise ValueError(f"expected a state from get_state of {self.name!r}, with iterations; got {list(state)}")
        iterations = int(state.pop("iterations"))
        rate = state.pop("learning_rate", None)
        if self._groups is None:
            waiting, self._waiting = self._waiting, state if iterations else None
            try:
                if weights is not None:
                    self._laid_out(weights, list(weights))
            except ValueError:
                self._waiting = waiting
                raise
        else:
            _restore(self._groups, state, self.name)
        self._iterations = iterations
        if rate is not None and not callable(self._rate):
            self._rate = float(rate)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""
        config = {one.name: getattr(self, one.name) for one in parameters(type(self))}
        if "learning_rate" in config:
            config["learning_rate"] = schedules.config_of(self._rate)
        return config

    def __getstate__(self) -> Any:
        # Groups hold compiled code; a copy makes its own at the first update.
        slots = {name: array for name, array in self.get_state().items() if name not in _OWN}
        own: dict[str, Any] = {"_groups": None, "_owner": None, "_apply_runner": ApplyRunner(), "_variables": []}
        return self.__dict__ | own | {"_waiting": slots if self.iterations else None}

    def __repr__(self) -> str:
        plain = {one.name: one for one in parameters(type(self))}
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value is not None and name != "name" and (name not in plain or plain[name].default != value)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _positive(value, what: str) -> int | None:
    return None if value is None else positive_integer(value, what)


def _restore(groups, state, name) -> None:
    """Set the state of groups, after a check that it is theirs."""
    made = []
    known: set[str] = set()
    for group in groups:
        slots = []
        for slot in group.optimizer._all_slots:
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


def _not_finite(what: int, name, gradient, dtype) -> str:
    """Return the error's text for a gradient (`what` is 0) or a new weight (1)."""
    if what:
        return f"expected finite weights, but the update leads {name!r} beyond {dtype}; no weight was changed"
    given = np.asarray(gradient)
    with np.errstate(over="ignore"):
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(given.astype(dtype)))[0])
    return f"expected finite gradients, got {given[place]} at {list(place)} in that of {name!r}; no weight was changed"


def _other_weights(name, known, given) -> str:
    changed = [key for key in (*known, *given) if known.get(key) != given.get(key)]
    key = changed[0]
    told = (f"{one[key][1]} {one[key][0]}" if key in one else "none" for one in (known, given))
    return (
        f"expected {name!r} to get the trainable weights of its first update, {key!r} was {next(told)} and is "
        f"{next(told)}; other weights want a new optimizer: compile again"
    )
