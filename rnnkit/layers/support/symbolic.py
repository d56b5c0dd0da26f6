"""Symbolic calls: a layer called on a symbolic tensor is recorded, to run when a `Model` is called."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from operator import is_
from typing import Any

import numpy as np

from rnnkit.hints import DType, Shape
from rnnkit.layers.support import validation
from rnnkit.layers.support.array_methods import ArrayMethods
from rnnkit.layers.support.layer_tree import all_layers, all_or_nothing, arrays_by_name, build_with
from rnnkit.layers.support.seeds import adopt_seed
from rnnkit.serialization.registry import name_of
from rnnkit.steps.nesting import is_shape, leaves_of, shapes_mapped

_order = itertools.count()
LAST_CALLS: weakref.WeakKeyDictionary[Any, weakref.ref[Node]] = weakref.WeakKeyDictionary()  # while models exist
# The shape for which a layer's first symbolic call built it, and its weights then, until a model contains it.
_DRAWN: weakref.WeakKeyDictionary[Any, tuple] = weakref.WeakKeyDictionary()

# The trace or tape of this thread, which reads the `call` of a user's class; it makes tensors of arrays.
tracing: ContextVar[Any] = ContextVar("rnnkit_tracing", default=None)
MERGING: dict[str, type] = {}  # layers by the ufunc that they compute, registered by `rnnkit.layers.merging`

RECORD: list[Callable] = []  # records an operation as a layer: registered by `rnnkit.layers.operation`


class SymbolicTensor(ArrayMethods):
    """A placeholder for an array until a `Model` is called: the result of `Input`, or of a layer called on one.

    ``a + b``, ``a - b`` and ``a * b`` of two of one rank are `Add`, `Subtract` and `Multiply`. Every other operator, an
    index and NumPy's functions are recorded as the layer `rnnkit.layers.operation.Operation`. ``==`` and ``!=`` compare
    the tensors themselves, as a dict of them needs; `numpy.equal` compares numbers.

    Attributes
    ----------
    shape : tuple
        The batch size first; None where a size is open.
    dtype : numpy.dtype
    name : str
        The input's, or that of the layer that gives it.
    """

    dtype: Any
    name: Any
    node: Any
    shape: Any

    def __init__(self, node: Node, shape: Shape, dtype: DType, name: str):
        self.node, self.shape, self.dtype, self.name = node, tuple(shape), np.dtype(dtype), name

    @property
    def ndim(self) -> int:
        """The number of axes, with the batch."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor {self.name!r}, {self.dtype} {self.shape}>"

    @property
    def batched(self) -> bool:
        """Return whether it has a batch axis; weights of a user's class of layers have none."""
        return self.node.batched

    @property
    def mixing(self) -> Exception | None:
        """Return why it isn't one of rows, if it was computed over the whole batch."""
        return getattr(self.node.layer, "_mixing", None)

    def __getitem__(self, key: Any) -> Any:
        return RECORD[0]("item", (self, key), {})

    def astype(self, dtype: DType) -> Any:
        """Return the tensor as numbers or, for ``bool``, as conditions; the precision is that of the layers."""
        return RECORD[0]("astype", (self, np.dtype(dtype)), {})

    def __len__(self) -> int:
        return self._no_number("len()", "tensor.shape")

    def __bool__(self) -> Any:
        return self._no_number("a decision by its values", "np.where(condition, a, b)")

    def __float__(self) -> Any:
        return self._no_number("float()", "an array of NumPy's functions")

    __int__ = __index__ = __complex__ = __float__

    def _no_number(self, what, instead):
        raise self.mixing or TypeError(
            f"expected an array with values for {what}, got the symbolic tensor {self.name!r}, which stands for arrays "
            f"to come: write {instead}"
        )

    def __iter__(self) -> Any:
        raise self.mixing or TypeError(
            f"expected several arrays, the symbolic tensor {self.name!r} is one; a recurrent layer gives its states "
            "too with return_state=True"
        )

    def __array__(self, dtype: DType = None, copy: Any = None) -> Any:
        raise self.mixing or TypeError(
            f"expected an array, got the symbolic tensor {self.name!r}; give it to a layer, or call a Model"
        )

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **keywords: Any) -> Any:
        if method not in ("__call__", "reduce", "accumulate") or keywords.get("out") is not None:
            raise TypeError(f"expected np.{ufunc.__name__} without out= of a symbolic tensor; give the result a name")
        inputs = tuple(resolved(one) for one in inputs)
        merging = MERGING.get(ufunc.__name__)
        if merging and method == "__call__" and not keywords and _merge(inputs):
            layer = merging()
            layer._is_operation = True
            return layer(list(inputs))
        name = f"numpy:{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        return RECORD[0](name, inputs, keywords)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        if function in (np.shape, np.ndim):
            return getattr(self, function.__name__)
        return RECORD[0](f"{function.__module__}:{function.__name__}", arguments, keywords)

    def __rnnkit_function__(self, name: str, arguments: Any) -> Any:
        return RECORD[0](f"rnnkit:{name}", arguments, {})

    def __rnnkit_custom_gradient__(self, function: Any, arguments: Any, keywords: Any) -> Any:
        return RECORD[0](name_of(function), arguments, keywords)


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    setattr(SymbolicTensor, f"__i{_name}__", getattr(SymbolicTensor, f"__{_name}__"))  # `a += b` makes another tensor


