"""Evaluation of a graph in NumPy, which defines what the graph means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import repeat

import numpy as np

from rnnkit import allocation
from rnnkit.compiler.ir import kinds, memory
from rnnkit.compiler.ir.graph import INPUTS, Node
from rnnkit.compiler.ir.matrix_functions import Kernel
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, REDUCTIONS

LARGE = 1 << 16  # numbers of all values from which on their memory counts


class LongLoop(RuntimeError):
    """Error of a loop with more rounds than an evaluation may take."""


def evaluate(nodes, inputs, dtype) -> dict[int, np.ndarray]:
    """Return the values of nodes and of all under them, by id: ``(B, *shape)`` for batched nodes, ``shape`` for others.

    `inputs` are by (op, attr): batched ones ``(B, *shape)``, weights as they are; literals and results have `dtype`.
    """
    return Evaluation(nodes, dtype)(inputs)


class Evaluation:
    """Evaluation of nodes for changing inputs: all that depends on the graph alone is done once.

    `within` is the loop whose body this is; what doesn't depend on it is given, as are the nodes whose numbers are
    `known`. More than `rounds` rounds of a loop raise `LongLoop`. A `lean` evaluation gives the values of `nodes`
    alone, keeps others as long as they are read, and writes large results over operands that nothing reads any more.
    """

    def __init__(self, nodes, dtype, within=None, rounds=None, known=frozenset(), lean=False):
        self._itemsize = np.dtype(dtype).itemsize
        self._literals: dict[int, np.ndarray] = {}
        self._given: list[tuple[int, tuple]] = []
        self._steps: list[memory.Step] = []
        loops: dict[int, _Rounds] = {}
        seen: dict[int, Node] = {}
        self.outside: list = []
        stack = list(nodes)
        while stack:
            node = stack[-1]
            if node.id in known or (within is not None and within not in node.depends):
                stack.pop()
                if node.id not in seen:
                    seen[node.id] = node
                    self.outside.append(node)
                continue
            if node.op == "loop" and node.id not in loops:
                loops[node.id] = _Rounds(node, dtype, rounds)
            args = loops[node.id].args if node.op == "loop" else _read_by(node)
            if missing := [a for a in args if a.id not in seen]:
                stack.extend(missing)
                continue
            stack.pop()
            if node.id not in seen:
                seen[node.id] = node
                if node.op in (*INPUTS, "carried", "round", "taped"):
                    self._given.append((node.id, (node.op, node.attr)))
                elif node.op == "literal":
                    with np.errstate(over="ignore"):  # in float32, 1e300 is infinity
                        literal = np.asarray(node.attr, kinds.dtype_of(node.kind, dtype))[...]
                    literal.flags.writeable = False
                    self._literals[node.id] = literal
                elif node.op == "ruled":
                    kernel = node.attr[1][0] if isinstance(node.attr[1][0], Kernel) else _same
                    self._steps.append((node, kernel, [a.id for a in args]))
                elif node.op == "loop":
                    self._steps.append((node, loops[node.id], [a.id for a in args]))
                else:
                    self._steps.append((node, _function(node, dtype), [a.id for a in args]))
        self._over: list[set[int]] = [set() for _ in self._steps]  # what no later step reads
        later = {node.id for node in nodes}
        for over, (_, _, arguments) in zip(reversed(self._over if lean else []), reversed(self._steps), strict=False):
            over |= set(arguments) - later
            later |= over
        given = [*(number for number, _ in self._given), *(node.id for node in self.outside)]
        self._of_rows = next((number for number in given if seen[number].batched), None)  # a value that has the rows
        computed = [node for node, *_ in self._steps if node.batched or self._of_rows is None] if lean else []
        self._size = sum(node.size for node in computed)
        self._overwritten = cache(lambda: memory.overwritten(self._steps, nodes))

    @property
    def known(self) -> frozenset[int]:
        """The numbers of the nodes that it finds, but for literals."""
        return frozenset([number for number, _ in self._given] + [node.id for node, *_ in self._steps])

    @property
    def calls(self) -> tuple[int, int]:
        """The numbers of functions that a call runs, and of kernels among them."""
        return len(self._steps), sum(isinstance(function, Kernel) for _, function, _ in self._steps)

    def __call__(self, inputs, outside=()) -> dict[int, np.ndarray]:
        """Return the values of all nodes, by id; those of the nodes `outside` are given."""
        others = [one for one in inputs.values() if type(one) is not np.ndarray and isinstance(one, np.ndarray)]
        like, values = others[0] if others else None, dict(self._literals)
        if like is not None:
            values = {number: np.asarray(literal, like=like) for number, literal in values.items()}
        for node, array in zip(self.outside, outside, strict=True):
            values[node.id] = array
        for number, key in self._given:
            values[number] = inputs[key]
        size = self._size if self._of_rows is None else self._size * len(values[self._of_rows])
        places: Iterable[int | None] = repeat(None)
        if size > LARGE and like is None:
            places = self._overwritten()
            allocation.expect(size * self._itemsize)
        for (node, function, arguments), over, place in zip(self._steps, self._over, places, strict=False):
            given = [values[a] for a in arguments]
            if place is not None and all(one.flags.c_contiguous for one in given):
                values[node.id] = function(*given, out=values[place])
            else:
                values[node.id] = function(*given)
            del given
            for one in over:
                del values[one]
        return values


def _read_by(node) -> tuple:
    """Return what a node is computed of; for a number of conditions these, without an array of floats between."""
    if node.op == "ruled" and isinstance(node.attr[1][0], Kernel):
        return node.args[1 : 1 + node.attr[1][0].count]
    return node.args[0].args if counts(node) else node.made_of


def counts(node) -> bool:
    """Tell whether a node is how many conditions hold."""
    return node.op == "sum" and node.args[0].op == "to_float"


def _same(array):
    return array


class _Rounds:
    """Evaluation of a loop node, from its initial values and the values that its body reads from outside, `args`."""

    def __init__(self, node, dtype, most):
        self.loop, count, self.most = node.attr, node.attr.count, most
        self.initials, self.go, self.nexts = node.args[:count], node.args[count], node.args[count + 1 :]
        inside = self.nexts if self.loop.reverse else [self.go, *self.nexts]
        self.body = Evaluation(inside, dtype, ("loop", self.loop.id), most)
        forward = [self.go] if self.loop.reverse else []
        self.args, self.dtype = [*self.initials, *forward, *self.body.outside], dtype

    def __call__(self, *given):
        """Run rounds until all rows have stopped; a row that has stopped keeps its carried values."""
        batched = [a.shape[0] for a, node in zip(given, self.args, strict=True) if node.batched]
        rows = batched[0] if batched else 1

        def whole(array, node):
            array = np.broadcast_to(array if node.batched else np.asanyarray(array)[None], (rows, *node.shape))
            return array.astype(kinds.dtype_of(node.kind, self.dtype))

        carried = [whole(a, node) for a, node in zip(given, self.initials, strict=False)]
        outside, k = given[len(self.initials) :], 0
        if self.loop.reverse:
            return self._back(carried, *outside, whole=whole)
        carried = _Carried(carried)
        while True:
            inputs = {("carried", (self.loop.id, i)): array for i, array in enumerate(carried)}
            values = self.body(inputs | {("round", self.loop.id): np.full(rows, k)}, outside)
            go = whole(values[self.go.id], self.go)
            if not go.any():
                return carried
            if k == self.most:
                raise LongLoop(self.loop.line)
            carried.tape.append((go, list(carried)))
            self._go_on(carried, go, values, whole)
            k += 1

    def _back(self, carried, forward, *outside, whole):
        """Run the rounds of another loop from the last to the first."""
        for k, (go, taped) in reversed(list(enumerate(forward.tape))):
            inputs = {("carried", (self.loop.id, i)): array for i, array in enumerate(carried)}
            inputs |= {("taped", (self.loop.id, i)): array for i, array in enumerate(taped)}
            values = self.body(inputs | {("round", self.loop.id): np.full(len(go), k)}, outside)
            self._go_on(carried, go, values, whole)
        return carried

    def _go_on(self, carried, go, values, whole) -> None:
        """Update the carried values of the rows that take part in a round."""
        for i, node in enumerate(self.nexts):
            going = go.reshape(len(go), *(1,) * len(node.shape))
            carried[i] = np.where(going, whole(values[node.id], node), carried[i])


class _Carried(list):
    """The carried values at a loop's end, with a ``tape`` of all rounds: the rows that went on, and their values."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.tape: list[tuple[np.ndarray, list[np.ndarray]]] = []


