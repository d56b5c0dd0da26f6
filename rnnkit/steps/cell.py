"""Cells: the class form, its weights, and any object with ``call`` and ``state_size`` seen as one."""

from __future__ import annotations

import copy
import functools
import inspect
import numbers
import sys
from collections.abc import Callable, Hashable, Mapping
from types import FunctionType, MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

from rnnkit import allocation, tracebacks
from rnnkit.arguments import sizes, whole
from rnnkit.arrays import real
from rnnkit.circumstances import circumstances, within
from rnnkit.complex_pairs import says_complex, to_complex, to_pairs
from rnnkit.hints import Array, Shape
from rnnkit.initializers import Initializer, drawn
from rnnkit.initializers import initializer as find_initializer
from rnnkit.serialization.registry import Configurable
from rnnkit.shown import Shown
from rnnkit.steps.rows import IntegerStarts, advance_rows
from rnnkit.steps.states import StateSpec, numbers_of
from rnnkit.steps.weight_options import PLAIN, WeightOptions

LOOP_LIMIT = 10**6  # rounds of a loop in a step of one row

# From a cell to a layer of one step of it, and from that to the shape it is built for; registered by the layers.
ALONE: list[Callable] = []


class Values:
    """Arrays by attribute, ``weights.kernel``; a name that doesn't exist is an error with those that do."""

    __slots__ = ("_arrays",)

    def __init__(self, arrays: Mapping[str, object]):
        self._arrays = arrays

    def __getattr__(self, name):
        try:
            return self._arrays[name]
        except KeyError:
            there = ", ".join(self._arrays) or "none"
            raise AttributeError(f"no array named {name!r} here; there are: {there}") from None

    def __getitem__(self, name):
        raise TypeError(f"expected an array by its attribute, .{name}; got [{name!r}]")


class Under(Mapping):
    """The entries of a mapping under ``path/``, by their names behind it, looked up when asked for."""

    def __init__(self, arrays: Mapping[str, object], path: str):
        self._arrays, self._path = arrays, f"{path}/"

    def __getitem__(self, name):
        return self._arrays[self._path + name]

    def __iter__(self):
        return (key.removeprefix(self._path) for key in self._arrays if key.startswith(self._path))

    def __len__(self):
        return sum(1 for _ in self)


