"""Symbolic calls: a layer called on what `Input` gives is recorded, to be run when a `Model` is."""

from __future__ import annotations

import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit import allocation
from rnnkit.layers.support import device_transfer, validation

if TYPE_CHECKING:
    from rnnkit.layers.base import Layer

_order = itertools.count()
MERGING: dict[str, type] = {}  # the layers that operators stand for: `rnnkit.layers.merging` registers them

# What to write instead of a NumPy function; each is a layer.
_INSTEAD = {
    "add": "rk.Add()([a, b])",
    "subtract": "rk.Subtract()([a, b])",
    "multiply": "rk.Multiply()([a, b])",
    "maximum": "rk.Maximum()([a, b])",
    "matmul": "rk.Dense(units)(x)",
    "concatenate": "rk.Concatenate()([a, b])",
    "hstack": "rk.Concatenate()([a, b])",
    "reshape": "rk.Reshape(shape)(x)",
    "ravel": "rk.Flatten()(x)",
    "repeat": "rk.RepeatVector(n)(x)",
    "mean": "rk.GlobalAveragePooling1D()(x)",
    "exp": 'rk.Activation("exponential")(x)',
}
_ACTIVATIONS = ("tanh", "sigmoid", "softplus", "log_sigmoid")


class SymbolicTensor:
    """What stands for an array until a `Model` is called: what `Input` gives, and a layer called on it.

    ``a + b``, ``a - b`` and ``a * b`` of two of them are `Add`, `Subtract` and `Multiply`.

    Attributes
    ----------
    shape : tuple
        The batch size first; None where a size is open.
    dtype : numpy.dtype
    name : str
        The input's, or that of the layer that gives it.
    """

    def __init__(self, node: Node, shape, dtype, name: str):
        self.node, self.shape, self.dtype, self.name = node, tuple(shape), np.dtype(dtype), name

    @property
    def ndim(self) -> int:
        """How many axes there are, with the batch."""
        return len(self.shape)

    def __repr__(self):
        return f"<SymbolicTensor {self.name!r}, {self.dtype} {self.shape}>"

    def __add__(self, other):
        return self._merged("Add", other)

    def __sub__(self, other):
        return self._merged("Subtract", other)

    def __mul__(self, other):
        return self._merged("Multiply", other)

    def _merged(self, layer, other):
        if not isinstance(other, SymbolicTensor):
            raise _no_array(f"arithmetic with {type(other).__name__}", "rk.Lambda(function)(x)")
        return MERGING[layer]()([self, other])

    def _refused(self, *_):
        raise _no_array("this operation", "rk.Lambda(function)(x)")

    __radd__ = __rsub__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = _refused
    __pow__ = __rpow__ = __neg__ = __abs__ = __getitem__ = __len__ = __bool__ = __float__ = _refused

    def __iter__(self):
        raise TypeError(
            f"expected several arrays, the symbolic tensor {self.name!r} is one; a recurrent layer gives its states "
            "too with return_state=True"
        )

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            f"expected an array, got the symbolic tensor {self.name!r}; give it to a layer, or call a Model"
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        raise _no_array(f"np.{ufunc.__name__}", _instead(ufunc.__name__))

    def __array_function__(self, function, types, arguments, keywords):
        raise _no_array(f"np.{function.__name__}", _instead(function.__name__))

    def __rnnkit_function__(self, name, arguments):
        raise _no_array(f"rk.{name}", _instead(name))


def _instead(name):
    return f'rk.Activation("{name}")(x)' if name in _ACTIVATIONS else _INSTEAD.get(name, "rk.Lambda(function)(x)")


def _no_array(what, instead):
    return TypeError(f"expected arrays for {what}, got a symbolic tensor, which layers take: write {instead}")