class ByMember:
    """Evaluation of functions of weights for several sets of weights ``(n, *shape)``, at once where possible."""

    def __init__(self, nodes, dtype):
        self.nodes, lifted = list(nodes), _lifted(nodes)
        self._at_once = None if lifted is None else Evaluation(lifted, dtype)
        self._one = Evaluation(self.nodes, dtype)

    def __call__(self, inputs, members: int) -> list[np.ndarray]:
        """Return the values ``(n, *shape)`` of all nodes."""
        with np.errstate(all="ignore"):
            if self._at_once is None:
                each = [self._one({key: array[k, ...] for key, array in inputs.items()}) for k in range(members)]
                return [np.stack([values[node.id] for values in each]) for node in self.nodes]
            values = self._at_once(inputs)
            return [np.broadcast_to(values[node.id], (members, *node.shape)) for node in self.nodes]


def _lifted(nodes) -> list[Node] | None:
    """Return functions of weights for weights with an axis in front; None if an operation needs whole weights."""
    made: dict[int, Node] = {}

    def lifted(node):
        if node.id not in made:
            args = tuple(map(lifted, node.args))
            along = node.op == "weight" or any(a.batched for a in args)
            made[node.id] = replace(node, args=args, depends=frozenset({"member"})) if along else node
        return made[node.id]

    found = list(map(lifted, nodes))
    known = ("weight", "literal", "view", "concatenate", *REDUCTIONS)
    return found if all(node.pointwise or node.op in known for node in made.values()) else None


