"""Functions of whole arrays: traced as a step is, evaluated and differentiated in NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.backends.shared.once import once
from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.compiler.autodiff.reverse import Reverse
from rnnkit.compiler.ir.evaluate import Evaluation, new_array
from rnnkit.compiler.ir.graph import FAILED, INPUTS, Graph, Node
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.ir.printer import print_graph
from rnnkit.compiler.tracing.batch_axis import MixesRows, Untraceable
from rnnkit.compiler.tracing.broadcasting import lift
from rnnkit.compiler.tracing.numpy_functions import FUNCTIONS
from rnnkit.compiler.tracing.symbol import OverRows, Symbol
from rnnkit.compiler.tracing.trace import trace
from rnnkit.execution import dump


class TracedFunction:
    """A NumPy-style function at arrays of some shapes, without memory and without rows that see each other.

    Parameters
    ----------
    function : callable
        From a list of arrays to one array, or nested lists and tuples of them. Arrays with a batch axis have it first.
    shapes : sequence of tuple of int
        Of the arrays, without the batch axis.
    batched : sequence of bool
        Which of the arrays have a batch axis; without any, the results have none.
    kinds : sequence of {"float", "int", "bool"}
        Of the arrays, as the function sees them.
    dtype : dtype
        Of the arithmetic.
    name : str
        Of the layer, for errors.
    lines : tuple of callable
        Functions whose lines errors are about.
    checked : bool
        Whether the graph is compared with the function on numbers.
    weights : dict of str to ndarray
        The last arrays, if they are known, by their names in the graph.
    others : int
        How many of the arrays with a batch axis, the last ones, have no cotangents and are the function's own.

    Attributes
    ----------
    nesting
        The nesting of the function's result, with the places in `shapes` and `kinds` as leaves.
    shapes : list of tuple
        Of the results, without the batch axis.
    kinds : list of {"float", "int", "bool"}
    step
        The function as a step of `rnnkit.execution.passes`: x is the first array, and the others are constants.
    multiplies : bool
        Whether it has products of matrices.

    Raises
    ------
    ValueError
        If the function can't be read, with its line.
    """

    nesting: Any

    def __init__(
        self,
        function,
        shapes,
        batched,
        kinds,
        dtype,
        name: str,
        lines: tuple = (),
        checked=True,
        weights=None,
        others=0,
    ):
        self.dtype, weights = np.dtype(dtype), weights or {}
        self._places = [i for i, one in enumerate(batched) if one]
        self._shared = [i for i, one in enumerate(batched) if not one]
        self._sought = self._places[: len(self._places) - others]
        self._given = [tuple(shape) for shape in shapes]
        self._names = [*map(str, range(len(shapes) - len(weights))), *weights]
        self._keys: list[tuple] = [("weight", name) for name in self._names]
        for k, i in enumerate(self._places):
            self._keys[i] = ("constant", k - 1) if k else ("x", None)
        self.step: Any = _Step(self, function, kinds, name, lines, weights)
        self._pull: Callable | None = None
        self._curve: Pull | None = None
        random = np.random.default_rng(0)
        weights = {self._names[i]: random.standard_normal(self._given[i]) for i in self._shared}
        try:
            if self._places:
                inner = tuple(self._given[i] for i in self._places[1:])
                self._graph = trace(self.step, self.dtype, weights, inner, whole=True, checked=checked)
            else:
                self._graph = _trace_shared(self.step, weights, self.dtype)
        except Untraceable as error:
            place = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
            told = f"expected a function of {name!r} that can be traced and differentiated{place}: {error}"
            raise ValueError(told).with_traceback(error.__traceback__) from None
        self._nodes: list[Node] = [self._graph.output, *self._graph.states]
        self._codes = self._graph.residuals.get(FAILED)
        self._values = self._evaluation()
        shown = ", ".join(map(str, self._given))
        self._title = f"{name}, {self.dtype.name}, of {shown}"
        dump.dump("graph", self._title, self.explain(graph=True))
        self.nesting, self.kinds = self.step.nesting, self.step.kinds
        self.shapes = [node.shape for node in self._nodes]
        self.multiplies = any(node.op in ("product", "einsum") for node in self._graph.live())

    def explain(self, graph: bool = False) -> str:
        """Return how the function is computed in words, or its graph node by node."""
        if graph:
            return print_graph(self._graph, f"graph of {self._title}")
        every, kernels = self._values.calls
        counts = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((every - kernels, "function"), (kernels, "kernel")) if n]
        return f"traced: a function of whole arrays, which NumPy computes by {' and '.join(counts) or 'no function'}"

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the function's results for arrays of these shapes, flat; new arrays."""
        return self._results(arrays, self._values(self._inputs(arrays)))

    def with_pull(self, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Callable[[Sequence], list]]:
        """Return the same, and the function from their cotangents to those of the arrays, which computes no result."""
        evaluation, nodes, pull = self._with_pull
        values = evaluation(self._inputs(arrays))
        read = [values[node.id] for node in nodes]
        return self._results((*arrays, *read), values), lambda cotangents: pull(arrays, cotangents, read)

    @once
    def _with_pull(self) -> tuple[Evaluation, list[Node], Callable]:
        """What computes the results and the nodes that the pull reads, these nodes, and the pull."""
        known = self._values.known
        nodes, pull = self._pull_of_batch(known) if self._places else self._pull_of_shared(None, known)
        return self._evaluation(nodes), nodes, pull

    def _evaluation(self, more=()) -> Evaluation:
        codes = [] if self._codes is None else [self._codes]
        return Evaluation([*self._nodes, *codes, *more], self.dtype, lean=True)

    @once
    def pull_reads_arrays(self) -> bool:
        """Return whether the functions of `with_pull` read arrays that have cotangents, in their own memory."""
        stack = list(self._with_pull[1])
        for node in stack:
            if node.op in ("view", "ruled", "cast"):
                stack.append(node.args[0])
        sought = {self._keys[i] for i in self._sought}
        return any(node.op in INPUTS and (node.op, node.attr) in sought for node in stack)

    def _results(self, held, values) -> list[np.ndarray]:
        if self._codes is not None:
            self._check(values[self._codes.id])
        found: list[np.ndarray] = []
        for node, kind in zip(self._nodes, self.kinds, strict=True):
            value, dtype = self._whole(values[node.id], node, held), _DTYPES.get(kind, self.dtype)
            found.append(new_array(value, node, (*held, *found), dtype))
        return found

    def _check(self, codes) -> None:
        if codes.any():
            row = int(np.flatnonzero(codes)[0])
            place = f"row {row} of " if self._places and self._codes is not None and self._codes.batched else ""
            raise IndexError(f"{place}{self.step.name!r} fails: {self._graph.messages[int(codes.flat[row]) - 1]}")

    def reads(self, marks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the bits of all numbers of the arrays, as `marks` has them, that each number of the results reads."""
        named = dict(zip(self._keys, marks, strict=True))
        values: dict[int, np.ndarray] = {}
        for node in self._graph.live():
            args = [values[one.id] for one in node.made_of]
            found: Any = 0
            if node.op in INPUTS:
                found = named[node.op, node.attr]
            elif node.op == "view":
                found = node.attr.apply(args[0], 0)
            elif node.op == "concatenate":
                found = np.concatenate(args, axis=node.attr)
            elif node.op in REDUCTIONS:
                found = np.bitwise_or.reduce(args[0], axis=node.attr)
            elif node.op == "product":
                found = np.bitwise_or.reduce(args[0], axis=-1)[..., None]
            elif args:
                args = args if node.pointwise else [np.bitwise_or.reduce(one, axis=None) for one in args]
                found = functools.reduce(np.bitwise_or, args)
            values[node.id] = np.broadcast_to(found, node.shape)
        return [values[node.id] for node in self._nodes]

    def pull(self, arrays: Sequence[np.ndarray], cotangents: Sequence[np.ndarray], sought=None) -> list[np.ndarray]:
        """Return the arrays' cotangents for those of the results, summed over rows where there is no batch axis.

        Without a batch axis, those of the arrays at some places alone, `sought` of the first pull, are computed.
        """
        if self._pull is None:
            _, self._pull = self._pull_of_batch() if self._places else self._pull_of_shared(sought)
        return self._pull([self._cast(one) for one in arrays], cotangents)

    def along(self, arrays: Sequence[np.ndarray], tangents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the results' tangents, for those of the arrays."""
        x, constants = self._with_tangents(arrays, tangents)
        values = self._tangents({("x", None): x} | {("constant", k): one for k, one in enumerate(constants)})
        output, *states = (np.broadcast_to(values[n.id], (len(x), *n.shape)) for n in self._dual_results())
        return [output[:, 1], *states[len(states) // 2 :]]

    def curved(self, arrays, tangents, d, d_tangents) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return cotangents of the arrays and of their tangents, for those of the results and of their tangents."""
        if self._curve is None:
            inner = [self._given[i] for i in self._places[1:]]
            self._curve = Pull(self._dual, self.dtype, (*inner, *inner), (2, *self._given[self._places[0]]))
        x, constants = self._with_tangents(arrays, tangents)
        both = np.stack([d[0], d_tangents[0]], axis=1)
        d_x, _, _, d_constants = self._curve(x, (), {}, constants, {}, both, (*d[1:], *d_tangents[1:]))
        count = len(d_constants) // 2
        return [d_x[:, 0], *d_constants[:count]], [d_x[:, 1], *d_constants[count:]]

    def _with_tangents(self, arrays, tangents):
        """The input and the constants of the dual."""
        if self._shared:
            raise ValueError(
                f"expected arrays with a batch axis in {self.step.name!r}, for derivatives along a direction"
            )
        (x, *inner), (d_x, *d_inner) = (
            [a.astype(self.dtype, order="C", copy=False) for a in some] for some in (arrays, tangents)
        )
        return np.stack([x, d_x], axis=1), (*inner, *d_inner)

    def _dual_results(self) -> list[Node]:
        return [self._dual.output, *self._dual.states]

    @once
    def _tangents(self) -> Evaluation:
        return Evaluation(self._dual_results(), self.dtype)

    @once
    def _dual(self) -> Graph:
        from rnnkit.compiler.autodiff.forward import dual  # imported here: few functions need it

        return dual(self._graph, self.dtype, constants=len(self._places) - 1)

    def _inputs(self, arrays) -> dict[tuple, np.ndarray]:
        return {key: self._cast(array) for key, array in zip(self._keys, arrays, strict=True)}

    def _cast(self, array) -> np.ndarray:
        return array if array.dtype == bool else array.astype(self.dtype, order="C", copy=False)

    def _whole(self, value, node, arrays) -> np.ndarray:
        rows = (len(arrays[self._places[0]]),) if self._places else ()
        shape = (*rows, *node.shape)
        return value if value.shape == shape else np.broadcast_to(value, shape)

    def _pull_of_batch(self, known=frozenset()):
        inner = tuple(self._given[i] for i in self._sought[1:])
        back = Pull(self._graph, self.dtype, inner, self._given[self._places[0]], known)
        order = np.argsort([*self._sought, *self._shared]).tolist()

        def pull(arrays, cotangents, read=()):
            x, *constants = (arrays[i] for i in self._places)
            weights = {self._names[i]: arrays[i] for i in self._shared}
            d_x, _, d_weights, d_constants = back(x, (), weights, constants, {}, cotangents[0], cotangents[1:], read)
            of_weights = [_or_zeros(d_weights.get(name), array) for name, array in weights.items()]
            found = d_x, *d_constants, *of_weights
            return [found[k] for k in order]

        return back.reads, pull

    def _pull_of_shared(self, sought, known=frozenset()):
        reverse = Reverse(self._graph.copy(), self.dtype)
        for i, node in enumerate(self._nodes):
            reverse.add(node, reverse.graph.add("weight", (), node.shape, ("cotangent", i)))
        under = self._graph.under(self._nodes)
        reverse.run([node for node in self._graph.nodes if node.id in under])
        totals = {node.attr: reverse.total(node) for node in self._graph.nodes if node.op == "weight"}
        sought = range(len(self._names)) if sought is None else sought
        ends = [totals.get(self._names[i]) for i in sought]
        values_of = Evaluation([end for end in ends if end is not None], self.dtype, known=known, lean=True)

        def pull(arrays, cotangents, read=()):
            inputs = self._inputs(arrays) | {("weight", ("cotangent", i)): d for i, d in enumerate(cotangents)}
            values = values_of(inputs, read)
            pairs = zip(ends, [arrays[i] for i in sought], strict=True)
            return [_or_zeros(None if end is None else values[end.id], array) for end, array in pairs]

        return values_of.outside, pull


def with_weights(function, weights, shapes, kinds, dtype, name: str) -> TracedFunction:
    """Return a function of arrays and of a dict of weights, which the step of the result holds."""
    count = len(shapes)
    batched = [True] * count + [False] * len(weights)
    whole, more = [*shapes, *(weight.shape for weight in weights.values())], ["float"] * len(weights)

    def called(given):
        return function(*given[:count], dict(zip(weights, given[count:], strict=True)))

    return TracedFunction(called, whole, batched, [*kinds, *more], dtype, name, (), False, weights)


def _or_zeros(found, array) -> np.ndarray:
    """Return an array's cotangent as a new one; zeros where it is None."""
    return np.zeros_like(array) if found is None else np.broadcast_to(found, array.shape).copy()


class _Step:
    """The function as the tracer takes a step: x is the first array with a batch axis, constants are the others."""

    state_shapes: tuple = ()
    per_row = False
    draws: dict = {}  # noqa: RUF012  nothing is drawn

    def __init__(self, traced, function, kinds, name, lines, weights):
        self.function, self.given_kinds, self.name, self.lines = function, list(kinds), name, lines
        self.places, self.count = traced._places, len(traced._given)
        self.feature_shape = traced._given[self.places[0]] if self.places else ()
        self.cell = self
        self.nesting: Any = None
        self.kinds: list[str] = []
        self.names, self.weights = traced._names, weights

    def __call__(self, x, states, weights, constants, draws, training):
        """Return the function's first array as a step's output, and the others as its states."""
        given = dict(zip(self.places, (x, *constants), strict=True))
        first, *others = self.called([given[i] if i in given else weights[self.names[i]] for i in range(self.count)])
        return first, tuple(others)

    @tracebacks.door
    def called(self, arrays) -> list:
        pairs = zip(arrays, self.given_kinds, strict=True)
        found: list = []
        self.nesting = _numbered(self.function([_seen(array, kind) for array, kind in pairs]), found)
        if not found:
            raise ValueError(f"expected the function of {self.name!r} to give an array, got an empty list")
        if over := [one for one in found if isinstance(one, OverRows)]:
            raise MixesRows(over[0].what)
        self.kinds = [_kind(one) for one in found]
        return found

    def _complex_weights(self):
        return {}

    def exemplary(self, x, states, weights, constants, draws):
        """Return numbers for a check, with integers that are valid indices of any array."""
        given = [
            np.zeros_like(array) if self.given_kinds[i] == "int" else array
            for i, array in zip(self.places, (x, *constants), strict=True)
        ]
        return given[0], states, self.exemplary_weights(weights), tuple(given[1:]), draws

    def exemplary_weights(self, weights):
        """As `exemplary`, for arrays without a batch axis."""
        return {
            n: np.zeros_like(a) if self.given_kinds[self.names.index(n)] == "int" else a for n, a in weights.items()
        }

    def initial_states(self, batch_size, dtype):
        """Return (): the function keeps no states."""
        return ()

    def _all_weights(self):
        return self.weights

    def _sparse_weights(self):
        return frozenset()

    def _functions(self):
        return self.lines

    def _parts(self):
        return {}


def _numbered(result, found: list):
    """Return the nesting with each array's place in `found`, to which all arrays are added."""
    if isinstance(result, (list, tuple)):
        return type(result)([_numbered(one, found) for one in result])
    found.append(result)
    return len(found) - 1


_DTYPES = {"bool": np.dtype(bool), "int": np.dtype("int64")}


def kind_of(dtype) -> str:
    """Return the kind of arrays of a dtype: "float" numbers, "int" places or "bool" conditions."""
    return {"b": "bool", "i": "int", "u": "int"}.get(np.dtype(dtype).kind, "float")


def dtype_of(kinds, dtype) -> np.dtype:
    """Return the dtype of arrays of these kinds; floats have a given one."""
    (kind,) = kinds if len(kinds) == 1 else ("float",)
    return _DTYPES.get(kind, np.dtype(dtype))


def _seen(array, kind):
    if kind == "bool":
        return array != 0
    return array.astype(np.intp) if kind == "int" else array


def _kind(array) -> str:
    return kind_of(array.dtype if isinstance(array, Symbol) else np.asarray(array).dtype)


def _trace_shared(step: _Step, weights: dict[str, np.ndarray], dtype) -> Graph:
    """Return the graph of a function of arrays without a batch axis."""
    graph = Graph(whole=True)
    graph.values = {("weight", name): array for name, array in weights.items()}
    given = [Symbol(graph, graph.add("weight", (), array.shape, name), None, dtype) for name, array in weights.items()]
    graph.output, *states = [graph.as_float(lift(given[0], one).node) for one in step.called(given)]
    graph.states = tuple(states)
    graph.keep_codes()
    with np.errstate(all="ignore"):  # runs the function for the kinds of its results
        step.called(list(step.exemplary_weights(weights).values()))
    graph.values = {}
    return graph


def is_traceable(function: str, linear_algebra: bool = False) -> bool:
    """Return whether the tracer has a rule for NumPy's function of a name; for ufuncs ask by `numpy.ufunc`."""
    return (f"linalg.{function}" if linear_algebra else function) in FUNCTIONS
