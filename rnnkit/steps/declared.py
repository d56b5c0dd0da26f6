"""Cells declared with ``rnnkit.steps.cell``: a step function and a spec."""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from rnnkit.arguments import positive_integer, real_number, whole
from rnnkit.arrays import real
from rnnkit.hints import Array, Config, CustomObjects, Shape
from rnnkit.serialization.configuration import from_json, to_json
from rnnkit.steps import step_draws
from rnnkit.steps.cell import LOOP_LIMIT, Cell, Values, check_complex, check_density, complete_pull, split_step_result
from rnnkit.steps.rows import IntegerStarts, is_integer
from rnnkit.steps.states import State, StateSpec, named_states, names_in, numbers_of
from rnnkit.steps.weight_options import WeightOptions

_OPTIONAL = ("constants", "training", "draws")


@dataclass(frozen=True)
class Weight:
    """A weight in the spec of a declared cell.

    Parameters
    ----------
    shape : size or tuple of sizes
        Each an integer, ``"features"``, a keyword of the cell such as ``"units"``, or a product such as ``"4*units"``.
    initializer : str, callable or initializer
        A name such as ``"orthogonal"``, or a function ``(shape, rng) -> array``; one that returns a ``scipy.sparse``
        array makes a sparse weight.
    density : float, optional
        Above 0 and at most 1: makes a sparse weight, of two axes ``(K, N)``. Of the initializer's values, which are
        not rescaled, n = ``round(density * K)`` in each column stay, at least one: one in each n-th part of the rows,
        drawn by the layer's seed. The others are 0.
    trainable : bool
        False for a weight that training leaves as it is.
    regularizer : str or Regularizer, optional
        Its penalty is added to the loss in training, see `rnnkit.regularizers`.
    constraint : str or callable, optional
        ``weight -> weight``, applied after each update, see `rnnkit.constraints`.
    dtype : {"float", "complex"}
        "complex" is complex64 in a layer of float32, and complex128 in one of float64. Initializers that are drawn draw
        both parts, with half of the variance each; "orthogonal" makes a unitary matrix, and
        `rnnkit.initializers.Ring` numbers inside the unit circle. A function may return complex numbers.

    Raises
    ------
    ValueError
        For another density, or one of a weight that has other than two axes; for an unknown name or dtype; for a
        complex weight with a density or a constraint.
    TypeError
        For a `trainable` that is neither True nor False, or what is no regularizer or constraint.

    Notes
    -----
    A sparse weight is an array with zeros like any other to look at and to compute with, in the step too. ``h @ w``
    takes only what isn't 0, faster where that is a fifth or less, and its results have the same bits. A zero is no
    connection: an infinity or NaN of ``h`` there reaches nothing.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"), "ones")})
    ... def summing(x, states, weights):
    ...     h = states[0] + x @ weights.kernel
    ...     return h, h
    >>> rk.RNN(summing(2))(np.ones((1, 4, 3)))
    array([[12., 12.]])
    """

    shape: tuple[Any, ...]
    initializer: object = "glorot_uniform"
    density: float | None = None
    _: KW_ONLY
    trainable: bool = True
    regularizer: object = None
    constraint: object = None
    dtype: str = "float"

    def __post_init__(self) -> None:
        check_density(self.density, self.shape)
        check_complex(self.dtype, self.density, self.constraint, "a weight")
        weight_options = WeightOptions(self.trainable, self.regularizer, self.constraint)  # type: ignore[arg-type]
        for name in ("regularizer", "constraint"):
            object.__setattr__(self, name, getattr(weight_options, name))


