"""Gradients of a program's computations: calls of layers, and NumPy's functions between them, recorded as they run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnnkit.hints import Array
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.added_losses import collecting, keep, regularized
from rnnkit.layers.support.array_methods import ArrayMethods
from rnnkit.layers.support.bound_calls import vjp_on
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.symbolic import leaves
from rnnkit.layers.support.variable import Variable
from rnnkit.layers.support.weight_mapping import weight_keys
from rnnkit.steps.nesting import mapped

_MOST = 512  # operations whose derivatives are kept
_PULLS: dict[tuple, Any] = {}
_SHAPES = (np.shape, np.ndim, np.size)
_DIRECT = {np.ndarray, bool, type(None)}  # most arguments of a layer's call
_NESTED, _PLAIN = {list, tuple, dict}, {bool, int, float, str, type(None)}  # kinds of arguments


class GradientTape:
    """Recorder of the computations in its block, for gradients by weights.

    Layers and models that are called in the block are differentiated as by `vjp`, and NumPy's functions of their
    results as a step is. Arrays in the block have their numbers, so they may decide and be printed.

    Parameters
    ----------
    persistent : bool
        Nothing: a gradient can be asked for more than once.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.layers.support.tape import GradientTape
    >>> layer = rk.Dense(1, seed=0)
    >>> x = np.ones((4, 3), "float32")
    >>> with GradientTape() as tape:
    ...     loss = np.mean(np.square(layer(x) - 1.0))
    >>> kernel, bias = tape.gradient(loss, layer.trainable_variables)
    >>> y, pullback = layer.vjp(x)
    >>> bool(np.allclose(kernel, pullback((y - 1.0) / 2).weights["kernel"]))
    True
    """

    dtype = None

    def __init__(self, persistent: bool = False):
        self._notes: list[tuple[list, Any]] = []  # results, and functions from their cotangents to (key, cotangent)
        self._leaves: dict[Any, list[TapeArray]] = {}  # by the key of a weight
        self._stand_ins: dict[Any, TapeArray] = {}
        self._added: list[tuple[Any, list]] = []  # layers that were called, and the losses that this added
        self._root = self

    def __enter__(self):
        outside = symbolic.tracing.get()
        if outside is not None and not isinstance(outside, GradientTape):
            raise ValueError("expected a gradient outside of `call`, which is read once and differentiated itself")
        self._root = self if outside is None else outside._root  # the outer of two blocks keeps the record
        self._token = symbolic.tracing.set(self._root)
        return self

    def __exit__(self, *error):
        symbolic.tracing.reset(self._token)
        for layer, added in self._added:  # which keep no record alive
            for one in added:
                one.value = plain(one.value)
            keep(layer, added)

    def watch(self, array: Array) -> Any:
        """Return an array in place of another one, by which gradients can be computed; a weight as it is."""
        return array if isinstance(array, Variable) else TapeArray(np.asarray(array), self._root)

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None) -> Any:
        """Return the gradients of the sum of an array, or of several, nested as `sources`.

        Parameters
        ----------
        target : array of the block, or list of them
        sources : Variable, array of the block, or nested lists of them
        output_gradients : array_like, or list of them, optional
            Cotangents of the target in the place of ones.

        Returns
        -------
        ndarray, or nested as `sources`
            None for sources that the target doesn't depend on; a `RowGradient` for the table of an `Embedding`.

        Raises
        ------
        ValueError
            Inside of a block, for there are no gradients of gradients; and for arrays that no block has noted.
        """
        if symbolic.tracing.get() is not None:
            raise ValueError(
                "expected gradients outside of the block `with tape:`: those of gradients aren't known to a tape; see "
                "rnnkit.jvp and rnnkit.hvp"
            )
        targets = leaves(target)
        d: dict[Any, Any] = {}
        given = [None] * len(targets) if output_gradients is None else leaves(output_gradients)
        for one, cotangent in zip(targets, given, strict=True):
            if not isinstance(one, TapeArray) or one.tape is not self._root:
                raise ValueError(
                    f"expected a target that was computed inside of `with tape:` from layers or weights, got {one!r}"
                )
            ones = np.ones_like(one.value) if cotangent is None else np.asarray(cotangent, one.dtype)
            _add(d, id(one), np.broadcast_to(ones, one.shape))
        wanted = {id(one) for one in leaves(sources)}
        for outputs, back in _grouped(self._root._notes, d, wanted):
            own = [d.get(id(one)) if id(one) in wanted else d.pop(id(one), None) for one in outputs]
            if any(one is not None for one in own):
                pairs = zip(own, outputs, strict=True)
                for key, cotangent in back([None if c is None else np.asarray(c, one.dtype) for c, one in pairs]):
                    if cotangent is not None:
                        _add(d, key, cotangent)
        return mapped(sources, lambda one: self._found(d, one))

    def _found(self, d, source):
        if isinstance(source, TapeArray):
            return d.get(id(source))
        if not isinstance(source, Variable):
            raise ValueError(
                f"expected weights, as of model.trainable_variables, or x = tape.watch(x); got {type(source).__name__}"
            )
        found = [d[id(one)] for one in self._root._leaves.get(source.key, ()) if id(one) in d]
        total = d.get(source.key)
        for one in found:
            total = one if total is None else added_up(total, one)
        return np.asarray(total, source.dtype) if isinstance(total, np.ndarray) else total

    # Called by layers and weights while `symbolic.tracing` is this tape.

    def call(self, layer: Any, call: Callable, arguments: tuple, keywords: dict) -> Any:
        """Return the result of a call of a layer."""
        other = any(type(one) not in _DIRECT and type(one) is not TapeArray for one in (*arguments, *keywords.values()))
        if other:
            arguments, keywords = mapped((arguments, keywords), symbolic.resolved)
        token = symbolic.tracing.set(None)
        try:
            if other and symbolic.holds_symbols((arguments, keywords)):  # a model that is made here
                return layer(*arguments, **keywords)
            (_, x), *rest = layer._call_arguments(call, arguments, keywords).items()
            more = {name: value for name, value in rest if value is not None}
            given = {name: plain(value) for name, value in more.items()}
            with collecting() as found:
                outputs, pullback = vjp_on(layer, plain(x), **given)
                if layer.activity_regularizer is not None:
                    pullback = regularized(layer, outputs, pullback)
        finally:
            symbolic.tracing.reset(token)
        read = {"x": x, **more}
        known = any(isinstance(one, TapeArray) for nested in read.values() for one in leaves(nested))
        made: list[TapeArray] = []
        result = mapped(outputs, lambda array: _noted(array, self, made))
        for one in made:
            one.inputs = layer, plain(x), given.get("mask")
        count, added = len(made), list(found)
        for one in added:
            one.value = _noted(np.asarray(one.value), self, made)
        keep(layer, added)
        if added:
            self._added.append((layer, added))
        stand_ins, keys = dict(self._stand_ins), weight_keys(layer)

        def back(cotangents):
            for one, d in zip(added, cotangents[count:], strict=True):
                one.cotangent = 0.0 if d is None else float(d)
            found = (pullback.pull if known else pullback.pull_weights)(cotangents[:count])
            for name, gradient in found.weights.items():
                key = keys[name]
                yield (id(stand_ins[key]) if key in stand_ins else key), gradient
            for name, nested in read.items() if known else ():
                gradient = found.of(name)
                pairs = zip(leaves(nested), _flat(gradient, leaves(nested)), strict=True)
                yield from ((id(one), d) for one, d in pairs if isinstance(one, TapeArray))

        self._notes.append((made, back))
        return result

    def tensor_of(self, variable: Variable) -> TapeArray:
        """Return the array in place of a weight."""
        if variable.key in self._stand_ins:
            return self._stand_ins[variable.key]
        several, array = self._leaves.setdefault(variable.key, []), variable._array()
        if not several or several[-1].value is not array:
            several.append(TapeArray(array, self))
        return several[-1]

    def apply(self, function: Callable, arguments: tuple, keywords: dict) -> Any:
        """Return the result of a function of NumPy."""
        read: list[Any] = []
        decoded: Any
        flat = all(type(one) in _PLAIN for one in keywords.values())
        if flat and all(type(one) not in _NESTED for one in arguments):  # most calls: they are many
            decoded = tuple([_place(one, read) for one in arguments]), keywords
            values = [one.value if type(one) is TapeArray else one for one in read]
            found = function(*(values[one] if type(one) is _Place else one for one in decoded[0]), **keywords)
        else:
            decoded = mapped((arguments, keywords), lambda one: _place(one, read))
            own, more = _filled(decoded, [one.value if type(one) is TapeArray else one for one in read])
            found = function(*own, **more)
        if isinstance(found, (np.ndarray, np.generic)):
            if found.dtype.kind != "f" or not any(type(one) is TapeArray for one in read):
                return found
            made = [TapeArray(found, self)]
            self._notes.append((made, _Operation(function, decoded, read, made)))
            return made[0]
        known = any(type(one) is TapeArray for one in read)
        if not known or any(np.result_type(one).kind != "f" for one in leaves(found)):
            return found
        made = []
        result = mapped(found, lambda array: _noted(array, self, made))
        self._notes.append((made, _Operation(function, decoded, read, made)))
        return result

    def note(self, value: Any, read: list, back: Callable) -> Any:
        """Return an array computed in another way: `back` returns a cotangent for each array of `read`."""
        made: list[TapeArray] = []
        result = mapped(value, lambda array: _noted(array, self, made))
        keys = [one.key if isinstance(one, Variable) else id(one) for one in read]
        self._notes.append((made, lambda cotangents: zip(keys, back(*cotangents), strict=True)))
        return result


class TapeArray(ArrayMethods):
    """An array that a `GradientTape` has recorded: in its block, NumPy's functions of it are recorded too."""

    inputs: tuple | None = None  # of a layer's result: the layer, and the inputs and the mask of its call

    def __init__(self, value: Any, tape: GradientTape):
        self.value, self.tape = np.asarray(value), tape

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)

    @property
    def mask(self) -> Any:
        """The mask of a layer's result, None without one; of several outputs all masks."""
        if self.inputs is None:
            return None
        layer, *arguments = self.inputs
        token = symbolic.tracing.set(None)
        try:
            return layer.compute_mask(*arguments)
        finally:
            symbolic.tracing.reset(token)

    def numpy(self) -> np.ndarray:
        """Return the array alone."""
        return self.value

    def item(self) -> Any:
        """Return the one number."""
        return self.value.item()

    def __array__(self, dtype=None, copy=None):
        if symbolic.tracing.get() is self.tape:
            raise TypeError(
                "expected NumPy's functions and operators on an array of a tape, got one that asks for its numbers, "
                "through which no gradient goes; rnnkit.stop_gradient(x), or x.numpy(), says that none has to"
            )
        return np.array(self.value, dtype) if copy else np.asarray(self.value, dtype)

    def __rnnkit_array__(self):
        return self.value

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        if keywords.get("out") is not None:
            raise TypeError(f"expected np.{ufunc.__name__} without out= of an array of a tape; give the result a name")
        return self._apply(getattr(ufunc, method), inputs, keywords)

    def __array_function__(self, function, types, arguments, keywords):
        if function in _SHAPES:
            return function(*plain(arguments), **plain(keywords))
        return self._apply(function, arguments, keywords)

    def __rnnkit_function__(self, name, arguments):
        from rnnkit import activations

        return self._apply(getattr(activations, name), arguments, {})

    def __rnnkit_custom_gradient__(self, function, arguments, keywords):
        value, rule = function.with_rule(*plain(arguments), **keywords)
        if symbolic.tracing.get() is not self.tape:
            return value

        def back(*cotangents):
            found = rule(cotangents[0] if len(cotangents) == 1 else tuple(cotangents))
            found = found if isinstance(found, tuple) else (found,)
            pairs = zip(found, arguments, strict=True)
            return [None if d is None else _summed(d, np.shape(plain(one))) for d, one in pairs]

        return self.tape.note(value, list(arguments), back)

    def _apply(self, function, arguments, keywords):
        tape = symbolic.tracing.get()
        if tape is self.tape:
            return tape.apply(function, arguments, keywords)
        return function(*plain(arguments), **plain(keywords))  # after the block

    def __getitem__(self, key):
        return self._apply(operator.getitem, (self, key), {})

    def astype(self, dtype):
        """Return the array as `numpy.ndarray.astype` does."""
        return self._apply(_cast, (self, np.dtype(dtype)), {})

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __format__(self, form):
        return format(self.value[()], form)

    __hash__ = object.__hash__

    def __repr__(self):
        return f"<TapeArray {self.value!r}>"


