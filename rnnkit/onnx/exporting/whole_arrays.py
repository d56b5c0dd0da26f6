"""Functions of whole arrays: a layer's traced graph, for open lengths.

A graph is traced at fixed sizes. With open lengths, it is traced at several sizes, and each number that varies with
them is written as a linear combination of the lengths plus a constant, or as its reciprocal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.kinds import dtype_of
from rnnkit.execution.array_functions import TracedFunction, with_weights
from rnnkit.execution.array_functions import dtype_of as dtype_of_kinds
from rnnkit.layers.base import no_mask
from rnnkit.layers.merging import Concatenate, Merge
from rnnkit.layers.support.bound_calls import call_on
from rnnkit.layers.support.facts import built_shape
from rnnkit.layers.support.layer_tree import held_by
from rnnkit.layers.support.symbolic import leaves, mapped, shape_leaves
from rnnkit.layers.traced import Traced
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, refuse_draws, written
from rnnkit.onnx.exporting.package import element_type
from rnnkit.onnx.exporting.step_nodes import FAR, ReadGraph, StepNodes, filling

# Substitutes for an open length, tried until a function accepts them: a first, another, and one to check longer
# ones. The first ones are coprime, since a function may round down.
LENGTHS = ((13, 24, 1009), (60, 120, 1020))


@written.register
def _traced(layer: Traced, writing: Writing, call: Call):
    refuse_draws(layer, call.training and bool(held_by(layer).moving()), "computes with its batch")
    if getattr(layer, "mask", None) is not None:
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX: it has a mask that its function doesn't compute"
        )
    given = leaves(call.x)
    if len(layer._unbatched) == len(given) and any(one.numbers is None for one in given):
        shapes = shape_leaves(layer.compute_output_shape(built_shape(layer)))
        found = [Value("", shape, layer.dtype) for shape in shapes]  # over the batch: for losses, which aren't exported
        return found, [None] * len(found)
    known = {i: given[i].numbers for i in layer._unbatched}
    if len(known) == len(given):  # of weights alone
        found = leaves(call_on(layer, mapped(call.x, lambda one: one.numbers), training=call.training))
        return [writing.block.known(one, f"{layer.name}_{i}") for i, one in enumerate(found)], [None] * len(found)
    named = lambda x: tuple(f"{x.name}_{i}" if n is None else n for i, n in enumerate(x.shape))
    block = writing.block
    arrays = [replace(x, shape=named(x)) for i, x in enumerate(given) if i not in known]
    flowing = call.mask if isinstance(call.mask, list) else [call.mask] * (1 if layer._takes_mask() else len(given))
    flowing = [mask for i, mask in enumerate(flowing) if i not in known]
    masks = [None if m is None else writing.step_mask(m, x) for m, x in zip(flowing, arrays, strict=False)]
    taken = [replace(m, shape=x.shape[:2]) for m, x in zip(masks, arrays, strict=False) if m is not None]
    read = [block.cast(one, layer.dtype) for one in (*arrays, *(taken if layer._takes_mask() else []))]
    kinds = [*(layer._kind_of(one.dtype) for one in given), *["bool"] * (len(read) - len(arrays))]
    several = (masks if isinstance(call.mask, list) else masks[0]) if layer._takes_mask() else None

    def traced(shapes, checked: bool) -> TracedFunction:
        others = iter([(None, *shape) for shape in shapes])
        whole = [(known[i].shape if i in known else next(others), kind) for i, kind in enumerate(kinds)]
        return layer._traced(call.x, whole, several, call.training, checked and layer._checked)

    weights = {str(i): one.astype(layer.dtype) for i, one in known.items()}
    outputs = _by_nodes(writing, layer, read, traced, weights)
    return outputs, _masks_behind(layer, writing, masks, arrays, outputs)


def by_function(writing: Writing, layer, function: Callable, arrays: Sequence[Value]) -> list[Value]:
    """Write a NumPy-style function of arrays and of the dict of a layer's weights; return its values, flat."""
    weights = held_by(layer).arrays()
    kinds = ["bool" if one.dtype == bool else "float" for one in arrays]

    def traced(shapes, checked: bool) -> TracedFunction:
        return with_weights(function, weights, shapes, kinds, layer.dtype, layer.name)

    return _by_nodes(writing, layer, [writing.block.cast(one, layer.dtype) for one in arrays], traced, {})