class Node:
    """One call of a layer, or an input.

    Attributes
    ----------
    layer : Layer or None
        None of an input.
    x : SymbolicTensor, or nested lists of them
    more : dict of str to SymbolicTensor, or nested lists of them
        The other arguments.
    training : bool or None
        As it was said at the call; None takes the model's.
    outputs : list of SymbolicTensor
        All that the call returns, flat.
    order : int
        Grows with every node, so that a node stands behind all that it reads.
    """

    def __init__(self, layer: Layer | None = None, x: Any = None, more: dict | None = None, training=None):
        self.layer, self.x, self.more, self.training = layer, x, more or {}, training
        self.outputs: list[SymbolicTensor] = []
        self.order = next(_order)

    def read(self) -> list[SymbolicTensor]:
        """All tensors that the call reads."""
        return [tensor for nested in (self.x, *self.more.values()) for tensor in leaves(nested)]

    def give(self, shapes, dtype, name: str):
        """A tensor for each shape, nested as they are."""
        count = len(shape_leaves(shapes))

        def give(shape):
            own = name if count == 1 else f"{name}:{len(self.outputs)}"
            self.outputs.append(SymbolicTensor(self, shape, dtype, own))
            return self.outputs[-1]

        return shapes_mapped(shapes, give)


def Input(shape=None, batch_size=None, dtype=None, name=None, *, batch_shape=None) -> SymbolicTensor:
    """Where a model's data comes in: a symbolic tensor to call layers on.

    Parameters
    ----------
    shape : tuple
        Without the batch axis; None for a length that is open, as in ``(None, 5)``.
    batch_size : int, optional
        If it is fixed.
    dtype : dtype, optional
        float32 unless given, the precision of layers that have none of their own. Integers stand for ids.
    name : str, optional
        By which a dict of inputs has it; "input", "input_1" and so on otherwise.
    batch_shape : tuple, optional
        In place of `shape` and `batch_size`: with the batch axis, as in ``(32, None, 5)``.

    Returns
    -------
    SymbolicTensor

    Raises
    ------
    ValueError
        For what is no shape.
    TypeError
        For a dtype that isn't one of real numbers.

    Examples
    --------
    >>> import rnnkit as rk
    >>> x = rk.Input((None, 5))
    >>> rk.GRU(4, return_sequences=True)(x).shape
    (None, None, 4)
    """
    if batch_shape is not None:
        if shape is not None or batch_size is not None:
            raise ValueError("expected either batch_shape, or shape and batch_size, got both")
        if not isinstance(batch_shape, (tuple, list)) or not batch_shape:
            raise ValueError(f"expected batch_shape with the batch axis, such as (32, None, 5), got {batch_shape!r}")
        batch_size, *shape = batch_shape
    if isinstance(shape, str) or not isinstance(shape, (tuple, list)):
        raise ValueError(f"expected a shape without the batch axis, such as (None, 5), got {shape!r}")
    found = np.dtype("float32" if dtype is None else dtype)
    if found.kind not in "iub":
        found = validation.floating(found)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"expected name to be a string, got {name!r}")
    return Node().give(validation.shape((batch_size, *shape), 1, "batch"), found, name or "input")


def input_config(tensor: SymbolicTensor) -> dict:
    """The arguments of `Input`, as JSON values."""
    batch_size, *shape = tensor.shape
    return {"shape": shape, "batch_size": batch_size, "dtype": tensor.dtype.name, "name": tensor.name}


def recorded(call):
    """A layer's ``__call__`` that is recorded if there is a symbolic tensor among its arguments.

    With NumPy's arrays it is repeated where it was met often enough, see `rnnkit.layers.support.repeats`.

    Arguments that aren't plain may be a GPU's, too.
    """
    crossing = device_transfer.crossing(call)

    @functools.wraps(call)
    def called(self, *arguments, **keywords):
        if self._repeated_calls is not None:
            found = self._repeated_calls.run(self, call, arguments, keywords)
            if found is not None:
                return found
        plain = True
        for value in arguments:
            if type(value) not in _PLAIN:
                if _is_symbolic(value):
                    return _record(self, call, arguments, keywords)
                plain = False
        for value in keywords.values():
            if type(value) not in _PLAIN:
                if _is_symbolic(value):
                    return _record(self, call, arguments, keywords)
                plain = False
        try:
            return (call if plain else crossing)(self, *arguments, **keywords)
        except MemoryError as error:
            raise allocation.retold(error, f"a call of {self.name!r}") from None

    return called