def value_and_grad(function: Callable, argnums: int = 0, has_aux: bool = False) -> Callable:
    """Return a function that gives the value of another one, and its gradient by an argument, as jax's of that name.

    Parameters
    ----------
    function : callable
        Function from arrays, nested in lists, tuples and dicts, to one number; with `has_aux`, to a pair of it and
        anything. It may call NumPy's functions and layers, also by `Layer.stateless_call` with the argument as weights.
    argnums : int
        The place of the argument.
    has_aux : bool

    Returns
    -------
    callable
        A function to ``(value, gradient)``, or ``((value, aux), gradient)``, the gradient nested as the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.layers.support.tape import value_and_grad
    >>> value_and_grad(lambda w, x: np.sum(w["a"] * x))({"a": np.ones(2)}, np.array([3.0, 4.0]))
    (array(7.), {'a': array([3., 4.])})
    """

    def called(*arguments, **keywords):
        with GradientTape() as tape:
            own = mapped(arguments[argnums], lambda one: TapeArray(plain(one), tape._root))
            result = function(*arguments[:argnums], own, *arguments[argnums + 1 :], **keywords)
        value, aux = result if has_aux else (result, None)
        if np.shape(plain(value)) != ():
            raise ValueError(f"expected a function that gives one number, got an array {np.shape(plain(value))}")
        known = isinstance(value, TapeArray)
        found = tape.gradient(value, own) if known else mapped(own, lambda one: None)
        zeros = iter([np.zeros_like(one.value) for one in leaves(own)])
        gradient = mapped(found, lambda one: next(zeros) if one is None else (next(zeros), one)[1])
        return ((plain(value), plain(aux)) if has_aux else plain(value)), gradient

    return called