def _by_nodes(writing: Writing, layer, arrays: list[Value], traced, more: dict) -> list[Value]:
    """Write a traced function of arrays, of a layer's weights and of more trained ones, as nodes; return its values."""
    own, options = held_by(layer).arrays(), held_by(layer).options()
    weights, trained = own | more, [*more, *(name for name in own if layer.trainable and options[name].trainable)]
    sizes = OpenSizes([one.shape[1:] for one in arrays], traced)
    keys = [("x", None), *(("constant", i) for i in range(len(arrays)))]
    found, given = sizes.traces[0], dict(zip(keys, [one.name for one in arrays], strict=False))
    graphs = [ReadGraph(layer.name, layer.dtype, one._graph, weights, trained) for one in sizes.traces]
    nodes, outputs = LengthNodes(writing.block, sizes, graphs, given, arrays), []
    for node, kind, *shapes in zip(found._nodes, found.kinds, *(one.shapes for one in sizes.traces), strict=True):
        shape = (*arrays[0].shape[:1], *sizes.named(shapes))
        value = Value(nodes.result(node, layer.name), shape, layer.dtype)
        outputs.append(writing.block.cast(value, dtype_of_kinds({kind}, layer.dtype)))
    return outputs


def _masks_behind(layer, writing: Writing, masks, arrays, outputs) -> list[Value | None]:
    """Return the mask of each output, as `compute_mask` gives it."""
    if type(layer).compute_mask is no_mask:
        return [None]
    in_time = isinstance(layer, Concatenate) and layer.axis % len(arrays[0].shape) == 1
    block, joined = writing.block, None
    if isinstance(layer, Concatenate) and any(mask is not None for mask in masks):
        used = lambda x: block.add("Expand", block.number(True, bool), block.sizes(x.name, 0, 2))
        masks = [mask or Value(used(x), x.shape[:2], np.dtype(bool)) for mask, x in zip(masks, arrays, strict=True)]
    if in_time and None not in masks:
        name = block.add("Concat", *(mask.name for mask in masks), axis=1)
        return [Value(name, outputs[0].shape[:2], np.dtype(bool))]
    if None not in masks:
        joined = replace(masks[0], name=reduce(partial(block.add, "Or"), [one.name for one in masks]))
    own = isinstance(layer, Merge)
    return [joined if own or one.shape[1:2] == arrays[0].shape[1:2] else None for one in outputs]