@dataclass(frozen=True)
class Draw:
    """An array of random numbers for each row: the same at every step of a call (a dropout mask), or new at each.

    Parameters
    ----------
    shape : size or tuple of sizes
        As in `Weight`; the step sees ``(B, *shape)``.
    function : callable, or "normal", "uniform" or "exponential"
        ``(rng, shape) -> array`` with a `numpy.random.Generator`; or the standard distribution of a name.
    every : {"call", "step"}
        With "step", each used step has new numbers, drawn in training and outside of it. The function is read with the
        step then, and `rng` has the methods ``random``, ``uniform``, ``standard_normal``, ``normal``, ``lognormal``,
        ``standard_exponential``, ``exponential``, ``gumbel``, ``logistic``, ``laplace``, ``standard_gamma``, ``gamma``,
        ``poisson``, ``integers`` and ``choice``. Gradients go through what these are given, such as a mean, but for the
        shape of a gamma distribution, the mean of a Poisson distribution and the probabilities of a choice.

    Notes
    -----
    A cell that draws at each step has one state more, the last, by the name ``random``: the key of the row's generator
    and the number of steps gone, ``(4,)``. A call that is given none, with `initial_state` of the other states or
    without, draws new keys by the layer's seed. With the
    states of a call as `initial_state`, the next one goes on as one call would; so do streams and stateful layers. The
    numbers are those of Philox4x32-10, the same in any batch of rows with the same keys, and on any number of threads.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"s": 1}, draws={"z": rk.Draw((1,), "normal", every="step")})
    ... def brownian(x, states, draws):
    ...     s = states.s + np.sqrt(0.01) * draws.z
    ...     return s, s
    >>> paths = rk.RNN(brownian(), return_sequences=True, seed=0)(np.zeros((10000, 100, 1), "float32"))
    >>> round(float(paths[:, -1].std()), 1)
    1.0
    >>> import numpy as np, rnnkit as rk
    >>> noise = rk.Draw(("units",), lambda rng, shape: rng.normal(size=shape))
    >>> @rk.cell(states={"h": "units"}, draws={"noise": noise})
    ... def shifted(x, states, weights, draws):
    ...     return states[0] + draws.noise, states[0]
    >>> rk.RNN(shifted(3), seed=0)(np.ones((1, 4, 2))).shape
    (1, 3)
    """

    shape: tuple[Any, ...]
    function: Any
    every: str = "call"

    def __post_init__(self) -> None:
        if self.every not in ("call", "step"):
            raise ValueError(f"expected every as 'call' or 'step', got {self.every!r}")
        if isinstance(self.function, str):
            object.__setattr__(self, "function", step_draws.function_of(self.function))
        elif not callable(self.function):
            raise TypeError(f"expected a function of a generator and a shape, got {self.function!r}")


def keyed(states: dict[str, Any], draws: dict[str, Draw]) -> tuple[dict[str, Any], dict[str, Draw]]:
    """Return states and draws with those that draws of each step need; a ValueError if their name is taken."""
    if all(draw.every == "call" for draw in draws.values()):
        return states, draws
    if step_draws.STATE in (*states, *draws):
        raise ValueError(f"expected no state or draw named {step_draws.STATE!r}, which draws of each step need")
    keys = Draw((2,), step_draws.new_keys)
    return states | {step_draws.STATE: (step_draws.SIZE,)}, draws | {step_draws.STATE: keys}