def new_array(value, node, others, dtype) -> np.ndarray:
    """Return a node's value in C order, in memory that neither the graph nor other arrays hold."""
    value = np.asanyarray(value)
    held = not node.batched or node.op == "result" or any(np.may_share_memory(value, one) for one in others)
    return value.astype(dtype, order="C") if held else value.astype(dtype, order="C", copy=False)


def only_moves(nodes) -> bool:
    """Tell whether nodes only move numbers of the inputs to other places, beside zeros."""
    stack, seen = list(nodes), set()
    while stack:
        node = stack.pop()
        if node.id in seen:
            continue
        seen.add(node.id)
        zeros = node.op == "literal" and node.kind == "float" and not np.any(node.attr)
        if not zeros and node.op not in (*INPUTS, "view", "concatenate"):
            return False
        stack += node.args
    return True


def _function(node, dtype) -> Callable[..., np.ndarray]:
    """Return the function that computes a node's value from those of its arguments."""
    lead, attr = int(node.batched), node.attr
    if node.pointwise:
        return _pointwise(node, dtype)
    if node.op == "view":
        return lambda a: attr.apply(a, lead)
    if node.op == "concatenate":
        axis = lead + attr
        return lambda *args: np.concatenate(_with_rows(args, node) if lead else args, axis=axis)
    if node.op == "product":
        return np.matmul
    if node.op in REDUCTIONS:
        reduction, axes = REDUCTIONS[node.op].evaluate, tuple(lead + i for i in attr)
        if counts(node):
            return lambda a: np.sum(a, axis=axes, dtype=dtype)
        if node.is_integer and node.op in ("sum", "prod"):  # of small ones, NumPy would give int64
            return lambda a: reduction(a, axis=axes, dtype=node.kind)
        return lambda a: reduction(a, axis=axes)
    if node.op == "einsum" and (lead or _is_product(node)):
        batched = [a.batched for a in node.args]
        return lambda *args: _product_einsum(attr, args, batched)
    functions: dict[str, Callable] = {
        "einsum": lambda *args: np.einsum(attr, *args, optimize=True),  # without, 60 ms for three matrices of 128
        "inverse": np.linalg.inv,
        "result": lambda carried: carried[attr],
        "take": lambda *args: _at_places(args, node),
        "put": lambda *args: _at_places(args, node),
    }
    return functions.get(node.op, lambda *args: np.asanyarray(attr(*args)).astype(dtype, copy=False))


def _pointwise(node, dtype):
    rank, wanted = len(node.shape), kinds.dtype_of(node.kind, dtype)
    of_integers = node.op in INTEGER_OPERATIONS and node.args[-1].is_integer
    operation = (INTEGER_OPERATIONS[node.op] if of_integers else node.operation).evaluate
    short = [i for i, a in enumerate(node.args) if a.batched and len(a.shape) < rank]

    def function(*args, out=None):
        if isinstance(operation, np.ufunc):
            found = operation(*args, out=out)
        else:
            found = np.asanyarray(operation(*args))
        return found if found.dtype == wanted else found.astype(wanted, order="C")

    if node.op == "to_float":
        return lambda a: a.astype(dtype, order="C")
    if node.op == "cast":
        return lambda a: kinds.cast(a, node.kind, dtype)
    if node.op == "where":
        operation = _choice(node)
    if not short:
        return function

    def aligned(*args, out=None):
        given = list(args)
        for i in short:
            array = given[i]
            given[i] = array.reshape(array.shape[0], *(1,) * (rank + 1 - array.ndim), *array.shape[1:])
        return function(*given, out=out)

    return aligned