class OpenSizes:
    """The open lengths of arrays, and a function's traces at several of them.

    `places` are an array and its axis for each length, `lengths` those of each trace: base lengths, a change of each
    length in turn, and a last one as a check. `shapes` are the arrays' in each trace.
    """

    def __init__(self, shapes: Sequence[tuple], traced: Callable[[list, bool], TracedFunction]):
        places = [(i, k) for i, shape in enumerate(shapes) for k, n in enumerate(shape) if not isinstance(n, int)]
        apart: dict = {}
        for i, k in places:
            apart.setdefault(shapes[i][k] or (i, k), []).append((i, k))
        failure: Exception | None = None
        for groups in (list(apart.values()), [places]):  # different lengths fail if they have to be equal
            for lengths in LENGTHS:
                try:
                    self._trace(shapes, [group for group in groups if group], lengths, traced)
                    self.names = [shapes[i][k] for i, k in self.places]
                    return
                except Exception as error:
                    failure = failure or error
        assert failure is not None, "some lengths were tried"
        raise failure

    def _trace(self, shapes, groups, lengths, traced):
        count, (one, other, long) = len(groups), lengths
        first = [one] * count
        others = [[other if i == k else one for i in range(count)] for k in range(count)]
        last = [long + i * (one if one % 2 == 0 else 2) for i in range(count)]
        self.lengths = [tuple(one) for one in ((first, *others, last) if count else (first,))]
        self.places = [group[0] for group in groups]
        self.shapes = []
        for lengths in self.lengths:
            known = {place: n for group, n in zip(groups, lengths, strict=True) for place in group}
            self.shapes.append(
                [tuple(known.get((i, k), n) for k, n in enumerate(shape)) for i, shape in enumerate(shapes)]
            )
        self.traces = [traced(one, not i) for i, one in enumerate(self.shapes)]  # the first is the smallest

    def terms(self, values) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Return values, one for each trace, as a constant and factors of the lengths (integers stay such), or None."""
        whole = np.asarray(values[0]).dtype.kind in "iub"
        values = [np.asarray(value, np.float64) for value in values]
        if len({value.shape for value in values}) > 1:
            return None
        first = self.lengths[0]
        moves = [lengths[i] - first[i] for i, lengths in enumerate(self.lengths[1:-1])]
        factors = [(value - values[0]) / n for value, n in zip(values[1:-1], moves, strict=True)]
        constant = values[0] - sum(n * factor for n, factor in zip(first, factors, strict=True))
        last = constant + sum(n * factor for n, factor in zip(self.lengths[-1], factors, strict=True))
        fits = np.allclose(last, values[-1], rtol=1e-9, atol=1e-9)
        fits = fits and not (whole and any(np.any(one != np.rint(one)) for one in factors))
        return (constant, factors) if fits else None

    def named(self, shapes) -> tuple:
        """Return a shape from its sizes in each trace; an open length becomes its name, other varying sizes None."""
        same = dict(zip(zip(*self.lengths, strict=True), self.names, strict=True))
        return tuple(sizes[0] if len(set(sizes)) == 1 else same.get(sizes) for sizes in zip(*shapes, strict=True))


class LengthNodes(StepNodes):
    """A writer of the nodes of a graph traced at several lengths, of the arrays `read`; `graphs` are the traces."""

    def __init__(self, block: Block, sizes: OpenSizes, graphs: list[ReadGraph], given, read: list[Value]):
        super().__init__(block, graphs[0], given, block.sizes(read[0].name, 0, 1))
        self.sizes, self.read = sizes, read
        self.twins = {}
        if len({tuple((node.op, *(a.op for a in node.args)) for node in graph.live) for graph in graphs}) > 1:
            self._refuse(graphs[0].results[0], "what it computes")
        for twins in zip(*(graph.live for graph in graphs), strict=True):
            self.twins[twins[0].id] = list(zip(graphs, twins, strict=True))
            if len(set(map(filling, twins))) > 1:
                self._refuse(twins[0], "whether there are any numbers")

    def _refuse(self, node: Node, what: str):
        why = f"{what} depends on an open length in a way that has no short form; give the Input of a Model its length"
        raise self.step.refused(node, why)

    def _length(self, i: int, dtype=np.int64) -> str:
        array, axis = self.sizes.places[i]
        count = self.block.sizes(self.read[array].name, axis + 1, axis + 2)
        count = self.block.add("Squeeze", count, self.block.integers(0))
        return self.block.cast(Value(count, (), np.dtype(np.int64)), dtype).name

    def _total(self, terms, dtype) -> str:
        """Return a constant plus multiples of the lengths."""
        constant, factors = (np.asarray(terms[0], dtype), [np.asarray(one, dtype) for one in terms[1]])
        total = self.block.constant(constant, "number")
        for i, factor in enumerate(factors):
            if np.any(factor):
                multiple = self.block.add("Mul", self._length(i, dtype), self.block.constant(factor, "number"))
                total = self.block.add("Add", multiple, total)
        return total

    def _integers(self, node: Node, of) -> str:
        found = [np.asarray(of(twin), np.int64) for _, twin in self.twins[node.id]]
        if all(np.array_equal(found[0], one) for one in found):
            return self.block.integers(*found[0].tolist())
        if (terms := self.sizes.terms(found)) is not None:
            return self._total(terms, np.int64)
        return self._progression(found, np.int64) or self._refuse(node, "a size or place")

    def _reshaped(self, name: str, node: Node) -> str:
        shapes = [twin.shape for _, twin in self.twins[node.id]]
        sizes = [one[0] if len(set(one)) == 1 else -1 for one in zip(*shapes, strict=True)]
        if sizes.count(-1) <= 1:
            return self._add(node, "Reshape", name, self.block.integers(0, *sizes))
        return self._add(node, "Reshape", name, self.block.joined(self.block.integers(0), self._shape(node)))

    def _operand(self, node: Node) -> str:
        if node.batched:
            return self.names[node.id]
        values = [
            np.asarray(twin.attr if twin.op == "literal" else graph.values[twin.id])
            for graph, twin in self.twins[node.id]
        ]
        if all(np.array_equal(values[0], one, equal_nan=one.dtype.kind == "f") for one in values):
            return super()._operand(node)
        dtype = dtype_of(node.kind, self.step.dtype)
        if (terms := self.sizes.terms(values)) is not None:
            return self._total(terms, dtype)
        with np.errstate(divide="ignore"):
            terms = self.sizes.terms([1.0 / value for value in values])
        if terms is not None:
            return self.block.add("Div", self.block.number(1, dtype), self._total(terms, dtype))
        flat = self._progression([one.reshape(-1) for one in values], dtype)
        flat = flat or self._band(values, dtype) or self._refuse(node, "an array of numbers")
        return flat if values[0].ndim == 1 else self.block.add("Reshape", flat, self._shape(node))

    def _count(self, numbers) -> str | None:
        """Return ``range(n)`` for n given as a number for each trace, or None."""
        if (terms := self.sizes.terms(numbers)) is None:
            return None
        zero, one = (self.block.number(number, np.int64) for number in (0, 1))
        return self.block.add("Range", zero, self._total(terms, np.int64), one)

    def _progression(self, rows, dtype) -> str | None:
        """Return numbers ``start + step * (j // each)``, also modulo the largest plus one; None for other numbers."""
        first = rows[0].astype(np.float64)
        moves = np.diff(first)
        step = np.median(moves[moves != 0]) if moves.any() else 0.0
        each = int(np.argmax(moves != 0)) + 1 if moves.any() else 1
        found = [float(one[0]) + step * (np.arange(len(one)) // each) for one in rows]
        ends = [one.max() + one.dtype.type(1) for one in rows]
        wraps = not all(map(np.allclose, found, rows))
        start, end = self.sizes.terms([one[0] for one in rows]), self.sizes.terms(ends)
        if start is None or end is None or (wraps and not all(map(np.allclose, map(np.mod, found, ends), rows))):
            return None
        places = self._count([len(one) for one in rows])
        if places is None:
            return None
        if each > 1:
            places = self.block.add("Div", places, self.block.number(each, np.int64))
        kind = np.dtype(np.int64 if np.dtype(dtype).kind == "b" else dtype)
        scaled = self.block.add("Cast", places, to=element_type(kind))
        if step != 1:
            scaled = self.block.add("Mul", scaled, self.block.number(step, kind))
        total = self.block.add("Add", scaled, self._total(start, kind))
        if wraps:
            total = self.block.add("Mod", total, self._total(end, kind), fmod=int(kind.kind == "f"))
        return total if kind == dtype else self.block.add("Cast", total, to=element_type(dtype))

    def _band(self, squares, dtype) -> str | None:
        """Return a matrix of one number where ``row - column`` is between two bounds and another elsewhere, or None."""
        if squares[0].ndim < 2 or any(one.size != math.prod(one.shape[-2:]) for one in squares):
            return None
        squares = [one.reshape(one.shape[-2:]) for one in squares]
        apart = [np.subtract.outer(*map(np.arange, one.shape)) for one in squares]
        inside, others = squares[0][0, 0], squares[0][squares[0] != squares[0][0, 0]]
        ends = [(d[one == inside].min(), d[one == inside].max()) for d, one in zip(apart, squares, strict=True)]
        whole = [(d.min(), d.max()) for d in apart]
        bounds = [None if all(a[i] == b[i] for a, b in zip(ends, whole, strict=True)) else ends[0][i] for i in (0, 1)]
        low, high = (end if bound is None else bound for end, bound in zip((-FAR, FAR), bounds, strict=True))
        wanted = [np.where((d >= low) & (d <= high), inside, others[0]) for d in apart]
        rows, columns = (self._count([one.shape[axis] for one in squares]) for axis in (0, 1))
        if rows is None or columns is None or not all(map(np.array_equal, wanted, squares)):
            return None
        difference = self.block.add("Sub", self.block.add("Unsqueeze", rows, self.block.integers(1)), columns)
        sides = [
            self.block.add(operator, difference, self.block.number(bound, np.int64))
            for operator, bound in zip(("GreaterOrEqual", "LessOrEqual"), bounds, strict=True)
            if bound is not None
        ]
        reached = reduce(partial(self.block.add, "And"), sides)
        if np.dtype(dtype).kind == "b":
            return reached if inside else self.block.add("Not", reached)
        return self.block.add("Where", reached, *(self.block.number(one, dtype) for one in (inside, others[0])))