@contextmanager
def other_weights(variables: list, values: Any):
    """Give variables other values inside; a tape gives gradients of those that it watches."""
    values, tape = list(values), active_tape()
    if len(values) != len(variables):
        raise ValueError(f"expected {len(variables)} weights, in the order of the layer's variables; got {len(values)}")
    before = [(one, one.value) for one in variables]
    stand_ins = {} if tape is None else dict(tape._stand_ins)
    try:
        for variable, value in zip(variables, values, strict=True):
            if isinstance(value, TapeArray) and tape is not None:
                tape._stand_ins[variable.key] = value
            if (array := plain(value)) is not variable.value:
                variable.assign(array)
        yield
    finally:
        if tape is not None:
            tape._stand_ins = stand_ins
        for variable, array in before:
            if variable.value is not array:
                variable.put(array)


def penalty(variable: Variable) -> Any:
    """Return the penalty of a weight's regularizer."""
    regularizer, tape = variable.regularizer, active_tape()
    if tape is None:
        return regularizer(variable.value)
    own = tape.tensor_of(variable)
    return tape.note(regularizer(own.value), [own], lambda d: [regularizer.gradient(own.value) * own.dtype.type(d)])


def active_tape() -> GradientTape | None:
    """Return the tape whose block runs in this thread, or None."""
    found = symbolic.tracing.get()
    return found if isinstance(found, GradientTape) else None