class Cell(Shown, Configurable):
    """Base class of cells in the class form of Keras: `build` adds weights, `call` is one step.

    A subclass sets ``state_size`` (an integer for one state ``(B, n)``, or a list with a size or a tuple of sizes per
    state) and defines ``call(inputs, states)`` returning ``(output, new_states)``; ``call`` may also name
    ``constants``, ``training`` and ``draws``. It may define ``vjp(inputs, states, d_output, d_states)`` returning
    ``(d_x, d_states, d_weights)``, which gradients go by then, see `cell`. With ``per_row = True`` its ``call`` sees
    one row, see `cell`, too. A layer is the loop::

        for t in range(T):
            output, states = cell.call(x[:, t], states)

    Parameters
    ----------
    name : str, optional

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class Counter(rk.Cell):
    ...     state_size = 1
    ...     def call(self, inputs, states):
    ...         return states[0] + 1, [states[0] + 1]
    >>> rk.RNN(Counter())(np.zeros((2, 5, 3)))
    array([[5.],
           [5.]])
    """

    built: bool = False
    per_row: bool = False
    _integer_starts = IntegerStarts()
    loop_limit: int = LOOP_LIMIT
    call: Callable[..., Any]
    _complex_inputs: bool = False  # whether it was built for complex numbers as x
    _complex_constants: tuple[bool, ...] = ()  # which of them are complex numbers, where any is

    def __init__(self, *, name: str | None = None):
        self.name = name

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "build" in vars(cls):
            cls.build = _built_alone(vars(cls)["build"])  # type: ignore[method-assign]

    def __call__(self, inputs: Array, states: Array, *more: Any, **keywords: Any) -> Any:
        """As ``call``: a cell around another writes ``self.cell(inputs, states)``.

        A cell that stands alone makes its weights at the first call, and returns an output and a list of states for
        inputs ``(B, …)``; in a layer of a program's own, it is a part of it.
        """
        if not more and ("_alone" in vars(self) or (not self.built and circumstances().building is None)):
            output, *new = self._by_itself()(inputs[:, None], initial_state=list(states), **keywords)
            return output, new
        return self.call(inputs, states, *more, **keywords)

    def _by_itself(self) -> Any:
        """Return the layer of a cell that stands alone."""
        kept = vars(self).get("_alone")
        if not callable(kept):
            self._alone = ALONE[0](self, kept).__call__  # a method, which no copy for a step looks into
        return self._alone.__self__

    @property
    def variables(self) -> list:
        """The weights as variables, of a cell that stands alone."""
        return self._by_itself().variables

    def build(self, input_shape: Shape) -> None:
        """Create the weights; ``input_shape`` is ``(B, *features)`` with B perhaps None."""
        self.built = True

    def add_weight(
        self,
        shape: Shape,
        initializer: Any = "glorot_uniform",
        name: str | None = None,
        *,
        density: float | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: str = "float",
    ) -> np.ndarray:
        """Create a weight while the cell is built.

        Parameters
        ----------
        shape : tuple of int
        initializer : str, callable or initializer
            One that returns a ``scipy.sparse`` array makes a sparse weight.
        name : str
            The key in ``weights``; ``weight_0`` and so on without one.
        density : float, optional
            Makes a sparse weight of two axes, as in `Weight`.
        trainable, regularizer, constraint, dtype
            As in `Weight`.

        Returns
        -------
        ndarray of the layer's dtype, read-only
            Kept as an attribute of the cell (also inside lists, tuples and dicts), it follows ``set_weights``.
        """
        weights = self.__dict__.setdefault("_weights", {})
        name = f"weight_{len(weights)}" if name is None else name
        if name in weights:
            raise ValueError(f"the cell {cell_name(self)!r} already has a weight named {name!r}")
        building = circumstances().building
        if building is None:
            raise RuntimeError("add_weight works inside build, while a layer builds the cell")
        precision, rng = building
        what = f"the weight {name!r} of {cell_name(self)!r}"
        shape = sizes(shape, f"the shape of {what}")
        check_density(density, shape)
        check_complex(dtype, density, constraint, what)
        allocation.check(what, shape)
        weight_options = WeightOptions(trainable, regularizer, constraint)
        with allocation.named(what):
            if dtype == "complex":
                return self._add_complex(name, shape, find_initializer(initializer), weight_options)
            weights[name], sparse = _drawn(find_initializer(initializer), name, shape, density, precision, rng)
        self.__dict__.setdefault("_given_options", {})[name] = weight_options
        if sparse:
            self._make_sparse({name})
        return weights[name]

    def _add_complex(self, name, shape, initializer, weight_options):
        """Add a weight by its pairs, and give the complex array that stands for these in the step."""
        precision, rng = current_build()
        values = drawn(initializer, shape, rng, np.result_type(precision, np.complex64))
        values = real(values, f"the initializer's array for {name!r}", complex_too=True)
        if values.shape != shape:
            raise ValueError(f"expected the initializer of {name!r} to give shape {shape}, got {values.shape}")
        self.__dict__["_weights"][name] = pairs = frozen(to_pairs(values, 0), precision)
        self.__dict__.setdefault("_given_options", {})[name] = weight_options
        found = self.__dict__.setdefault("_complex", {})[name] = frozen(to_complex(pairs, 0), None)
        return found

    def _complex_weights(self) -> dict[str, np.ndarray]:
        """Return the complex arrays of the step's complex weights by name; `_all_weights` has their pairs."""
        found = dict(self.__dict__.get("_complex", {}))
        for path, part in self._parts().items():
            found.update({f"{path}/{name}": array for name, array in part._complex_weights().items()})
        return found

    def _declares_complex(self) -> bool:
        """Return whether it is known to have complex weights, or can be before it is built."""
        return bool(self._complex_weights())

    def _own_weights(self) -> dict[str, Any]:
        """Return its own weights as the step sees them."""
        return self.__dict__.get("_weights", {}) | self.__dict__.get("_complex", {})

    def _check_memory(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse weights that don't fit in memory, before the first of them is drawn."""
        allocation.check_weights(cell_name(self), shapes, current_build()[0])

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Name to read-only array; weights of cells kept as attributes follow under ``attribute/name``."""
        return MappingProxyType(self._all_weights() | self._complex_weights())

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return the state before the first step: zeros, in the nesting of ``state_size``."""
        spec = self._states()
        return spec.pack(spec.zeros(whole(batch_size, "batch_size", 0), np.float64))

    def get_config(self) -> dict[str, Any]:
        """Return constructor arguments as JSON values; a subclass with arguments overrides it."""
        own = inspect.signature(type(self).__init__).parameters
        extra = [
            p.name
            for p in own.values()
            if p.name not in ("self", "name") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        if extra:
            raise TypeError(
                f"{type(self).__name__} has no get_config; define one that returns its arguments {', '.join(extra)}"
            )
        return {"name": self.name} if self.name else {}

    def __getstate__(self) -> Any:
        if not callable(kept := vars(self).get("_alone")):
            return vars(self)
        layer = kept.__self__
        return vars(self) | {"_alone": (ALONE[1](layer), layer.dtype) if layer.built else None}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        for array in (*self.__dict__.get("_weights", {}).values(), *self.__dict__.get("_complex", {}).values()):
            array.flags.writeable = False  # neither copy nor pickle carries the flag

    def __repr__(self) -> str:
        return f"<{cell_name(self)} cell>"

    def _card(self, depth: int = 0):
        """Return the card for ``print`` and notebooks; `depth` says how many cells this one is inside."""
        from rnnkit.steps.display import cell_card

        return cell_card(self, type(getattr(self, "adapted", self)).__name__, depth)

    def _states_line(self) -> str:
        """Return the shapes of the states, for people."""
        return ", ".join(str(shape) for shape in self._states().shapes)

    def _declared_weights(self) -> list[tuple[str, str, str, str]]:
        """Return name, shape, initializer and traits of the weights that a spec declares."""
        return []

    # What the rest of rnnkit asks of a cell, the same for every form.

    def _states(self, feature_shape=None) -> StateSpec:
        if not hasattr(self, "state_size"):
            raise ValueError(f"expected the cell {cell_name(self)!r} to have a state_size")
        return StateSpec(self.state_size)

    def _starts_at_zero(self) -> bool:
        """Return whether the start is known to be zeros; asking the cell takes longer than a small step."""
        return type(self).get_initial_state is Cell.get_initial_state and "get_initial_state" not in vars(self)

    def _starts_alike(self) -> bool:
        """Return whether the start is made of the same numbers at each call."""
        return self._starts_at_zero()

    def _output_size(self):
        return getattr(self, "output_size", None)

    def _parts(self) -> dict[str, Cell]:
        parts = {}
        for key, value in vars(self).items():
            if type(value) in _PLAIN:  # most are, and every call asks
                continue
            if isinstance(value, Cell):
                parts[key] = value
            elif isinstance(value, (list, tuple)):
                parts.update({f"{key}/{i}": part for i, part in enumerate(value) if isinstance(part, Cell)})
        return parts

    def _functions(self) -> tuple:
        """Return the functions whose lines stand in a step's errors and in a program's text."""
        kind: Any = type(getattr(self, "adapted", self))
        return (getattr(type(self), "step", None) or kind.call,)

    def _all_weights(self) -> dict[str, np.ndarray]:
        weights = dict(self.__dict__.get("_weights", {}))
        for path, part in self._parts().items():
            weights.update({f"{path}/{name}": array for name, array in part._all_weights().items()})
        return weights

    def _weight_options(self) -> dict[str, WeightOptions]:
        """Return the options in training of each of `weights`."""
        own = self.__dict__.get("_given_options", {})
        weight_options = {name: own.get(name, PLAIN) for name in self.__dict__.get("_weights", {})}
        for path, part in self._parts().items():
            weight_options.update({f"{path}/{name}": one for name, one in part._weight_options().items()})
        return weight_options

    def _sparse_weights(self) -> frozenset[str]:
        """Return the names of the sparse weights among `weights`."""
        names = set(self.__dict__.get("_sparse", ()))
        for path, part in self._parts().items():
            names.update(f"{path}/{name}" for name in part._sparse_weights())
        return frozenset(names)

    def _make_sparse(self, names) -> None:
        """Let these weights be sparse from here on."""
        parts = self._parts()
        for name in names:
            path = next((path for path in parts if name.startswith(f"{path}/")), None)
            if path is None:
                self.__dict__.setdefault("_sparse", set()).add(name)
            else:
                parts[path]._make_sparse({name.removeprefix(f"{path}/")})

    def _forget_weights(self) -> None:
        """Take back what `add_weight` made."""
        for name in ("_weights", "_complex", "_sparse", "_given_options"):
            self.__dict__.pop(name, None)

    def _replace_weights(self, weights: Mapping[str, object]) -> None:
        """Put other arrays in the place of this cell's weights, wherever its attributes hold them."""
        old = self._all_weights()
        mapping: dict[int, Any] = {id(old[name]): value for name, value in weights.items()}
        for name, array in self._complex_weights().items():
            if name in weights:
                mapping[id(array)] = frozen(to_complex(weights[name], 0), None)
        _replaced(self, mapping, True, {})

    def _bound(self, weights: Mapping[str, object]) -> Cell:
        old, own = self._all_weights(), self._complex_weights()
        mapping = {id(old[name]): value for name, value in weights.items()}
        mapping |= {id(own[name]): to_complex(weights[name], 0) for name in own}
        return _replaced(self, mapping, False, {})

    def _takes(self, name: str) -> bool:
        return name in inspect.signature(self.call).parameters

    def _draws(self, feature_shape) -> dict[str, tuple]:
        return {
            name: (draw, numbers_of(draw.shape, {}, feature_shape)) for name, draw in getattr(self, "draws", {}).items()
        }

    def _advance(self, x, states, constants, training, draws):
        """Compute one step of a batch from flat states: ``(output, flat states)``."""
        if self.per_row:
            return advance_rows(self._advance_one, x, states, constants, training, draws, self._integer_starts)
        look = getattr(getattr(states[0], "graph", None), "calls", None)
        result = self._advance_one(x, states, constants, training, draws, look)
        answer = getattr(type(x), "__rnnkit_vjp__", None) if self._has_vjp() else None
        return result if answer is None else answer(x, self, states, constants, training, draws, result)

    def _advance_one(self, x, states, constants, training, draws, read=None):
        given = {"constants": constants, "training": training, "draws": Values(draws)}
        call = self.call if read is None else read(self.call, self.loop_limit)
        return split_step_result(call(x, states, **{k: v for k, v in given.items() if self._takes(k)}), self)

    def _content(self) -> Hashable:
        """Return what tells its step from others of its class, None if that isn't known."""
        return None

    def _draws_each_step(self) -> bool:
        """Return whether its step draws random numbers anew each time."""
        return False

    def _has_vjp(self) -> bool:
        """Return whether the cell defines how cotangents go back through a step."""
        return callable(getattr(self, "vjp", None))

    def _pull(self, x, states, constants, training, draws, d_output, d_states):
        """Return checked cotangents of a step: ``(d_x, flat d_states, d_weights, d_constants)``."""
        given = {"constants": constants, "training": training, "draws": Values(draws)}
        names = inspect.signature(self.vjp).parameters  # type: ignore[attr-defined]
        result = self.vjp(x, states, d_output, d_states, **{k: v for k, v in given.items() if k in names})  # type: ignore[attr-defined]
        return complete_pull(result, self, x, states, constants)


_SIMPLE = {int, float, bool, str, type(None), FunctionType, WeightOptions}  # what holds no array
_PLAIN = {*_SIMPLE, np.ndarray, dict}  # what holds no cell that is a part of the cell


def _built_alone(build):
    """Return a ``build`` that, called outside of a layer's, builds a cell that stands alone."""

    @functools.wraps(build)
    def built(self, input_shape):
        if circumstances().building is None and not self.built:
            self._by_itself().build((input_shape[0], None, *input_shape[1:]))
        else:
            build(self, input_shape)
            self.built = True  # a cell inside another one, too, whose own build doesn't say so

    return built


def _replaced(value, mapping, in_place, seen, home=None):
    """Return a cell's attribute with some arrays replaced, in lists, dicts and objects of its own package too."""
    if isinstance(value, np.ndarray):
        return mapping.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(v, mapping, in_place, seen, home) for v in value)
    if type(value) is dict:
        return {k: v if type(v) in _SIMPLE else _replaced(v, mapping, in_place, seen, home) for k, v in value.items()}
    if type(value) in _SIMPLE:
        return value
    if isinstance(value, Initializer):
        _SIMPLE.add(type(value))
        return value
    if id(value) in seen:
        return seen[id(value)]
    package = str(type(value).__module__).partition(".")[0]
    if isinstance(value, AdaptedCell) and value.holds_weights:
        seen[id(value)] = found = value.with_arrays(mapping, in_place)
        return found
    if isinstance(value, Cell):
        home = package
    elif not hasattr(value, "__dict__") or (type(value) is not SimpleNamespace and package != home):
        return value
    seen[id(value)] = clone = value if in_place else copy.copy(value)
    for key, held in list(vars(value).items()):
        if type(held) not in _SIMPLE:
            clone.__dict__[key] = _replaced(held, mapping, in_place, seen, home)
    return clone


def split_step_result(result, cell):
    """Return ``(output, states)`` of a cell's step, a bare state or a list as a tuple."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        many = isinstance(result, (tuple, list))
        kind = "None" if result is None else "one array" if hasattr(result, "shape") else type(result).__name__
        got = f"{len(result)} values" if many else kind
        what = f"expected the step of {cell_name(cell)!r} to return (output, new states), got {got}"
        raise returned_wrong(cell, what)
    output, states = result
    return output, tuple(states) if isinstance(states, (tuple, list)) else (states,)


def returned_wrong(cell, what: str) -> ValueError:
    """Return the error for a wrong result of a cell's step, with the line that returned it."""
    error, function = ValueError(what), cell._functions()[0]
    if hasattr(function, "__code__") and not cell._parts():
        error.add_note(tracebacks.return_of(function))
    return error


def complete_pull(result, cell, x, states, constants):
    """Return what a cell's own vjp returned, zeros for None or nothing; a ValueError if it doesn't fit the step."""
    name, count = cell_name(cell), 3 + cell._takes("constants")
    wanted = "(d_x, d_states, d_weights, d_constants)" if count == 4 else "(d_x, d_states, d_weights)"
    if not isinstance(result, (tuple, list)) or len(result) != count:
        got = f"{len(result)} results" if isinstance(result, (tuple, list)) else type(result).__name__
        raise ValueError(f"expected the vjp of {name!r} to return {wanted}, got {got}")
    d_x, d_states, d_weights, d_constants = (*result, None)[:4]

    def several(given, arrays, what):
        if given is None:
            given = [None] * len(arrays)
        given = given if isinstance(given, (tuple, list)) else [given]
        if len(given) != len(arrays):
            raise ValueError(f"expected the vjp of {name!r} to return {len(arrays)} {what}, got {len(given)}")
        return tuple(one(g, a, f"{what}[{i}]") for i, (g, a) in enumerate(zip(given, arrays, strict=True)))

    def one(given, array, what):
        if given is None:
            return np.zeros_like(array)
        if np.shape(given) != array.shape:
            raise ValueError(
                f"expected the vjp of {name!r} to return {what} of shape {array.shape}, got {np.shape(given)}"
            )
        return given if hasattr(given, "__rnnkit_vjp__") else real(given, what)

    weights = cell._all_weights()
    if not isinstance(d_weights, Mapping | None):
        raise ValueError(
            f"expected the vjp of {name!r} to return d_weights as a dict by the weights' names, got "
            f"{type(d_weights).__name__}"
        )
    if unknown := [key for key in d_weights or {} if key not in weights]:
        raise ValueError(
            f"expected the vjp of {name!r} to name weights among {', '.join(weights) or 'none'}, got {unknown[0]!r}"
        )
    found = {key: one(given, weights[key], f"d_weights[{key!r}]") for key, given in (d_weights or {}).items()}
    all_states, all_constants = several(d_states, states, "d_states"), several(d_constants, constants, "d_constants")
    return one(d_x, x, "d_x"), all_states, found, all_constants


def cell_name(cell) -> str:
    """Return the cell's own name, or its class's."""
    return getattr(cell, "name", None) or type(cell).__name__


def _drawn(initializer, name, shape, density, dtype, rng) -> tuple[np.ndarray, bool]:
    """Return a new weight from its initializer, and whether it is sparse."""
    values = drawn(initializer, shape, rng, dtype)
    sparse = is_scipy_sparse(values)
    if sparse and density is not None:
        raise ValueError(f"expected no density for {name!r}: its initializer's scipy.sparse array says what is zero")
    values = real(values.toarray() if sparse else values, f"the initializer's array for {name!r}")
    if values.shape != shape:
        raise ValueError(f"expected the initializer of {name!r} to give shape {shape}, got {values.shape}")
    if density is not None:
        values = np.where(connections(shape, density, rng), values, 0)
    return frozen(values, dtype), sparse or density is not None


def frozen(values, dtype) -> np.ndarray:
    """Return a read-only C-ordered copy in the given dtype."""
    array = np.array(values, dtype, order="C")
    array.flags.writeable = False
    return array


def is_scipy_sparse(value) -> bool:
    """Return whether a value is a sparse array or matrix of scipy; scipy.sparse isn't imported for it."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and module.issparse(value)


def check_complex(dtype, density, constraint, what: str) -> None:
    """Refuse a dtype that is none of a weight's, and what complex weights can't have, by a ValueError."""
    if says_complex(dtype, what) and (density is not None or constraint is not None):
        given = "density" if density is not None else "constraint; hold it in the step, as w / np.abs(w)"
        raise ValueError(f"expected {what} of complex numbers without a {given}")


def check_density(density, shape) -> None:
    """Refuse a density that isn't above 0 and at most 1, or isn't of a matrix, by a ValueError."""
    if density is None:
        return
    known = isinstance(density, numbers.Real) and not isinstance(density, bool)
    if not known or not 0 < density <= 1:
        raise ValueError(f"expected a density above 0 and at most 1, got {density!r}")
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ValueError(f"expected a shape of two axes for a weight with a density, got {shape!r}")


def connections(shape, density: float, rng: np.random.Generator) -> np.ndarray:
    """Return which elements of a sparse weight ``(K, N)`` aren't 0: ``round(density * K)`` a column, at least one.

    K is cut into as many stretches, as equal as can be, and each column has one row of each at random: columns that go
    down side by side are what the sparse product is fastest with.
    """
    count = min(max(1, round(density * shape[0])), shape[0])
    chosen = np.zeros(shape, bool)
    if count:
        ends = np.arange(count + 1)[:, None] * shape[0] // count
        np.put_along_axis(chosen, rng.integers(ends[:-1], ends[1:], (count, shape[1])), True, axis=0)
    return chosen


class AdaptedCell(Cell):
    """Any object with ``call`` and ``state_size``, seen as a cell; its arrays are read when a layer is built.

    Attributes
    ----------
    holds_weights : bool
        Whether the object has weights; then ``with_arrays(mapping, in_place)`` puts others, by the arrays' ids.
    """

    holds_weights = False
    with_arrays: Callable[..., AdaptedCell]

    def __init__(self, cell):
        super().__init__(name=getattr(cell, "name", None) or type(cell).__name__)
        self.adapted = cell
        self.per_row = bool(getattr(cell, "per_row", False))
        self.loop_limit = getattr(cell, "loop_limit", LOOP_LIMIT)
        self.call = cell.call
        if callable(getattr(cell, "vjp", None)):
            self.vjp = cell.vjp

    def build(self, input_shape):
        """Let the object build itself, if it can and hasn't yet."""
        if hasattr(self.adapted, "build") and not getattr(self.adapted, "built", False):
            self.adapted.build(input_shape)
        self.built = True

    @property
    def state_size(self):
        """The object's own."""
        return self.adapted.state_size

    def _output_size(self):
        return getattr(self.adapted, "output_size", None)

    def _starts_at_zero(self):
        return getattr(self.adapted, "get_initial_state", None) is None

    def get_initial_state(self, batch_size):
        """Return the object's own start, or zeros."""
        given = getattr(self.adapted, "get_initial_state", None)
        return super().get_initial_state(batch_size) if given is None else call_initial(given, batch_size)

    def get_config(self):
        """Return the object's own configuration."""
        if not hasattr(self.adapted, "get_config"):
            raise TypeError(f"{type(self.adapted).__name__} has no get_config, which a configuration needs")
        return self.adapted.get_config()


@tracebacks.door
def call_initial(function, batch_size):
    """Call ``get_initial_state`` in either of Keras's signatures."""
    code = None if hasattr(function, "__wrapped__") else getattr(function, "__code__", None)
    if code is None:
        names: Any = inspect.signature(function).parameters
    else:  # which is asked at each call, and takes 20 µs the other way
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return function(batch_size=batch_size) if "batch_size" in names else function(batch_size)


def as_cell(cell) -> Cell:
    """Return a cell in any of the accepted forms as a `Cell`."""
    if isinstance(cell, Cell):
        if not callable(getattr(cell, "call", None)):
            raise ValueError(f"expected the cell {cell_name(cell)!r} to have a step: call(inputs, states)")
        return cell
    if isinstance(cell, type):
        raise TypeError(f"expected a cell, got the class {cell.__name__}; call it, as in {cell.__name__}(units=32)")
    if not callable(getattr(cell, "call", None)) or not hasattr(cell, "state_size"):
        raise ValueError(f"expected a cell with call(inputs, states) and state_size, got {type(cell).__name__}")
    own = getattr(cell, "_as_cell", None)  # a layer's way, whose weights are its own
    return AdaptedCell(cell) if own is None else own()


@tracebacks.door
def prepare(cell: Cell, input_shape, dtype, rng: np.random.Generator) -> None:
    """Build a cell for inputs ``(B, *features)``, once: a cell that is built already keeps its weights."""
    if cell.built:
        return
    try:
        with within(building=(np.dtype(dtype), rng)):
            cell.build(input_shape if isinstance(input_shape, dict) else tuple(input_shape))
        cell.built = True
    except BaseException:
        cell._forget_weights()
        raise


def current_build() -> tuple[np.dtype, np.random.Generator]:
    """Return precision and generator of the build going on, for composites that give their parts their own."""
    return circumstances().building