class DeclaredCell(Cell):
    """A cell made by `cell`: a step function and a spec. Not made by hand."""

    step: Callable
    spec: SimpleNamespace
    _feature_shape: tuple[int, ...] = ()  # known when the cell is built; states may be as large as the features

    def __init__(self, *args: Any, name: str | None = None, **keywords: Any):
        super().__init__(name=name)
        try:
            bound = self.spec.signature.bind(*args, **keywords)
        except TypeError as error:
            takes = ", ".join(self.spec.signature.parameters) or "none"
            raise TypeError(f"{type(self).__name__}: {error}; its keywords are: {takes}") from None
        bound.apply_defaults()
        self.keywords: dict[str, Any] = dict(bound.arguments)
        for size in self.spec.size_names:
            self.keywords[size] = positive_integer(self.keywords[size], size)
        hidden = {"step", "vjp", "spec", "per_row", "loop_limit", "state_size", "weights", "built", "name", "keywords"}
        for key, value in self.keywords.items():
            if key not in hidden:
                setattr(self, key, value)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The arguments after ``*`` in the step's signature, as given to this cell."""
        return {name: self.keywords[name] for name in self.spec.hyperparameters}

    @property
    def state_size(self) -> Any:
        """As `StateSpec` reads it: an integer or tuple for one state, a list for several."""
        return self._size(self._feature_shape)

    def _size(self, feature_shape):
        shapes = [numbers_of(shape, self.keywords, feature_shape) for shape in self.spec.states.values()]
        plain: list[Any] = [shape[0] if len(shape) == 1 else shape for shape in shapes]
        plain = [
            State(s, "complex") if n in self.spec.complex else s for n, s in zip(self.spec.states, plain, strict=True)
        ]
        return plain[0] if len(plain) == 1 and len(shapes[0]) == 1 else plain

    def build(self, input_shape: Shape) -> None:
        """Create the declared weights."""
        self._feature_shape = tuple(input_shape[1:])
        shapes = {
            name: numbers_of(weight.shape, self.keywords, input_shape[1:]) for name, weight in self.spec.weights.items()
        }
        self._check_memory(shapes)
        for name, weight in self.spec.weights.items():
            kept = ("density", "trainable", "regularizer", "constraint", "dtype")
            self.add_weight(shapes[name], weight.initializer, name, **{one: getattr(weight, one) for one in kept})
        self.built = True

    def call(
        self, inputs: Array, states: Array, constants: Array = (), training: bool = False, draws: Any = None
    ) -> Any:
        """Compute one step with this cell's weights."""
        output, new = self._advance(inputs, tuple(states), tuple(constants), training, draws or {})
        return output, list(new)

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Return zeros, or what ``initial`` says, ``(B, *shape)`` each."""
        spec = self._states()
        flat = spec.unpaired(spec.zeros(whole(batch_size, "batch_size", 0), np.float64))
        for i, name in enumerate(self.spec.states):
            value, what = self.spec.initial.get(name, 0.0), f"the initial state {name!r}"
            if callable(value):
                flat[i] = real(value(batch_size), what, complex_too=spec.complex[i])
                continue
            if np.shape(value) not in ((), spec.own_shapes[i]):
                told = f"as a number or in shape {spec.own_shapes[i]}, got {np.shape(value)}"
                raise ValueError(f"expected {what} {told}")
            flat[i] += value
        return flat[0] if spec.bare else flat

    def get_config(self) -> Config:
        """Return the keywords as JSON values."""
        config = {key: to_json(value, key) for key, value in self.keywords.items()}
        return config | {"name": self.name} if self.name else config

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return the cell with this configuration."""
        return cls(**{key: from_json(value) for key, value in config.items()})

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.keywords.items())
        return f"{type(self).__name__}({inside})"

    def _states_line(self):
        spec = self._states()
        shapes = zip(self.spec.states, spec.own_shapes, spec.complex, strict=True)
        return ", ".join(f"{name} {shape}{' complex' if c else ''}" for name, shape, c in shapes)

    def _declared_weights(self):
        rows = []
        for name, weight in self.spec.weights.items():
            shape = weight.shape if isinstance(weight.shape, (tuple, list)) else (weight.shape,)
            traits = ["complex"] * (weight.dtype == "complex") + ["sparse"] * (weight.density is not None)
            traits += ["not trained"] * (not weight.trainable)
            drawn = getattr(weight.initializer, "__name__", None) or str(weight.initializer)
            rows.append((name, f"({', '.join(map(str, shape))})", drawn, ", ".join(traits)))
        return rows

    def _states(self, feature_shape=None):
        size = self._size(self._feature_shape if feature_shape is None else feature_shape)
        spec = StateSpec(size, least=0)  # as large as the features may be nothing
        spec.bare, spec.keyed = len(spec.shapes) == 1, self._draws_each_step()
        return spec

    def _declares_complex(self):
        return any(weight.dtype == "complex" for weight in self.spec.weights.values())

    def _starts_at_zero(self):
        return self._starts_alike() and not self.spec.initial

    def _starts_alike(self):
        own = type(self).get_initial_state is DeclaredCell.get_initial_state
        return own and not any(map(callable, self.spec.initial.values()))

    def _takes(self, name):
        return name in self.spec.optional

    def _draws(self, feature_shape):
        return {
            name: (draw, numbers_of(draw.shape, self.keywords, feature_shape))
            for name, draw in self.spec.draws.items()
            if draw.every == "call"
        }

    def _draws_each_step(self):
        return any(draw.every == "step" for draw in self.spec.draws.values())

    def _drawn(self, states, draws):
        """Return the states and draws that the user's step sees, and the generator's state after it, if any."""
        if not self._draws_each_step():
            return states, draws, ()
        *own, state = states
        state = step_draws.begun(state, draws[step_draws.STATE])
        of_each_step = {
            name: (draw.function, numbers_of(draw.shape, self.keywords, self._feature_shape))
            for name, draw in self.spec.draws.items()
            if draw.every == "step"
        }
        # Of each call, those that the step looks at: the layer draws no others.
        given = ChainMap(step_draws.drawn(of_each_step, state), draws)
        return own, given, (step_draws.advanced(state),)

    def _advance_one(self, x, states, constants, training, draws, read=None):
        states, draws, random = self._drawn(states, draws)
        given = {"constants": constants, "training": training, "draws": Values(draws)}
        optional = {name: given[name] for name in self.spec.optional}
        positional = (Values(self._own_weights()),) if self.spec.takes_weights else ()
        step = type(self).step if read is None else read(type(self).step, self.loop_limit)
        result = step(x, self.spec.named(*states), *positional, **optional, **self.hyperparameters)
        output, new = split_step_result(result, self)
        return output, (*new, *random)

    def _pull(self, x, states, constants, training, draws, d_output, d_states):
        given = {"constants": constants, "training": training, "draws": Values(draws)}
        given |= self.hyperparameters
        weights = (Values(self._own_weights()),) if self.spec.takes_weights else ()
        named = {name: given[name] for name in self.spec.vjp_names}
        result = type(self).vjp(x, self.spec.named(*states), *weights, d_output, d_states, **named)  # type: ignore[attr-defined]
        return complete_pull(result, self, x, states, constants)