def _choice(node) -> Callable[..., np.ndarray]:
    """Return ``np.where``, of many floats by their bits: a jump for each takes as long as twenty operations."""
    other = node.args[2]
    is_zero = other.op == "literal" and other.kind == "float" and not other.attr.view(np.int64).any()

    def chosen(condition, a, b):
        is_whole = condition.shape == np.broadcast_shapes(condition.shape, a.shape, b.shape)
        if condition.size < _MANY or not is_whole or a.dtype != b.dtype or a.dtype.kind != "f":
            return np.where(condition, a, b)
        bits = np.dtype(f"i{a.dtype.itemsize}")
        ones = np.negative(condition.view(np.int8)).astype(bits)
        if is_zero:
            found = np.bitwise_and(a.view(bits), ones, out=ones)
        else:
            found = np.bitwise_and(np.bitwise_xor(a.view(bits), b.view(bits)), ones, out=ones)
            np.bitwise_xor(found, b.view(bits), out=found)
        return found.view(a.dtype)

    return chosen


_MANY = 1 << 9  # floats


def _at_places(args, node):
    """Evaluate ``take`` or ``put``."""
    given = [a if one.batched else np.asarray(a)[None] for a, one in zip(args, node.args, strict=True)]
    rows = max(len(a) for a in given) if all(len(a) for a in given) else 0
    array, index, *value = (np.broadcast_to(a, (rows, *a.shape[1:])) for a in given)
    places = np.arange(rows, like=index), index.astype(np.int64)
    if node.op == "put":
        array = array.copy()
        array[places] = value[0]
        return array if node.batched else array[0]
    return array[places] if node.batched else array[places][0]


def _with_rows(args, node) -> list:
    """Return the arrays of a concatenation, those without a batch axis repeated along it."""
    rows = next(a.shape[0] for a, one in zip(args, node.args, strict=True) if one.batched)
    return [a if one.batched else np.broadcast_to(a, (rows, *a.shape)) for a, one in zip(args, node.args, strict=True)]


def _is_product(node) -> bool:
    """Tell whether a contraction is of two arrays, each of whose axes is in the result or in both."""
    inputs, output = node.attr.split("->")
    sizes = [dict(zip(own, a.shape, strict=True)) for own, a in zip(inputs.split(","), node.args, strict=True)]
    if len(sizes) != 2 or any(len(own) != len(a.shape) for own, a in zip(sizes, node.args, strict=True)):
        return False
    first, second = sizes
    alike = all(second[letter] == size for letter, size in first.items() if letter in second)
    return alike and first.keys() ^ second.keys() <= set(output)


def _product_einsum(subscripts, arrays, batched):
    """Contract two arrays, of which one or both may have a batch axis first, by a product of matrices."""
    inputs, output = subscripts.split("->")
    output = f"0{output}" if any(batched) else output
    pairs = zip(inputs.split(","), batched, strict=True)
    first, second = ("0" * lead + letters for letters, lead in pairs)
    common = [c for c in first if c in second]
    shared, inner = [c for c in common if c in output], [c for c in common if c not in output]
    rows, columns = [c for c in first if c not in common], [c for c in second if c not in common]
    sizes = dict(zip(first + second, (*arrays[0].shape, *arrays[1].shape), strict=True))

    def matrices(array, letters, left, right):
        turned = [letters.index(c) for c in (*shared, *left, *right)]
        lengths = [math.prod(sizes[c] for c in group) for group in (left, right)]
        shape = (*(sizes[c] for c in shared), *lengths)
        return array.transpose(turned).reshape(shape)

    product = matrices(arrays[0], first, rows, inner) @ matrices(arrays[1], second, inner, columns)
    order = [*shared, *rows, *columns]
    shape, turned = [sizes[c] for c in order], [order.index(c) for c in output]
    return product.reshape(shape).transpose(turned)
