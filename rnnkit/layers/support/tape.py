"""Gradients of a program's computations: calls of layers, and NumPy's functions between them, recorded as they run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.hints import Array
from rnnkit.identity import Same
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.added_losses import collecting, keep, regularized
from rnnkit.layers.support.array_methods import ArrayMethods
from rnnkit.layers.support.bound_calls import vjp_on
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.symbolic import leaves
from rnnkit.layers.support.variable import Variable
from rnnkit.layers.support.vjp_runner import PullRunner
from rnnkit.layers.support.weight_mapping import weight_keys
from rnnkit.opaque import opaque
from rnnkit.steps.nesting import leaves_of, mapped

_MOST = 128  # ways back that are kept
_WAYS: dict[tuple, list] = {}  # back through functions and calls, by keys of all notes
_SHAPES = (np.shape, np.ndim, np.size)
_DIRECT = {np.ndarray, bool, type(None)}  # most arguments of a layer's call
_PLAIN = {bool, int, float, str, type(None), *(type(np.dtype(name)) for name in "?lifd")}  # kinds of arguments


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
        self._notes: list[_Note] = []
        self._keys: list[Any] = []  # what all notes depend on but numbers, by which the ways back are kept
        self._values: list[Any] = []  # all arrays, by their numbers
        self._others: dict[int, int] = {}  # numbers of arrays that nothing in the block made, by their ids
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
        return array if isinstance(array, Variable) else self._root._beginning(np.asarray(array))

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
        root, targets, d = self._root, leaves(target), _Cotangents()
        given = [None] * len(targets) if output_gradients is None else leaves(output_gradients)
        for one, cotangent in zip(targets, given, strict=True):
            if not isinstance(one, TapeArray) or one.tape is not root:
                raise ValueError(
                    f"expected a target that was computed inside of `with tape:` from layers or weights, got {one!r}"
                )
            ones = np.ones_like(one.value) if cotangent is None else np.asarray(cotangent, one.dtype)
            d.add(one.number, ones if ones.shape == one.shape else np.broadcast_to(ones, one.shape))
        sought = [root._sought(one) for one in leaves(sources)]
        for part in root._way_back(tuple([one.number for one in targets]), tuple(sought)):
            part(root, d)
        each = iter(sought)
        return mapped(sources, lambda one: root._found(d, one, *next(each)))

    def _sought(self, source) -> tuple:
        """Return the number of a source, or None, and the key of a weight, or None."""
        if isinstance(source, TapeArray):
            return source.number if source.tape is self else self._others.get(id(source)), None
        if not isinstance(source, Variable):
            raise ValueError(
                f"expected weights, as of model.trainable_variables, or x = tape.watch(x); got {type(source).__name__}"
            )
        return None, source.key

    def _found(self, d: _Cotangents, source, number, key) -> Any:
        if key is None:
            return d.get(number)
        total = d.get(("weight", key))
        for one in self._leaves.get(key, ()):
            if (found := d.get(one.number)) is not None:
                total = found if total is None else added_up(total, found)
        return total.astype(source.dtype, copy=False) if isinstance(total, np.ndarray) else total

    def _way_back(self, ends: tuple, sought: tuple) -> list:
        """Return the parts of the way from arrays back to those that are sought, the last one first."""
        key = tuple(self._keys), ends, sought
        if (found := _WAYS.get(key)) is None:
            if len(_WAYS) >= _MOST:
                _WAYS.clear()
            found = _WAYS[key] = _parts_back(self, ends, sought)
        return found

    # The record

    def number(self, array: Any) -> int:
        """Return the number of an array that nothing in the block made."""
        found = self._others.get(id(array))
        if found is None:
            found = self._others[id(array)] = len(self._values)
            self._values.append(array)
            self._keys.append((array.shape, array.dtype))
        return found

    def _beginning(self, array) -> TapeArray:
        self._keys.append((array.shape, array.dtype))
        return TapeArray(array, self)

    def _noted(self, arrays) -> tuple[Any, list[TapeArray]]:
        """Return nested arrays as arrays of the tape, and these, flat."""
        result = mapped(arrays, lambda array: TapeArray(array, self))
        return result, leaves(result)

    def _note(self, made: list, read: list, back: Any, key: tuple) -> None:
        self._notes.append(_Note([one.number for one in made], read, back))
        self._keys.append(key)

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
        known = [one for nested in read.values() for one in leaves(nested) if isinstance(one, TapeArray)]
        result, made = self._noted(outputs)
        for one in made:
            one.inputs = layer, plain(x), given.get("mask")
        count, added = len(made), list(found)
        for one in added:
            one.value = TapeArray(np.asanyarray(one.value), self)
            made.append(one.value)
        keep(layer, added)
        if added:
            self._added.append((layer, added))
        keys, stand_ins = weight_keys(layer), self._stand_ins
        replaced = {key: stand_ins[key] for key in keys.values() if key in stand_ins} if stand_ins else stand_ins

        def back(cotangents, d):
            for one, own in zip(added, cotangents[count:], strict=True):
                one.cotangent = 0.0 if own is None else float(own)
            found = (pullback.pull if known else pullback.pull_weights)(cotangents[:count])
            for name, gradient in found.weights.items():
                key = keys[name]
                d.add(replaced[key].number if key in replaced else ("weight", key), gradient)
            for name, nested in read.items() if known else ():
                if (gradient := found.of(name)) is not None:
                    for one, own in zip(leaves(nested), leaves_of(gradient), strict=True):
                        if isinstance(one, TapeArray) and own is not None:
                            d.add(self._number(one), own)

        numbers = [self._number(one) for one in (*known, *replaced.values())]
        shapes = tuple([(one.shape, one.dtype) for one in made])
        self._note(made, numbers, _Call(back, keys), (_Call, tuple(numbers), shapes, Same(keys)))
        return result

    def tensor_of(self, variable: Variable) -> TapeArray:
        """Return the array in place of a weight."""
        if variable.key in self._stand_ins:
            return self._stand_ins[variable.key]
        several, array = self._leaves.setdefault(variable.key, []), variable._array()
        if not several or several[-1].value is not array:
            several.append(self._beginning(array))
        return several[-1]

    def apply(self, function: Callable, arguments: tuple, keywords: dict) -> Any:
        """Return the result of a function of NumPy."""
        own, kinds, read = [], [], []
        for one in arguments:
            kind: Any = type(one)
            if kind not in _FLAT:
                one = symbolic.resolved(one)
                kind = type(one)
            if kind is TapeArray or kind is np.ndarray:
                number = self._number(one)
                read.append((number, one))
                one, kind = _Place(number), _Place
            elif kind is float and not one:
                kind = repr(one)  # 0 and -0 are equal
            elif kind not in _FLAT:
                break
            own.append(one)
            kinds.append(kind)
        if len(own) == len(arguments) and all(type(one) in _PLAIN for one in keywords.values()):  # most calls
            decoded: Any = tuple(own), keywords
            key = function, decoded[0], tuple(kinds), *keywords.items(), *map(type, keywords.values())
            given = {number: one.value if type(one) is TapeArray else one for number, one in read}
            found = function(*[given[one] if type(one) is _Place else one for one in own], **keywords)
        else:
            read = []
            decoded = mapped((arguments, keywords), lambda one: self._place(one, read))
            given = {number: one.value if isinstance(one, TapeArray) else one for number, one in read}
            key, (filled, more) = (function, repr(decoded)), _filled(decoded, given)
            found = function(*filled, **more)
        if not any(isinstance(one, TapeArray) for _, one in read):
            return found
        several = [found] if isinstance(found, (np.ndarray, np.generic)) else leaves(found)
        if any(np.result_type(one).kind != "f" for one in several):
            return found
        result, made = self._noted(found)
        self._note(made, [number for number, _ in read], (function, decoded), key)
        return result

    def note(self, value: Any, read: list, back: Callable) -> Any:
        """Return an array computed in another way: `back` returns a cotangent for each array of `read`."""
        result, made = self._noted(value)
        read = [self.tensor_of(one) if isinstance(one, Variable) else one for one in read]
        places = [self._number(one) if isinstance(one, TapeArray) else None for one in read]

        def pulled(cotangents, d):
            for number, own in zip(places, back(*cotangents), strict=True):
                if number is not None and own is not None:
                    d.add(number, own)

        numbers = [one for one in places if one is not None]
        key = _Call, tuple(numbers), tuple([(one.shape, one.dtype) for one in made])
        self._note(made, numbers, _Call(pulled, {}), key)
        return result

    def _number(self, array) -> int:
        return array.number if type(array) is TapeArray and array.tape is self else self.number(array)

    def _place(self, one, read: list) -> Any:
        one = symbolic.resolved(one)
        if not isinstance(one, (TapeArray, np.ndarray)):
            return one
        read.append((self._number(one), one))
        return _Place(read[-1][0])


class TapeArray(ArrayMethods):
    """An array that a `GradientTape` has recorded: in its block, NumPy's functions of it are recorded too."""

    inputs: tuple | None = None  # of a layer's result: the layer, and the inputs and the mask of its call

    def __init__(self, value: Any, tape: GradientTape):
        self.value = value if isinstance(value, np.ndarray) else np.asarray(value)
        self.tape, self.number = tape, len(tape._values)
        tape._values.append(self.value)

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