def _started(value, name: str, complex_too: bool) -> complex | np.ndarray:
    """Return the number, or a copy of the array, that a state begins with."""
    what = f"the initial state {name!r}"
    if np.ndim(value) == 0:
        return value if complex_too and isinstance(value, complex) else real_number(value, what)
    found = np.array(real(value, what, complex_too=complex_too))
    found.flags.writeable = False
    return found


def cell(
    states: Array = None,
    weights: Any = None,
    initial: Array = None,
    draws: Any = None,
    vjp: Any = None,
    *,
    per_row: bool = False,
    loop_limit: int = LOOP_LIMIT,
) -> Any:
    """Declare a cell: a step function in NumPy, and what its states and weights are.

    Parameters
    ----------
    states : dict of str to size, tuple of sizes or State
        Name to shape of each state without the batch axis, in the order of the step's ``states``, which is a named
        tuple: ``states.h``. The shape ``()`` is a number for each row. `State` declares a complex one.
    weights : dict of str to Weight, optional
    initial : dict of str to number, array or function, optional
        A start other than zero: a number, an array of the state's shape, or ``batch_size -> array (B, *shape)``.
    draws : dict of str to Draw, optional
        Arrays of random numbers, drawn once per call or at each step.
    vjp : callable, optional
        How cotangents go back through the step, for one that can't be differentiated, or not as it stands:
        ``vjp(x, states, weights, d_output, d_states)`` to ``(d_x, d_states, d_weights)``. Its arguments are the step's
        (also ``constants``, ``training``, ``draws`` and hyper-parameters, as far as it names them) and the cotangents
        of what the step returned. ``d_weights`` is a dict by name, summed over rows. None, or a name left out, stands
        for zeros. With constants, ``d_constants`` is a fourth. It runs in a Python loop, see the
        guide "Gradients".
    per_row : bool
        Whether the step sees one row, without a batch axis: ``x`` is ``(features,)``, a state of shape ``()`` is a
        number, as may be the output, and ``if`` and ``while`` decide by the row's values.
    loop_limit : int
        How many rounds a loop in such a step may have: more are an error.

    Returns
    -------
    A decorator that makes a class of cells of the step. Its keywords are the sizes that the spec names, and what stands
    after ``*`` in the step's signature.

    Raises
    ------
    ValueError
        For a spec without states, with a size that can't be read, or a step or vjp with another signature.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"total": "features_kept"})
    ... def running_sum(x, states, weights, *, gain=1.0):
    ...     total = states[0] + gain * x
    ...     return total, total
    >>> rk.RNN(running_sum(features_kept=1, gain=2.0))(np.ones((1, 3, 1)))
    array([[6.]])
    """
    if not isinstance(states, Mapping) or not states:
        raise ValueError(f"expected states such as {{'h': 'units'}}, at least one; got {states!r}")
    weights, initial, draws = dict(weights or {}), dict(initial or {}), dict(draws or {})
    for name, weight in weights.items():
        if not isinstance(weight, Weight) or not name.isidentifier():
            raise ValueError(f"expected weights as name: rk.Weight(shape, initializer), got {name!r}: {weight!r}")
    for name, draw in draws.items():
        if not isinstance(draw, Draw):
            raise ValueError(f"expected draws as name: rk.Draw(shape, function), got {name!r}: {draw!r}")
    if unknown := set(initial) - set(states):
        raise ValueError(f"initial names {', '.join(sorted(unknown))}, but the states are {', '.join(states)}")
    complex_states = {name for name, one in states.items() if isinstance(one, State) and one.dtype == "complex"}
    states = {name: one.shape if isinstance(one, State) else one for name, one in states.items()}
    integers = {name for name, value in initial.items() if is_integer(value)}
    for name, value in initial.items():
        initial[name] = value if callable(value) else _started(value, name, name in complex_states)
    names = dict.fromkeys(n for shape in states.values() for n in names_in(shape))
    for part in (*weights.values(), *draws.values()):
        names |= dict.fromkeys(names_in(part.shape))

    all_states, all_draws = keyed(dict(states), draws)
    every_step = all_draws is not draws

    def declare(step):
        if not callable(step):
            raise ValueError(f"expected a step function under rk.cell, got {type(step).__name__}")
        positional, optional, hyperparameters = _read_signature(step)
        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        defaults = {n: hyperparameters[n].default if n in hyperparameters else empty for n in names}
        parameters = [inspect.Parameter(n, kind, default=default) for n, default in defaults.items()]
        parameters.sort(key=lambda p: p.default is not p.empty)
        parameters += [p for n, p in hyperparameters.items() if n not in names]
        if vjp is not None and every_step:
            raise ValueError(f"expected {step.__name__!r} without a vjp, since it draws at each step")
        spec = SimpleNamespace(
            states=all_states,
            complex=complex_states,
            weights=weights,
            initial=initial,
            draws=all_draws,
            size_names=tuple(names),
            hyperparameters=tuple(hyperparameters),
            optional=tuple(optional),
            takes_weights=positional == 3,
            vjp_names=() if vjp is None else _read_vjp(vjp, step, positional, optional, hyperparameters),
            named=named_states(states),
            signature=inspect.Signature(parameters),
        )
        attributes = {"step": staticmethod(step), "spec": spec, "__doc__": step.__doc__, "__module__": step.__module__}
        attributes |= {"per_row": per_row, "loop_limit": positive_integer(loop_limit, "loop_limit")}
        attributes["_integer_starts"] = IntegerStarts({i: n for i, n in enumerate(all_states) if n in integers})
        if vjp is not None:
            attributes["vjp"] = staticmethod(vjp)
        made = type(step.__name__, (DeclaredCell,), attributes)
        made.__qualname__ = step.__qualname__
        setattr(made, "__signature__", spec.signature)  # noqa: B010
        return made

    if callable(states):
        raise ValueError("expected rk.cell(states=…) with a state spec above the step")
    return declare


