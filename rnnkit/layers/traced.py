"""Layers that are a function of arrays, traced as a step is: the gradient and the form in ONNX follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Unpack

import numpy as np

from rnnkit.circumstances import weights_now
from rnnkit.execution.array_functions import TracedFunction
from rnnkit.hints import LayerOptions, Shape
from rnnkit.identity import Same
from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.assignments import Changes, changeable, contents
from rnnkit.layers.support.display import Text
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.layers.weighted import OwnWeights
from rnnkit.steps.nesting import shapes_mapped

_MOST = 256  # kinds of shapes whose graphs are kept
_LENGTHS = ((12, 24), (60, 120), (1, 2))  # pairs of sizes that stand in for open ones, until a function takes a pair


class Traced(OwnWeights):
    """Base of layers that are a NumPy-style function of arrays and weights; a subclass has `_result`."""

    _unbatched: tuple[int, ...] = ()  # the places of the arrays that have no batch axis
    _finds_more = False  # whether it finds masks, or draws arrays, where no mask is given
    _checked = False  # whether each graph is held against the function on numbers, as one of a user's has to be

    def __init__(self, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self._traces: dict[tuple, TracedFunction] = {}

    _result: Callable[..., Any]  # (arrays, mask, training), all of them or symbols, and ``weights=`` if there are any

    def _lines(self) -> tuple:
        """The functions whose lines errors are about."""
        return ()

    def _call(self, inputs, mask, training, wanted=None):
        traced, inputs, arrays = self._entered(inputs, mask, training, wanted is not None)
        if wanted is None:
            return self._nested(traced.nesting, traced(arrays))
        found, back = traced.with_pull(arrays)
        outputs = self._nested(traced.nesting, found)
        own = list(self._own)

        def pull(cotangents):
            pairs = zip(cotangents, found, strict=True)
            d_all = iter(back([np.zeros_like(one, self.dtype) if d is None else d for d, one in pairs]))

            def of(one):
                d = next(d_all)
                return d if self._kind_of(one.dtype) == "float" else None

            d_x = mapped(inputs, of)
            return Gradients(dict(zip(own, d_all, strict=True)), d_x)

        return outputs, Pullback(outputs, self.dtype, pull)

    def _nested(self, nesting, found: list) -> Any:
        """The result of a call, of the function's arrays."""
        return mapped(nesting, found.__getitem__)

    def _entered(self, inputs, mask, training, pulls=True) -> tuple[TracedFunction, Any, list[np.ndarray]]:
        """The function for arrays of these shapes, these, and as it reads them: copies, if its pull reads them."""
        if mask is None and (plan := self._planned(inputs, training)) is not None:
            traced, weights = plan
            copied = pulls and (self._unbatched or traced.pull_reads_arrays)
            return traced, inputs, [inputs.copy() if copied else inputs, *weights]
        inputs = self._taken(inputs, mask)
        given = leaves(inputs)
        with all_or_nothing(self) if not self.built else nullcontext():
            if not self.built:
                shape = mapped(inputs, np.shape)
                build_with(self, shape, self.dtype or np.result_type(*map(validation.precision_of, given)))
            last, arrays = Changes.last, [one.astype(self.dtype, order="C", copy=False) for one in given]
            masks = self._masks(mask, given, training)
            more = [one for one in leaves(masks) if one is not None]
            kinds = [(one.shape, self._kind_of(one.dtype)) for one in given]
            kinds += [(one.shape, "bool" if one.dtype == bool else "float") for one in more]
            found = self._call_options(training, arrays, more)
            traced, weights = self._traced(inputs, kinds, masks, found), self._weights_of_call(given[0]).values()
        depends_on_shape = arrays[0] is inputs and found is training and not (more or self._finds_more)
        if mask is None and depends_on_shape and not changeable(self):
            self._plan(last, inputs, training, (traced, list(weights)))
        if pulls and (self._unbatched or traced.pull_reads_arrays):
            arrays = [one.copy() if one is own else one for one, own in zip(arrays, given, strict=True)]
        return traced, inputs, [*arrays, *more, *weights]

    def _weights_of_call(self, like) -> dict[str, np.ndarray]:
        """The weights that a call computes with, by name."""
        return weights_now(self._own)

    def _call_options(self, training, arrays, masks) -> Any:
        """What the function is given as `training`."""
        return training

    def _kind_of(self, dtype) -> str:
        """Return the kind of an array of a dtype for the function, "float", "int" or "bool"."""
        return "float"

    def _taken(self, inputs, mask):
        """The inputs as arrays, nested in the same way."""
        return mapped(inputs, lambda one: validation.numbers(one, "x"))

    def _masks(self, mask, arrays, training) -> Any:
        """The masks that the function takes with arrays as they were given, or other arrays; None for none."""
        steps = lambda one: None if one is None else validation.array(one, "mask") != 0
        return mapped(mask, steps) if self._takes_mask() else None

    def _takes_mask(self) -> bool:
        return False

    def _traced(self, inputs, kinds, mask, training, checked=None) -> TracedFunction:
        """The function at the shapes of arrays, with the batch axis where there is one, and of which kinds."""
        count, checked = len(leaves(inputs)), self._checked if checked is None else checked
        nesting, known, own = mapped(inputs, lambda _: 0), mapped(mask, lambda one: one is not None), self._own
        batched = [*(i not in self._unbatched for i in range(len(kinds))), *[False] * len(own)]
        kinds = [*kinds, *((array.shape, "float") for array in own.values())]
        shapes = [shape[1:] if rows else shape for (shape, _), rows in zip(kinds, batched, strict=True)]
        conditions = [kind for _, kind in kinds]
        key = repr(nesting), repr(known), *map(tuple, (shapes, conditions)), training, self.dtype
        key = *key, checked, self._version()
        rows = {shape[:1] for (shape, _), own_rows in zip(kinds, batched, strict=True) if own_rows}
        if key not in self._traces or len(rows) > 1:  # the key says nothing of batch sizes
            whole = iter([shape for shape, _ in kinds])
            self._check_shape(self._shape(mapped(nesting, lambda _: next(whole))))
        if key not in self._traces:

            def function(arrays):
                inputs, more = iter(arrays), iter(arrays[count:])
                given = mapped(nesting, lambda _: next(inputs))
                masks = mapped(known, lambda there: next(more) if there else None)
                weights = {"weights": dict(zip(own, more, strict=True))} if own else {}
                return self._result(given, masks, training, **weights)

            told = self.name, self._lines(), checked, own, len(kinds) - len(own) - count
            found = TracedFunction(function, shapes, batched, conditions, self.dtype, *told)
            if len(self._traces) >= _MOST:
                self._traces.clear()
            self._traces[key] = found
        return self._traces[key]

    def _version(self) -> Any:
        """What differs once an attribute was set, or a list, a dict or an array in one was changed."""
        return self._assigned.last, *(contents(one, Same) for one in changeable(self))

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the function is computed at the shapes that were traced last, or with `graph` its graph.

        There is no `source`: NumPy and kernels of rnnkit's own compute it.
        """
        last = next(reversed(self._traces.values()), None)
        if last is None:
            return Text(f"{self.name}: not traced yet; it is at the first call")
        return Text("" if source and not graph else last.explain(graph))

    # Shapes

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the result, nested as it; None for sizes that move with open ones of the input."""
        return self._shapes_and_kinds(self._shape(input_shape), None)[0]

    def _shapes_and_kinds(self, shape, conditions):
        shapes = symbolic.shape_leaves(shape)
        conditions = conditions or ["float"] * len(shapes)
        batched = [one for i, one in enumerate(shapes) if i not in self._unbatched]
        nested = shapes_mapped(shape, lambda _: 0)
        dtype, vars(self)["dtype"] = self.dtype, self.dtype or np.dtype("float32")  # no attribute changes

        def at(length):
            closed = [
                tuple(length if n is None and (axis or i in self._unbatched) else n for axis, n in enumerate(one))
                for i, one in enumerate(shapes)
            ]
            return self._traced(nested, list(zip(closed, conditions, strict=True)), None, False)

        try:
            first, second = at_two_lengths(shapes, at)
        finally:
            vars(self)["dtype"] = dtype
        sizes = list(map(same_sizes, first.shapes, second.shapes))
        rows = (next((one[0] for one in batched if one[0] is not None), None),) if batched else ()
        found = [(*rows, *one) for one in sizes]
        return mapped(first.nesting, found.__getitem__), first.kinds

    def _takes_steps_apart(self) -> bool:
        """Return whether every step of a result reads that step of the inputs alone, and other results the last."""
        shapes = symbolic.shape_leaves(self._input_shape)
        in_time = [len(shape) > 2 or shape[1:2] == (None,) for shape in shapes]
        if (
            self._takes_mask()
            or self._unbatched
            or any(None in shape[1 + own :] for own, shape in zip(in_time, shapes, strict=True))
        ):
            return False
        sizes = [
            [(1, *(n,) * own, *shape[1 + own :]) for own, shape in zip(in_time, shapes, strict=True)] for n in (1, 3)
        ]
        nested = shapes_mapped(self._input_shape, lambda _: 0)
        try:
            one, three = (self._traced(nested, [(one, "float") for one in some], None, False) for some in sizes)
        except ValueError:
            return False
        rng, steps = np.random.default_rng(0), 1 << np.arange(3)
        x = [rng.normal(size=shape).astype(self.dtype) for shape in sizes[1]]
        marks = [
            steps.reshape(3, *(1,) * (len(shape) - 2)) if own else 4
            for own, shape in zip(in_time, sizes[1], strict=True)
        ]
        read = three.reads([np.broadcast_to(mark, shape[1:]) for mark, shape in zip(marks, sizes[1], strict=True)])
        whole = three(x)
        for t in range(3):
            alone = one([a[:, t : t + 1] if own else a for a, own in zip(x, in_time, strict=True)])
            for found, part, bits in zip(whole, alone, read, strict=True):
                if found.shape != part.shape:
                    found, bits = found[:, t : t + 1], bits[t]
                elif t < 2:
                    continue  # a result of the last step
                if (
                    found.shape != part.shape
                    or np.any(bits & ~steps[t])
                    or not np.allclose(found, part, 0, 1e-5, equal_nan=True)
                ):
                    return False
        return True

    def _forget(self):
        super()._forget()
        self._traces = {}

    def __getstate__(self) -> Any:
        return self.__dict__ | {"_traces": {}}


def at_two_lengths(
    shapes: Sequence[tuple],
    at: Callable[[int], Any],
    attempt: Callable[[], AbstractContextManager] = nullcontext,
) -> list[Any]:
    """Return the results of `at` with two sizes in place of those that shapes leave open behind the batch axis."""
    failure = None
    for lengths in _LENGTHS:
        try:
            with attempt():
                return [at(length) for length in lengths]
        except Exception as error:
            failure = failure or error
            if not any(None in one[1:] for one in shapes):
                break
    assert failure is not None, "a pair was tried"
    raise failure


def same_sizes(first: Sequence, second: Sequence) -> tuple:
    """Return the sizes of a shape at two lengths, None for those that differ."""
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