_FLAT = {*_PLAIN, TapeArray, np.ndarray}


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
            own = mapped(arguments[argnums], lambda one: tape.watch(plain(one)))
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
    back = lambda d: [opaque(lambda w, d: regularizer.gradient(w) * w.dtype.type(d), own.value, d)]
    return tape.note(opaque(lambda w: np.asarray(regularizer(w)), own.value), [own], back)


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


def _summed(d, shape):
    """Return the cotangent of an array of a shape from one that the rule may give broadcast."""
    d = np.asarray(d)
    if d.shape == shape:
        return d
    d = d.sum(axis=tuple(range(max(0, d.ndim - len(shape)))))
    axes = tuple(i for i, (n, m) in enumerate(zip(d.shape, shape, strict=False)) if m == 1 and n != 1)
    return np.broadcast_to(d.sum(axis=axes, keepdims=True), shape)


class _Place(int):
    """Number of an array among the arguments of a function."""

    def __repr__(self):
        return f"array {int(self)}"


def _filled(decoded, arrays):
    return mapped(decoded, lambda one: arrays[one] if isinstance(one, _Place) else one)


class _Cotangents(dict):
    """Cotangents of arrays by their numbers, and of weights by ``("weight", key)``."""

    def add(self, number: Any, cotangent: Any) -> None:
        """Add to the cotangent of an array, or of a weight."""
        self[number] = added_up(self[number], cotangent) if number in self else cotangent