def plain(nested: Any) -> Any:
    """Return arrays without the tape that recorded them, nested as they are."""
    return mapped(nested, _array)


def _array(one):
    one = symbolic.resolved(one)
    return one.value if isinstance(one, TapeArray) else one


def _noted(array, tape, made: list) -> TapeArray:
    made.append(TapeArray(array, tape))
    return made[-1]


def _add(d: dict, key, cotangent) -> None:
    d[key] = added_up(d[key], cotangent) if key in d else cotangent


def _flat(found, wanted) -> list:
    """Return cotangents, flat; None for each if there are none."""
    flat = [None] * len(wanted) if found is None else found
    while isinstance(flat, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in flat):
        flat = [leaf for one in flat for leaf in (one if isinstance(one, (list, tuple)) else [one])]
    return list(flat) if isinstance(flat, (list, tuple)) else [flat]


def _summed(d, shape):
    """Return the cotangent of an array of a shape from one that the rule may give broadcast."""
    d = np.asarray(d)
    if d.shape == shape:
        return d
    d = d.sum(axis=tuple(range(max(0, d.ndim - len(shape)))))
    axes = tuple(i for i, (n, m) in enumerate(zip(d.shape, shape, strict=False)) if m == 1 and n != 1)
    return np.broadcast_to(d.sum(axis=axes, keepdims=True), shape)


