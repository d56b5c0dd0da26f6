"""Operators, indices and NumPy's functions of symbolic tensors, each recorded as a layer that can be saved."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import activations
from rnnkit.execution.array_functions import MixesRows, is_traceable
from rnnkit.hints import Config, LayerOptions
from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.serialization.registry import find, name_of, reading, register, registered_name


class Operation(WholeArrays):
    """One operation on arrays, as ``x[:, -1]`` or ``np.concatenate([a, b], axis=1)`` of symbolic tensors records it.

    Parameters
    ----------
    operation : str
        "item" for an index, "astype", "numpy:tanh", "numpy.linalg:norm", "numpy:add.reduce", "rnnkit:relu", or the
        name of a registered function.
    arguments, keywords : list and dict of JSON values
        What the operation is called with; ``{"tensor": i}`` stands for the i-th array of the inputs.
    unbatched : sequence of int
        The places of arrays that have no batch axis.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> x = rk.Input((None, 3))
    >>> model = rk.Model(x, np.mean(x, axis=1) / 2)
    >>> model(np.full((1, 4, 3), 5.0))
    array([[2.5, 2.5, 2.5]], dtype=float32)
    """

    arguments: Any
    keywords: Any
    _is_operation = True
    _mixing: Exception | None = None  # of one over the whole batch in a `call`, for losses and weights: why

    def __init__(
        self,
        operation: Any,
        arguments: Any = (),
        keywords: Any = None,
        unbatched: Any = (),
        **options: Unpack[LayerOptions],
    ):
        if not isinstance(operation, str):
            raise TypeError(f"expected the name of an operation, such as 'numpy:tanh', got {operation!r}")
        self.operation = operation
        self._default_name = operation.rpartition(":")[2].rpartition(">")[2].partition(".")[0]
        super().__init__(**options)
        self.arguments, self.keywords = list(arguments), dict(keywords or {})
        self._unbatched = tuple(unbatched)
        _resolved(operation)  # which refuses an unknown name

    @property
    def _reads_batch(self):
        return self._mixing is not None

    def _result(self, arrays, mask, training):
        arguments = [_decoded(one, arrays) for one in self.arguments]
        keywords = {name: _decoded(one, arrays) for name, one in self.keywords.items()}
        if self.operation in _RESHAPING and arguments:
            arguments, keywords = _with_batch(arguments, keywords)
        return _resolved(self.operation)(*arguments, **keywords)

    def _lines(self):
        if ":" in self.operation:
            return ()
        function = _resolved(self.operation)
        return (getattr(function, "__wrapped__", function),)

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        own = {"arguments": self.arguments, "keywords": self.keywords, "unbatched": list(self._unbatched)}
        return super().get_config() | own

    def _arguments(self):
        return repr(self.operation)


def operation(package: str, name: str | None = None) -> Callable[[Callable], Callable]:
    """Let a NumPy-style function take symbolic tensors too, and record it as one layer, as a decorator.

    Parameters
    ----------
    package, name
        By which configurations name it, as of `rnnkit.register`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.layers.operation import operation
    >>> @operation("my_package")
    ... def centred(x, axis):
    ...     return x - np.mean(x, axis=axis, keepdims=True)
    >>> x = rk.Input((None, 2))
    >>> rk.Model(x, centred(x, axis=1))(np.array([[[1.0, 2.0], [3.0, 4.0]]], "float32"))
    array([[[-1., -1.],
            [ 1.,  1.]]], dtype=float32)
    """

    def decorated(function):
        @functools.wraps(function)
        def called(*arguments, **keywords):
            if symbolic.holds_symbols((arguments, keywords)):
                return record(name_of(called), arguments, keywords)
            return function(*arguments, **keywords)

        return register(package, name)(called)

    return decorated


def record(name: str, arguments, keywords) -> Any:
    """Return the symbolic result of an operation on symbolic tensors, and of what else it is called with."""
    if name == "numpy:broadcast_to" and (repeated := _for_each_row(*arguments, **keywords)) is not None:
        return repeated
    tensors: list[SymbolicTensor] = []
    given = [_encoded(one, tensors) for one in arguments]
    more = {key: _encoded(one, tensors) for key, one in keywords.items()}
    x = tensors[0] if len(tensors) == 1 else tensors
    mixing = next((one.mixing for one in tensors if one.mixing is not None), None)
    if mixing is None:
        unbatched = tuple(i for i, tensor in enumerate(tensors) if not tensor.batched)
        try:
            return Operation(name, given, more, unbatched)(x)
        except MixesRows as error:
            if not hasattr(symbolic.tracing.get(), "added"):  # no `call` is read
                raise
            mixing = error.with_traceback(None)
    layer = Operation(name, given, more, range(len(tensors)))
    layer._mixing = mixing
    return layer(x)


_PLAIN = (bool, int, str, type(None))


def _encoded(value, tensors: list) -> Any:
    """Return an argument as JSON values, its symbolic tensors by their place in a list that they are added to."""
    value = symbolic.resolved(value)
    if isinstance(value, SymbolicTensor):
        place = next((i for i, one in enumerate(tensors) if one is value), len(tensors))
        if place == len(tensors):
            tensors.append(value)
        return {"tensor": place}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else {"number": repr(value)}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return [_encoded(one, tensors) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [_encoded(one, tensors) for one in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(one, tensors) for key, one in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_encoded(one, tensors) for one in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        numbers = [_encoded(one, tensors) for one in value.reshape(-1).tolist()]
        return {"array": numbers, "shape": list(value.shape), "dtype": value.dtype.str}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic | float | int | bool)):
        return {"dtype": np.dtype(value).name}
    if callable(value) and registered_name(value):
        return {"function": name_of(value)}
    raise TypeError(
        "expected real numbers and arrays, slices, text or None beside a symbolic tensor, got "
        f"{getattr(value, 'dtype', type(value).__name__)}; write ArrayFunction(function)(x), or a layer"
    )


def _decoded(value, arrays) -> Any:
    """Return the arguments that `_encoded` stands for, with arrays in the place of tensors."""
    if isinstance(value, list):
        return [_decoded(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return arrays[value["tensor"]] if isinstance(arrays, (list, tuple)) else arrays
    if "array" in value:
        numbers = [_decoded(one, arrays) for one in value["array"]]
        return np.array(numbers, value["dtype"]).reshape(value["shape"])
    (kind,) = value
    inside = value[kind]
    if kind == "tuple":
        return tuple(_decoded(one, arrays) for one in inside)
    if kind == "dict":
        return {key: _decoded(one, arrays) for key, one in inside.items()}
    if kind == "slice":
        return slice(*(_decoded(one, arrays) for one in inside))
    read: dict[str, Callable] = {"ellipsis": lambda _: ..., "number": float, "dtype": np.dtype, "function": find}
    return read[kind](inside)


_RESHAPING = ("numpy:reshape", "numpy:broadcast_to")


def _with_batch(arguments, keywords):
    """Return a shape whose first None is the batch size of the array, and a second one what is left."""
    array, *others = arguments
    shape = others[0] if others else keywords.get("shape", keywords.get("newshape"))
    if not isinstance(shape, (tuple, list)) or None not in shape:
        return arguments, keywords
    sizes = list(shape)
    sizes[sizes.index(None)] = array.shape[0]
    sizes = [-1 if size is None else size for size in sizes]
    return [array, tuple(sizes)], {}


def _for_each_row(array, shape, subok=False):
    """Return what ``np.broadcast_to`` makes of a weight and a shape with the batch size; None for others."""
    like = getattr(symbolic.tracing.get(), "first", None)
    if like is None or symbolic.resolved(array).batched or [*np.atleast_1d(shape)][:1] != [None]:
        return None
    return record("rows", (like, record("numpy:broadcast_to", (array, (1, *shape[1:])), {})), {})


def _resolved(name: str) -> Callable:
    """Return the function that an operation's name stands for."""
    if name in _OWN:
        return _OWN[name]
    module, _, function = name.partition(":")
    if module == "rnnkit" and hasattr(getattr(activations, function, None), "__wrapped__"):
        return getattr(activations, function)
    if module.partition(".")[0] != "numpy":
        with reading():
            return find(name)
    function, _, method = function.partition(".")
    found = getattr({"numpy": np, "numpy.linalg": np.linalg}.get(module), function, None)
    if isinstance(found, np.ufunc):
        return found.reduce if method == "reduce" else found.accumulate if method == "accumulate" else found
    if found is None or not is_traceable(function, module == "numpy.linalg"):
        shown = f"np{name[5:]}".replace(":", ".")
        raise ValueError(f"expected a function of NumPy that can be traced and differentiated, got {shown}")
    return found


def _rows(like, array):
    """Return an array ``(1, …)`` for each row of another."""
    return np.broadcast_to(array, (like.shape[0], *array.shape[1:]))


_OWN: dict[str, Callable] = {
    "item": lambda x, key: x[key],
    "astype": lambda x, dtype: x.astype(dtype),
    "rows": _rows,
}
symbolic.RECORD.append(record)