_PLAIN = {np.ndarray, bool, type(None)}  # most arguments: calls are many and short


def _is_symbolic(value) -> bool:
    """Whether there is a symbolic tensor in nested lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return isinstance(value, SymbolicTensor)
    for one in value:
        if type(one) not in _PLAIN:
            if isinstance(one, (int, float)):
                return False  # a list of numbers, which may be long
            if _is_symbolic(one):
                return True
    return False


def _record(layer, call, arguments, keywords):
    """Build the layer for symbolic arguments, and give what stands for its result."""
    try:
        bound = inspect.signature(call).bind(layer, *arguments, **keywords).arguments
    except TypeError as error:
        raise TypeError(f"{type(layer).__name__}: {error}") from None
    (_, x), *others = list(bound.items())[1:]
    more = {name: value for name, value in others if value is not None}
    training = more.pop("training", None)
    x = layer._arranged(x)
    for name, value in {"x": x, **more}.items():
        for leaf in leaves(value):
            if not isinstance(leaf, SymbolicTensor):
                raise TypeError(
                    f"expected {name} of {layer.name!r} to hold symbolic tensors only, got {type(leaf).__name__}; make "
                    "it an rk.Input"
                )
    shape = mapped(x, lambda tensor: tensor.shape)
    if layer.built:
        layer._check_shape(layer._shape(shape))
    with layer._all_or_nothing():
        layer._build_with(shape, layer.dtype or precision(leaves(x)))
        node = Node(layer, x, more, None if training is None else bool(training))
        _check(node, shape)
        result = node.give(layer.compute_output_shape(shape), layer.dtype, layer.name)
    return result


def precision(tensors) -> np.dtype:
    """What layers without a precision of their own are built with for these inputs."""
    return np.result_type(np.float32, *(tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"))


def _check(node, shape):
    """Refuse arguments of such shapes as a call refuses."""
    more = dict(node.more)
    mask = more.pop("mask", None)
    if isinstance(mask, SymbolicTensor) and isinstance(node.x, SymbolicTensor):
        steps = mask.shape[:2] if mask.shape[2:] == (1,) else mask.shape
        if len(steps) != 2 or not _agree(steps, shape[:2]):
            raise ValueError(f"expected mask of shape {shape[:2]}, one value per step; got {mask.shape}")
    given = {name: more[name] for name in ("initial_state", "constants") if name in more}
    if given:
        known = [tensor.shape[0] for tensor in node.read() if tensor.shape[0] is not None]
        rows = known[0] if known else 1
        node.layer._check_given(
            rows, **{name: mapped(nested, lambda t: _zeros_for(t, rows)) for name, nested in given.items()}
        )


def _agree(first, second) -> bool:
    return len(first) == len(second) and all(
        a is None or b is None or a == b for a, b in zip(first, second, strict=True)
    )


def _zeros_for(tensor, rows) -> np.ndarray:
    """An array of as many rows, and of a tensor's sizes where they are known."""
    first = rows if tensor.shape[0] is None else tensor.shape[0]
    return np.broadcast_to(np.zeros((), tensor.dtype), (first, *(n or 1 for n in tensor.shape[1:])))


def leaves(nested) -> list:
    """What nested lists hold, from the first to the last; None is nothing."""
    if nested is None:
        return []
    return [leaf for one in nested for leaf in leaves(one)] if isinstance(nested, (list, tuple)) else [nested]


def mapped(nested, function):
    """Lists, nested as lists and tuples are, with what a function makes of each leaf."""
    return [mapped(one, function) for one in nested] if isinstance(nested, (list, tuple)) else function(nested)


def is_shape(value) -> bool:
    """Whether this is one shape, rather than several."""
    return all(size is None or isinstance(size, int) for size in value)


def shape_leaves(shapes) -> list:
    """All shapes, flat."""
    return [tuple(shapes)] if is_shape(shapes) else [leaf for one in shapes for leaf in shape_leaves(one)]


def shapes_mapped(shapes, function):
    """Nested as shapes are, with what a function makes of each of them."""
    return function(shapes) if is_shape(shapes) else type(shapes)(shapes_mapped(one, function) for one in shapes)