class _Place(int):
    """Index of an array among those that a function reads."""

    def __repr__(self):
        return f"array {int(self)}"


def _place(one, read: list):
    one = symbolic.resolved(one)
    if not isinstance(one, (TapeArray, np.ndarray)):
        return one
    for i, other in enumerate(read):
        if other is one:
            return _Place(i)
    read.append(one)
    return _Place(len(read) - 1)


def _filled(decoded, arrays):
    return mapped(decoded, lambda one: arrays[one] if isinstance(one, _Place) else one)


class _Operation:
    """Call of a function of NumPy, with its arguments and results."""

    __slots__ = ("decoded", "function", "made", "read")

    def __init__(self, function, decoded, read, made):
        self.function, self.decoded, self.read, self.made = function, decoded, read, made


def _grouped(notes, d, wanted):
    """Yield the records from the last to the first, with consecutive operations as one, as far as cotangents reach."""
    reached: set[int] = set()
    together: list[_Operation] = []
    for outputs, back in reversed(notes):
        own = isinstance(back, _Operation)
        if together and (not own or any(id(one) in wanted for one in outputs)):
            yield _pulled_together(together[::-1], d)
            reached, together = set(), []
        if not own:
            yield outputs, back
        elif any(id(one) in d or id(one) in reached for one in outputs):
            together.append(back)
            reached.update(map(id, back.read))
    if together:
        yield _pulled_together(together[::-1], d)


def _pulled_together(operations: list[_Operation], d):
    """Return the results of operations that later ones read, and the function from their cotangents to the inputs'."""
    places: dict[int, tuple[int, int]] = {}
    read: list[Any] = []
    key: list[Any] = []
    for k, operation in enumerate(operations):
        for one in operation.read:
            if id(one) not in places:
                places[id(one)] = -1, len(read)
                read.append(one)
        key += [operation.function, repr(operation.decoded), *(places[id(one)] for one in operation.read)]
        places |= {id(one): (k, i) for i, one in enumerate(operation.made)}
    outputs = [one for operation in operations for one in operation.made if id(one) in d]
    ends = [places[id(one)] for one in outputs]
    steps = [(one.function, one.decoded, [places[id(array)] for array in one.read]) for one in operations]

    def back(cotangents):
        arrays = [np.asarray(plain(one)) for one in read]
        dtype = np.result_type(*(one.dtype for one in outputs))
        traced = _traced(steps, ends, tuple(key), arrays, dtype)
        pulled = traced.pull(arrays, [c.astype(dtype, copy=False) for c in cotangents])
        return [(id(one), found) for one, found in zip(read, pulled, strict=True) if isinstance(one, TapeArray)]

    return outputs, back


def _traced(steps, ends, key, arrays, dtype) -> Any:
    """Return the derivative of functions one after the other, at arrays of some shapes."""
    from rnnkit.execution.array_functions import TracedFunction, kind_of  # with the compiler

    kinds = [kind_of(one.dtype) for one in arrays]
    key = key, tuple(ends), *((one.shape, kind) for one, kind in zip(arrays, kinds, strict=True)), dtype

    def run(given):
        values: list[list] = []
        for function, decoded, wiring in steps:
            own = [given[i] if k < 0 else values[k][i] for k, i in wiring]
            arguments, keywords = _filled(decoded, own)
            values.append(leaves(function(*arguments, **keywords)))
        return [values[k][i] for k, i in ends]

    if key not in _PULLS:
        if len(_PULLS) >= _MOST:
            _PULLS.clear()
        shapes, none = [one.shape for one in arrays], [False] * len(arrays)
        name = getattr(steps[-1][0], "__name__", "tape")
        _PULLS[key] = TracedFunction(run, shapes, none, kinds, dtype, name)
    return _PULLS[key]


def _cast(x, dtype):
    return x.astype(dtype)