class _Call(NamedTuple):
    """Way back through a call of a layer, or through what was computed in another way."""

    back: Callable  # of the cotangents of all results, to be added to `_Cotangents`
    keys: dict  # of its weights


class _Note(NamedTuple):
    """Record of one computation."""

    made: list[int]  # the numbers of its results
    read: list[int]  # and of the arrays that they depend on
    back: Any  # a `_Call`, or a function of NumPy and its arguments


def _through_call(place: int, kept: frozenset, tape, d: _Cotangents) -> None:
    """Add the cotangents of what a note read to those of all arrays; `kept` are results that are sought, too."""
    note = tape._notes[place]
    pairs = [(d.get(one) if one in kept else d.pop(one, None), tape._values[one].dtype) for one in note.made]
    if any(one is not None for one, _ in pairs):
        note.back.back([None if one is None else one.astype(kind, copy=False) for one, kind in pairs], d)


class _ThroughFunctions:
    """Part of a way back: the functions of NumPy that follow each other, traced as one."""

    def __init__(self, tape, notes: list[_Note], reached, sought, kept: frozenset):
        from rnnkit.execution.array_functions import TracedFunction, kind_of  # with the compiler

        made = {one: (k, i) for k, note in enumerate(notes) for i, one in enumerate(note.made)}
        self.given = list(dict.fromkeys(one for note in notes for one in note.read if one not in made))
        self.ends = [one for one in made if one in reached]
        self.kept, arrays = kept, [tape._values[one] for one in self.given]
        self.dtype = np.result_type(*(tape._values[one].dtype for one in self.ends))
        self.sought = [i for i, one in enumerate(self.given) if one in sought]
        steps = [note.back for note in notes]

        def run(given):
            values: dict[int, Any] = dict(zip(self.given, given, strict=True))
            for (function, decoded), note in zip(steps, notes, strict=True):
                arguments, keywords = _filled(decoded, values)
                values.update(zip(note.made, leaves(function(*arguments, **keywords)), strict=True))
            return [values[one] for one in self.ends]

        shapes, kinds = [one.shape for one in arrays], [kind_of(one.dtype) for one in arrays]
        none, name = [False] * len(arrays), getattr(steps[-1][0], "__name__", "tape")
        self.traced = TracedFunction(run, shapes, none, kinds, self.dtype, name)
        self.runner = PullRunner()

    def __call__(self, tape, d: _Cotangents) -> None:
        """Add the cotangents of what was read to those of all arrays."""
        own = [d.get(one) if one in self.kept else d.pop(one, None) for one in self.ends]
        if all(one is None for one in own):
            return
        values = tape._values
        cotangents = [
            np.zeros_like(values[number], self.dtype) if one is None else one.astype(self.dtype, copy=False)
            for number, one in zip(self.ends, own, strict=True)
        ]
        arrays = [plain(values[one]) for one in self.given]
        found = self.runner.pull(self.traced, arrays, cotangents, self.sought)
        for number, one in zip(self.sought, found, strict=True):
            d.add(self.given[number], one)


def _parts_back(tape: GradientTape, ends: tuple, sought: tuple) -> list:
    """Return the parts of the way from arrays back to those that are sought: of calls, and of functions together."""
    keys, wanted = {key for _, key in sought}, {number for number, _ in sought}
    wanted |= {one.number for key in keys for one in tape._leaves.get(key, ())}
    leads = set(wanted)  # arrays that depend on those that are sought
    for note in tape._notes:
        weights = note.back.keys.values() if isinstance(note.back, _Call) else ()
        if not leads.isdisjoint(note.read) or not keys.isdisjoint(weights):
            leads.update(note.made)
    found: list[Any] = []
    together: list[_Note] = []
    reached = set(ends)

    def close():
        if together:
            found.append(_ThroughFunctions(tape, together[::-1], ended, leads, frozenset(wanted)))
            together.clear()

    ended = set(reached)  # arrays that are the ends of functions together, or read behind them
    for place, note in reversed(list(enumerate(tape._notes))):
        if isinstance(note.back, _Call) or not wanted.isdisjoint(note.made):
            close()
        if reached.isdisjoint(note.made) or leads.isdisjoint(note.made):
            continue
        if not together:
            ended = set(reached)
        if isinstance(note.back, _Call):
            found.append(partial(_through_call, place, frozenset(wanted)))
        else:
            together.append(note)
        reached.update(note.read)
    close()
    return found


def _cast(x, dtype):
    return x.astype(dtype)