def _read_signature(step):
    positional, optional, hyperparameters = 0, [], {}
    for p in inspect.signature(step).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(f"expected the step {step.__name__!r} to name its parameters, got {p}")
        if p.name in _OPTIONAL and positional >= 2:
            optional.append(p.name)
        elif p.kind is p.KEYWORD_ONLY:
            hyperparameters[p.name] = p
        else:
            positional += 1
    if positional not in (2, 3):
        raise ValueError(
            f"expected {step.__name__}(x, states, weights, *, …), perhaps with constants, training or draws before the "
            f"star; got {step.__name__}{inspect.signature(step)}"
        )
    return positional, optional, hyperparameters


def _read_vjp(vjp, step, positional, optional, hyperparameters) -> tuple[str, ...]:
    """Return what the vjp of a step takes by name."""
    if not callable(vjp):
        raise ValueError(f"expected vjp to be a function, got {type(vjp).__name__}")
    count, named = 0, []
    for p in inspect.signature(vjp).parameters.values():
        if p.name in (*optional, *hyperparameters) and count >= 2:
            named.append(p.name)
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            count += 1
        else:
            count = -1
            break
    if count != positional + 2:
        weights = ", weights" if positional == 3 else ""
        raise ValueError(
            f"expected a vjp of {step.__name__!r} such as vjp(x, states{weights}, d_output, d_states), and what "
            f"else the step takes by its name; got {inspect.signature(vjp)}"
        )
    return tuple(named)
