"""Symbols: the arrays that a step sees while it is traced."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.graph import Graph, Node, View
from rnnkit.compiler.tracing.batch_axis import AsksValues, BatchSize, MixesRows, ReadsValues, Untraceable, is_batch

RULES: dict[str, Callable] = {}  # of functions, methods and assignments, registered by `numpy_functions`


class OverRows(np.lib.mixins.NDArrayOperatorsMixin):
    """A reduction over the rows, or an element of one row: valid as a decision, which each row makes alone."""

    shape, ndim = (), 0

    def __init__(self, what: str):
        self.what = what

    def __array_ufunc__(self, ufunc, method, *args, **keywords):
        if any(isinstance(a, Symbol) for a in args):
            raise MixesRows(self.what)
        return self

    def __array__(self, *_, **__):
        raise MixesRows(self.what)

    def __bool__(self):
        raise ReadsValues("a Python `if` or `while` looks at an array's values; write np.where")

    __float__ = __int__ = __index__ = __bool__

    def __repr__(self):
        return f"<an array {self.shape} of a step while it is read; in `with rnnkit.eager():` it has values>"

    def __format__(self, spec):
        if spec:
            raise ReadsValues("an array has no values to print while the step is read; look at them in rk.eager()")
        return repr(self)


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of a step under trace.

    ``axis`` is the place of the batch axis, or None for an array without one. Operations add nodes to the graph;
    assignment moves the symbol to another node, as it changes an array. A view has a ``base``: it shows the
    base's current values, and an assignment into it goes to its base.
    """

    __slots__ = ("_float", "_node", "_seen", "axis", "base", "graph", "shows", "unsure")
    __array_priority__ = 1000

    def __init__(self, graph: Graph, node: Node, axis: int | None, dtype, base: Symbol | None = None, view=None):
        self.graph, self._node, self.axis, self._float = graph, node, axis, np.dtype(dtype)
        self.base, self.shows, self._seen = base, view, None if base is None else base.node
        self.unsure = False  # whether NumPy may or may not have copied for a reshape of this

    @property
    def node(self) -> Node:
        """Return the node of the array's current value."""
        if self.base is not None and self.base.node is not self._seen:
            self._seen = self.base.node
            self._node = self.graph.view(self._seen, self.shows)
        return self._node

    __repr__, __format__ = OverRows.__repr__, OverRows.__format__

    # Attributes of NumPy arrays

    @property
    def shape(self) -> tuple:
        shape = self.node.shape
        return shape if self.axis is None else (*shape[: self.axis], BatchSize(self.graph), *shape[self.axis :])

    @property
    def dtype(self) -> np.dtype:
        return kinds.dtype_of(self.node.kind, self._float)

    @property
    def of_layer(self) -> np.dtype:
        """Return the dtype of "float" in this graph."""
        return self._float

    @property
    def is_float(self) -> bool:
        return self.node.kind in kinds.FLOATS

    @property
    def ndim(self) -> int:
        return len(self.node.shape) + (self.axis is not None)

    @property
    def size(self):
        return self.node.size if self.axis is None else BatchSize(self.graph)

    @property
    def fixed(self) -> bool:
        """Tell whether the value depends on constants alone: on no input, state or weight."""
        stack = [self.node]
        while stack:
            node = stack.pop()
            if node.batched or node.op == "weight":
                return False
            stack.extend(node.args)
        return True

    @property
    def T(self):
        return self.transpose()

    def __len__(self):
        if self.ndim and self.axis != 0:
            return self.node.shape[0]
        return int(BatchSize(self.graph))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        raise ReadsValues("a Python `if` or `while` looks at an array's values; write np.where")

    def __float__(self):
        raise ReadsValues("float() of an array; keep it an array")

    __int__ = __index__ = __float__

    def __complex__(self):
        raise Untraceable("complex() of an array; write a + 1j * b")

    def __array__(self, *_, **__):
        kind, frame = Untraceable, sys._getframe(1)
        while (name := frame.f_globals.get("__name__", "").partition(".")[0]) in ("scipy", "numpy"):
            kind, frame = AsksValues if name == "scipy" else kind, frame.f_back  # type: ignore[assignment]
        raise kind(
            "a function that can't be traced asks for the array's values, as np.array, math's and most of scipy's do; "
            "write np.stack, rk.softmax or the formula; with per_row=True, more of them are read"
        )

    def __array_ufunc__(self, ufunc, method, *args, **keywords):
        return RULES["complex_ufunc" if RULES["has_complex"](args) else "ufunc"](ufunc, method, args, keywords)

    def __array_function__(self, function, types, args, keywords):
        given = RULES["has_complex"](args) or _is_complex(keywords.get("dtype"))
        rule = "complex_function" if given or function.__module__ == "numpy.fft" else "function"
        return RULES[rule](function, args, keywords)

    def __rnnkit_function__(self, name, args):
        return RULES["pointwise"](name, *args)

    def __rnnkit_custom_gradient__(self, function, args, keywords):
        return RULES["custom_gradient"](function, args, keywords)

    def __rnnkit_vjp__(self, cell, *given):
        """Return the results of a step, with the vjp of its cell as their gradient if that is read."""
        return RULES["vjp"](self, cell, *given) if self.graph.by_vjp else given[-1]

    def __getattr__(self, name):
        if (method := RULES["method"](self, name)) is not None:
            return method
        if name.startswith("__"):
            raise AttributeError(name)  # a protocol that isn't ours: Python and NumPy ask for many
        raise Untraceable(f"the array's attribute {name!r} can't be traced")

    # New arrays

    def made(self, node, axis=None) -> Symbol:
        return Symbol(self.graph, node, axis, self._float)

    def shown(self, view: View, axis) -> Symbol:
        return Symbol(self.graph, self.graph.view(self.node, view), axis, self._float, self, view)

    # As a part of complex numbers

    @property
    def real(self) -> Symbol:
        return self

    @property
    def imag(self) -> Symbol:
        return np.zeros_like(self)  # type: ignore[return-value]  # a symbol

    def with_imag(self, imag) -> Any:
        """Return the complex array with this as its real part."""
        return RULES["complex"](self, self, imag)

    def astype(self, dtype, *_, **__):
        if _is_complex(dtype):
            return self.copy().with_imag(self.imag)
        return self.made(self.graph.cast(self.node, kind_of(dtype, self._float)), self.axis)

    def copy(self, *_, **__):
        return self.made(self.node, self.axis)

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    # Axes

    def feature_axis(self, axis, what) -> int:
        """Return an axis of the array as an axis of its node; the batch axis is refused."""
        if not isinstance(axis, numbers.Integral):
            raise Untraceable(f"expected an integer axis in {what}, got {axis!r}")
        axis = int(axis) + self.ndim if axis < 0 else int(axis)
        if not 0 <= axis < self.ndim:
            raise np.exceptions.AxisError(axis, self.ndim)
        if axis == self.axis:
            raise MixesRows(f"{what} goes along the batch axis: rows have nothing to do with each other")
        return axis - (self.axis is not None and axis > self.axis)

    def transpose(self, *axes):
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], numbers.Integral) else axes
        axes = tuple(range(self.ndim))[::-1] if not axes else tuple(a % self.ndim for a in axes)
        if sorted(axes) != list(range(self.ndim)):
            raise ValueError(f"axes {axes} don't match an array of {self.ndim} axes")
        inner = [a - (self.axis is not None and a > self.axis) for a in axes if a != self.axis]
        axis = None if self.axis is None else axes.index(self.axis)
        return self.shown(View.transpose(tuple(inner)), axis)

    def reshape(self, *shape, order="C"):
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if order != "C":
            raise Untraceable(f"reshape in order {order!r}; only C order")
        lengths = list(wanted)
        if self.axis is None:
            return self._reshaped(_filled(lengths, self.node.size), None)
        at = [i for i, n in enumerate(lengths) if is_batch(n, self.graph)]
        if not at:
            if len(lengths) == 1 and self.node.size == 1:
                return self._reshaped((), 0)
            if not lengths or lengths[0] != -1 or self.axis != 0 or int(np.prod(lengths[1:])) != self.node.size:
                raise Untraceable("a reshape that moves the batch axis; keep it first, as in h.reshape(-1, 3, 4)")
            at = [0]
        place = at[0]
        # The batch axis keeps its place if as many elements stand before it as did.
        head = int(np.prod(self.node.shape[: self.axis]))
        try:
            before = _filled(lengths[:place], head)
            after = _filled(lengths[place + 1 :], self.node.size // max(head, 1))
        except ValueError:
            raise Untraceable("a reshape that mixes the batch axis with others; keep the batch axis first") from None
        return self._reshaped((*before, *after), len(before))

    def _reshaped(self, shape, axis) -> Symbol:
        # NumPy reshapes a part or a transpose by copying where it must, so that nobody may write there afterwards.
        if self.base is not None and self.shows.key[0] != "reshape":
            array: Symbol | None = self
            while array is not None:
                array.unsure, array = True, array.base
        return self.shown(View.reshape(tuple(shape)), axis)

    # Indexing

    def __getitem__(self, key):
        if is_condition(key):
            return Chosen(self, key)
        keys = key if isinstance(key, tuple) else (key,)
        computed = [i for i, k in enumerate(keys) if isinstance(k, Symbol)]
        whole = all(isinstance(k, Symbol) or (isinstance(k, slice) and k == slice(None)) for k in keys)
        if self.axis is None and len(computed) == 1 and whole:
            return RULES["look_up"](self, computed[0], keys[computed[0]])
        key = self._key(key)
        if self.axis is not None and isinstance([k for k in key if k is not None][self.axis], numbers.Integral):
            return OverRows("an index picks a row of the batch: a step treats every row alike")
        view, axis = self._part(key)
        shown = self.shown(view, axis)
        # An index array copies, and a number is no view.
        copies = any(isinstance(k, np.ndarray) for k in key) or not shown.ndim
        return shown.copy() if copies else shown

    def _key(self, key) -> list:
        """Return one entry for each axis, None for a new one: plain Python integers, slices and index arrays."""
        key = list(key) if isinstance(key, tuple) else [key]
        for k in key:
            if isinstance(k, Symbol):
                raise Untraceable("an index that is computed; write np.where or a product with a one-hot array")
        used = sum(k is not None and k is not Ellipsis for k in key)
        if used > self.ndim:
            raise IndexError(f"too many indices: the array has {self.ndim} axes, but {used} were indexed")
        at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
        key[at : at + 1] = [slice(None)] * (self.ndim - used)
        return [np.asarray(k) if isinstance(k, list) else k for k in key]

    def _part(self, key) -> tuple[View, int | None]:
        """Return the view of a normalized key, and the place of the batch axis in it."""
        inner: list[np.ndarray | slice | int | None] = []
        axis, position, arrays, kept = None, 0, 0, 0
        for k in key:
            if k is None:
                inner.append(None)
                kept += 1
                continue
            if position == self.axis:
                if not (isinstance(k, slice) and k in (slice(None), slice(0, None), slice(None, None, 1))):
                    raise MixesRows("an index picks rows of the batch: a step treats every row alike")
                axis = kept
                kept += 1
            elif isinstance(k, (np.ndarray, numbers.Integral, slice)):
                if isinstance(k, np.ndarray):
                    arrays += 1
                    kept += 1 if k.dtype == bool else k.ndim
                elif isinstance(k, slice):
                    kept += 1
                inner.append(k if isinstance(k, (slice, np.ndarray)) else int(k))
            else:
                hint = "; write int(…)" if isinstance(k, (float, np.floating)) else ""
                raise Untraceable(f"the index {k!r} can't be traced{hint}")
            position += 1
        if arrays > 1 or (arrays and any(isinstance(k, int) for k in inner)):
            raise Untraceable("several index arrays at once; take along one axis at a time")
        name = tuple(k.tobytes() if isinstance(k, np.ndarray) else repr(k) for k in inner)
        return View.item(tuple(inner), name), axis

    def __setitem__(self, key, value):
        if is_condition(key):
            return self._choose(key, value)
        view, axis = self._part(self._key(key))
        if isinstance(value, Symbol) and value.base is self and value.shows.key == view.key:
            return None  # ``h[:, 0] += v`` has changed the part already, and puts it back
        inner = view.index(self.node.shape).shape
        shape = inner if axis is None else (*inner[:axis], BatchSize(self.graph), *inner[axis:])
        new = RULES["lift"](self, value)
        if self.axis is None and new.axis is not None:
            raise Untraceable("a batch assigned into an array without a batch axis; write np.concatenate or np.where")
        return self._write(view, RULES["broadcast_to"](new, shape).node)

    def _choose(self, condition, value):
        """Do ``h[condition] = value`` by np.where, for values that don't depend on the number of chosen elements."""
        if isinstance(value, Chosen) and value.condition.node is condition.node:
            value = value.array
        elif np.ndim(value) > self.ndim - condition.ndim or getattr(value, "axis", None) is not None:
            raise Untraceable("an assignment under a condition of elements whose number it says; write np.where")
        new = np.where(condition[(..., *(None,) * (self.ndim - condition.ndim))], value, self)
        self._write(View.reshape(self.node.shape), new.node)  # type: ignore[attr-defined]  # NumPy gives a symbol

    def _write(self, view: View, new: Node):
        """Write the elements of a node to those that a view of this array shows."""
        if self.unsure:
            raise Untraceable(
                "an assignment into an array that may be a copy, or one of two by a condition; write h[k, j] = v for a "
                "part at a computed place, copy an array first, or write np.where"
            )
        self._move(self.graph.replaced(self.node, view, new))

    def _move(self, node: Node):
        """Let the array hold this node from here on."""
        if self.base is None:
            if self.graph.moved is not None:
                self.graph.moved.setdefault(id(self), (self, self._node))
            self._node = node
        else:
            self.base._write(self.shows, node)

    def update(self, ufunc, other):
        """Do ``h += other`` and its like."""
        result = ufunc(self, other)
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise TypeError(
                f"{ufunc.__name__} in place gives {result.dtype}, which is no {self.dtype}; write the result to a name"
            )
        if result.ndim != self.ndim or result.node.shape != self.node.shape or result.axis != self.axis:
            raise Untraceable("an assignment that would change an array's shape")
        self._write(View.reshape(self.node.shape), result.node)
        return self


def kind_of(dtype, of_layer) -> str:
    """Return the kind of a dtype in a step of a layer whose dtype is `of_layer`."""
    dtype = np.dtype(dtype)
    if dtype in (of_layer, np.float64):
        return "float"  # a float32 layer computes all floats in float32
    if dtype.name not in kinds.KINDS:
        known = ", ".join(("bool", *kinds.INTEGERS, "float32", "float64"))
        raise Untraceable(f"an array of {dtype} in a step; expected one of {known}")
    return dtype.name


def _is_complex(dtype) -> bool:
    return dtype is not None and np.dtype(dtype).kind == "c"


def is_condition(key) -> bool:
    """Tell whether a value is a symbol of conditions."""
    return isinstance(key, Symbol) and key.node.kind == "bool"


class Chosen(np.lib.mixins.NDArrayOperatorsMixin):
    """``h[condition]``, of unknown length: to compute with, and to be assigned under the same condition."""

    def __init__(self, array: Symbol, condition: Symbol):
        self.array, self.condition = array.copy(), condition.copy()

    def __array_ufunc__(self, ufunc, method, *args, out=None, **keywords):
        rank = self.array.ndim - self.condition.ndim
        for a in args:
            same = isinstance(a, Chosen) and a.condition.node is self.condition.node
            if method != "__call__" or not (same or (not isinstance(a, Chosen) and np.ndim(a) <= rank)):
                raise Untraceable("elements under a condition meet others; write np.where")
        result = ufunc(*(a.array if isinstance(a, Chosen) else a for a in args), **keywords)
        return Chosen(result, self.condition)

    def __getattr__(self, name):
        raise Untraceable(f"{name!r} of elements under a condition, whose number is not known; write np.where")


def _filled(shape, size) -> tuple[int, ...]:
    """Return a shape with its -1 computed."""
    shape = [int(n) for n in shape]
    if shape.count(-1) == 1:
        rest = -int(np.prod(shape))
        shape[shape.index(-1)] = size // rest if rest else 0
    if int(np.prod(shape)) != size:
        raise ValueError(f"can't reshape {size} elements into {tuple(shape)}")
    return tuple(shape)


_IN_PLACE = {
    "iadd": np.add, "isub": np.subtract, "imul": np.multiply, "itruediv": np.divide, "ipow": np.power,
    "ifloordiv": np.floor_divide, "imod": np.remainder, "iand": np.bitwise_and, "ior": np.bitwise_or,
    "ixor": np.bitwise_xor, "ilshift": np.left_shift, "irshift": np.right_shift, "imatmul": np.matmul,
}  # fmt: skip
for _method, _ufunc in _IN_PLACE.items():
    setattr(Symbol, f"__{_method}__", lambda self, other, ufunc=_ufunc: self.update(ufunc, other))