def _merge(inputs) -> bool:
    """Return whether `Add` and its like take these arrays."""
    return (
        all(isinstance(one, SymbolicTensor) and one.batched for one in inputs)
        and len({len(one.shape) for one in inputs}) == 1
    )


def resolved(value):
    """Return a value, or its symbolic tensor, as of a layer's weight while it is traced."""
    found = getattr(type(value), "__symbolic__", None)
    return value if found is None else found(value)


def holds_symbols(value) -> bool:
    """Return whether nested lists, tuples and dicts hold a symbolic tensor."""
    return any(isinstance(resolved(one), SymbolicTensor) for one in leaves_of(value))


class Node:
    """One call of a layer, or an input, which has none.

    `x` and `more`, by keyword, are tensors or nested lists of them, and `options` other keywords as JSON values. A
    `training` of None takes the model's. `outputs` are flat, and `order` is above that of all nodes that it reads.
    """

    optional = False  # whether an input may be missing in a call

    def __init__(
        self,
        layer: Any = None,
        x: Any = None,
        more: dict[str, Any] | None = None,
        training=None,
        batched: bool = True,
        options: dict[str, Any] | None = None,
    ):
        self.layer, self.x, self.more, self.training, self.options = layer, x, more or {}, training, options or {}
        whole = getattr(layer, "_unbatched", ())  # places of arrays that have no batch axis for the layer
        if layer is not None:
            batched = any(one.batched for i, one in enumerate(self.read()) if i not in whole)
        self.batched = batched
        self.outputs: list[SymbolicTensor] = []
        self.order = next(_order)

    def read(self) -> list[SymbolicTensor]:
        """Return all tensors that the call reads."""
        return [tensor for nested in (self.x, *self.more.values()) for tensor in leaves(nested)]

    def give(self, shapes, dtype, name: str):
        """Return a tensor for each shape, nested as they are."""
        count = len(shape_leaves(shapes))

        def give(shape):
            own = name if count == 1 else f"{name}:{len(self.outputs)}"
            self.outputs.append(SymbolicTensor(self, shape, dtype, own))
            return self.outputs[-1]

        return shapes_mapped(shapes, give)


def Input(
    shape: Shape = None,
    batch_size: Any = None,
    dtype: DType = None,
    name: str | None = None,
    *,
    batch_shape: Shape = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Make the symbolic tensor of a model's input, to call layers on.

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
    optional : bool
        Whether a call may have None in its place: for an argument, besides the first, of a layer of one's own.

    Returns
    -------
    SymbolicTensor

    Raises
    ------
    ValueError
        For anything but a shape.
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
    node = Node()
    node.optional = bool(optional)
    return node.give(validation.shape((batch_size, *shape), 1, "batch"), found, name or "input")


def input_config(tensor: SymbolicTensor) -> dict:
    """Return the arguments of `Input`, as JSON values."""
    batch_size, *shape = tensor.shape
    found = {"shape": shape, "batch_size": batch_size, "dtype": tensor.dtype.name, "name": tensor.name}
    return found | ({"optional": True} if tensor.node.optional else {})


def record(layer, call, arguments, keywords):
    """Build the layer for symbolic arguments, and return the symbolic result."""
    try:
        (_, x), *rest = layer._call_arguments(call, arguments, keywords).items()
    except TypeError as error:
        raise TypeError(f"{type(layer).__name__}: {error}") from None
    more = {name: value for name, value in rest if value is not None}
    training = more.pop("training", None)
    options = {name: more.pop(name) for name, value in list(more.items()) if isinstance(value, (bool, int, float, str))}
    x, more = _tensors(layer, "x", x), {name: _tensors(layer, name, value) for name, value in more.items()}
    batched = [tensor for nested in (x, *more.values()) for tensor in leaves(nested) if tensor.batched]
    if batched and not layer._takes_unbatched:
        x, *others = (_repeated_rows(nested, batched[0], layer) for nested in (x, *more.values()))
        more = dict(zip(more, others, strict=True))
    shape = mapped(x, lambda tensor: tensor.shape)
    if layer.built:
        layer._check_shape(layer._shape(shape))
    fresh = not any(one.built for one in all_layers(layer))
    with all_or_nothing(layer):
        trace = tracing.get()
        build_with(layer, shape, layer.dtype or (precision(leaves(x)) if trace is None else trace.dtype))
        node = Node(layer, x, more, None if training is None else bool(training), options=options)
        _check(node, shape)
        shapes, dtype = layer._given_for(node, shape)
        result = node.give(shapes, dtype, layer.name)
    LAST_CALLS[layer] = weakref.ref(node)
    if fresh:
        _DRAWN[layer] = shape, list(arrays_by_name(layer).values())
    return result


def shapes_given(layer, shape, options: dict):
    """Return the shapes of the results of a call with other keywords."""
    output = layer.compute_output_shape(shape)
    return (output, layer._scores_shape(layer._shape(shape))) if options.get("return_attention_scores") else output


def last_call(layer) -> Node:
    """Return the node of a layer's last symbolic call; an AttributeError if there was none, or its model is gone."""
    reference = LAST_CALLS.get(layer)
    node = None if reference is None else reference()
    if node is None:
        raise AttributeError(
            f"expected a symbolic call of the layer {layer.name!r}, on what Input gives, before its input or output is "
            "asked for"
        )
    return node


def draw_by(layer, sequence) -> None:
    """Draw a layer's weights by a model's seed, unless it has a seed, was in a model, or got other weights before."""
    shape, arrays = _DRAWN.pop(layer, (None, []))
    untouched = shape is not None and all(map(is_, arrays, arrays_by_name(layer).values()))
    if sequence is None or layer._given_seed is not None or not untouched:
        return
    dtype = layer.dtype
    for one in all_layers(layer):
        one._forget()
    adopt_seed(layer, sequence)
    build_with(layer, shape, dtype)


def _tensors(layer, name, nested):
    """Return nested symbolic tensors, those of arrays too while a user's class of layers is read."""
    trace = tracing.get()

    def tensor(leaf):
        if leaf is None:
            return None
        leaf = resolved(leaf)
        if trace is not None and isinstance(leaf, np.ndarray):
            leaf = trace.constant(leaf)
        if not isinstance(leaf, SymbolicTensor):
            raise TypeError(
                f"expected {name} of {layer.name!r} to hold symbolic tensors only, got {type(leaf).__name__}; make "
                "it an rk.Input"
            )
        if leaf.mixing is not None and not getattr(layer, "_reads_batch", False):
            raise leaf.mixing
        return leaf

    return mapped(nested, tensor)


def _repeated_rows(nested, like, layer):
    """Return nested tensors; one without a batch axis, but a first axis of 1, gets the rows of another."""

    def with_rows(tensor):
        if tensor is None or tensor.batched:
            return tensor
        if tensor.shape[:1] != (1,):
            raise TypeError(
                f"expected arrays with a batch axis for {layer.name!r}, got one of shape {tensor.shape} without: "
                "weights and arrays of a layer's own are for operators and NumPy's functions, as in x @ weight"
            )
        return RECORD[0]("rows", (like, tensor), {})

    return mapped(nested, with_rows)


def precision(tensors) -> np.dtype:
    """Return the precision in which layers without one are built for these inputs."""
    return np.result_type(np.float32, *(tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"))


def _check(node, shape):
    """Refuse arguments whose shapes a call refuses."""
    more = dict(node.more)
    mask = more.pop("mask", None)
    if isinstance(mask, SymbolicTensor) and isinstance(node.x, SymbolicTensor):
        steps = mask.shape[:2] if mask.shape[2:] == (1,) else mask.shape
        if len(steps) != 2 or not agree(steps, shape[:2]):
            raise ValueError(f"expected mask of shape {shape[:2]}, one value per step; got {mask.shape}")
    if hasattr(node.layer, "_check_masks"):
        node.layer._check_masks(shape, {name: nested for name, nested in node.more.items() if name.endswith("mask")})
    given = {name: more[name] for name in ("initial_state", "constants") if name in more}
    if given:
        known = [tensor.shape[0] for tensor in node.read() if tensor.shape[0] is not None]
        rows = known[0] if known else 1
        node.layer._check_given(
            rows, **{name: mapped(nested, lambda t: _zeros_for(t, rows)) for name, nested in given.items()}
        )


def agree(first, second) -> bool:
    """Return whether sizes are the same, as far as they are known."""
    return len(first) == len(second) and all(
        None in pair or pair[0] == pair[1] for pair in zip(first, second, strict=True)
    )


def _zeros_for(tensor, rows) -> np.ndarray:
    """Return zeros of as many rows, and of a tensor's sizes where these are known."""
    first = rows if tensor.shape[0] is None else tensor.shape[0]
    return np.broadcast_to(np.zeros((), tensor.dtype), (first, *(n or 1 for n in tensor.shape[1:])))


def leaves(nested) -> list:
    """Return the leaves of nested lists in order, without None."""
    return [leaf for leaf in leaves_of(nested) if leaf is not None]


def mapped(nested, function):
    """Return nested lists and dicts with a function applied to each leaf."""
    if isinstance(nested, dict):
        return {name: mapped(one, function) for name, one in nested.items()}
    return [mapped(one, function) for one in nested] if isinstance(nested, (list, tuple)) else function(nested)


def mapped_given(nested, function):
    """Return the result of `mapped`, None for each None."""
    return mapped(nested, lambda one: None if one is None else function(one))


def shape_leaves(shapes) -> list:
    """Return all shapes of nested ones, flat."""
    if is_shape(shapes):
        return [tuple(shapes)]
    return [leaf for one in (shapes.values() if isinstance(shapes, dict) else shapes) for leaf in shape_leaves(one)]
