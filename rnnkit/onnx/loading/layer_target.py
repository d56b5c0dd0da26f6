"""Layers that compute the values of a graph, and their tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.free_names import FreeNames
from rnnkit.layers.base import Layer
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.onnx.loading.axes import BATCH, TIME, Array, Axis, Forms
from rnnkit.onnx.loading.cells import Program
from rnnkit.onnx.loading.layers import ArrayOperation, Operation
from rnnkit.onnx.loading.step_target import Steps, inputs_first, plain_name


class Layers:
    """A maker of a model's tensors, of shape ``(B, [T], *features)`` without axes of size 1, all of one dtype."""

    def __init__(self, dtype: np.dtype):
        self.forms, self.whole, self.dtype = Forms((BATCH, TIME)), Forms((BATCH,)), dtype
        self._tensors: dict[Array, SymbolicTensor] = {}
        self._shared: dict[Any, Any] = {}
        self._reshaped: dict[SymbolicTensor, tuple[SymbolicTensor, int]] = {}
        self._names = FreeNames()
        self._needed: set[Array] = set()

    def put(self, array: Array, tensor: SymbolicTensor) -> None:
        """Set the tensor of an input."""
        self._tensors[array] = tensor

    def make(self, outputs: Sequence[Array]) -> None:
        """Make the layers for these values and their dependencies."""
        read = lambda one: one.inputs if one.layer_inputs is None else one.layer_inputs
        order = inputs_first(outputs, lambda one: () if one in self._tensors else read(one))
        self._needed.update(order)
        for array in order:
            if array not in self._tensors:
                try:
                    found = None if array.layers is None else array.layers(self)
                    self._tensors[array] = self._operation(array) if found is None else found
                except (ValueError, TypeError, MemoryError) as error:
                    raise ValueError(f"{array.label}: {error}") from error

    def needs(self, array: Array) -> bool:
        return array in self._needed

    def tensor(self, array: Array) -> SymbolicTensor:
        """Return the tensor of a value, made before."""
        if array not in self._tensors:
            self.make([array])
        return self._tensors[array]

    def shared(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the shared source of several outputs of one node, made once."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def named(self, name: str) -> str | None:
        """Return a name for a layer, after that of a node, or None."""
        plain = plain_name(name)
        return self._names.take(plain) if plain else None

    # Shapes

    def kept(self, array: Array) -> int:
        """Return the number of axes of a value's tensor before the features."""
        return 1 if self.forms.time_axis(array.axes) is None else 2

    def shaped(self, tensor: SymbolicTensor, kept: int, sizes: Sequence[int]) -> SymbolicTensor:
        """Reshape the features of a tensor; consecutive reshapes become one layer."""
        source, own = self._reshaped.get(tensor, (tensor, kept))
        tensor = source if own == kept else tensor
        return tensor if list(tensor.shape[kept:]) == list(sizes) else self.reshaped(tensor, kept, sizes)

    def reshaped(self, tensor: SymbolicTensor, kept: int, sizes: Sequence[int]) -> SymbolicTensor:
        """Reshape the features of a tensor by a layer."""
        known, shape = None if kept == 2 else list(sizes), [*[None] * (kept - 1), *sizes]
        found = self.function("Reshape", [tensor], known, shape=shape)
        self._reshaped[found] = (tensor, kept)
        return found

    def flat(self, array: Array) -> SymbolicTensor:
        """Return a value's tensor with one axis of features."""
        sizes = self.forms.shape(array.axes, array.label)
        return self.shaped(self.tensor(array), self.kept(array), [int(np.prod(sizes))])

    # Operations

    def along(self, time: Axis) -> SymbolicTensor:
        """Return any tensor with this time axis, ``(B, T, …)``."""
        if time.role != TIME:
            raise ValueError("expected the size of a time axis as a number, got that of the batch")
        for array, tensor in self._tensors.items():
            own = self.forms.time_axis(array.axes)
            if own is not None and own.root is time.root:
                return tensor
        raise ValueError("expected a length that an input has, got one that is computed")

    def function(self, op: str, tensors: Sequence[SymbolicTensor], sizes=None, **options) -> SymbolicTensor:
        """Return one operation on whole arrays."""
        inputs, refs = [list(one.shape[1:]) for one in tensors], list(range(len(tensors)))
        return self._on_arrays(Program(inputs, [], [[op, refs, options]], [len(refs)]), [], tensors, sizes=sizes)

    def _on_arrays(self, program: Program, weights, tensors, name="", sizes=None) -> SymbolicTensor:
        layer = ArrayOperation(program.config(), sizes, dtype=self.dtype, name=self.named(name))
        return self.called(layer, weights, tensors if len(tensors) > 1 else tensors[0])[0]

    def side_by_side(self, arrays: Sequence[Array]) -> SymbolicTensor:
        """Concatenate the features of several values; values without time are repeated if another has time."""
        timed = next((one for one in arrays if self.kept(one) == 2), None)
        times = {time.root for one in arrays if (time := self.forms.time_axis(one.axes)) is not None}
        if len(times) > 1:
            raise ValueError("expected values along one time axis, got several")
        tensors = []
        for one in arrays:
            tensor = self.flat(one)
            if timed is not None and self.kept(one) == 1:
                tensor = self.function("EachStep", [tensor, self.flat(timed)])
            tensors.append(tensor)
        return tensors[0] if len(tensors) == 1 else Concatenate(dtype=self.dtype)(tensors)

    def _operation(self, array: Array) -> SymbolicTensor:
        """Make a layer for the value's own operation: on each step if it stays on its time axis, else on all."""
        inputs = list(dict.fromkeys(one for one in array.inputs if isinstance(one, Array)))
        if array.emit is None:
            raise ValueError("expected an operator of the inputs")
        name = array.label.partition(" (")[0]
        times = {self.forms.time_axis(one.axes) for one in inputs} - {None}
        problem: ValueError | None = None
        if inputs and not array.moves and times == {self.forms.time_axis(array.axes)} - {None}:
            try:
                steps = Steps(self.forms, self.dtype)
                program = self._program(array, inputs, steps)
            except ValueError as error:
                problem = error
            else:
                return self._on_steps(array, inputs, program, steps.arrays, name)
        try:
            whole = _WholeArrays(self, [self.tensor(one) for one in inputs])
            program = self._program(array, inputs, whole)
        except ValueError as error:
            raise problem or error from None
        if _is_same(array, inputs, program):
            return self.tensor(inputs[0])
        known = None if self.kept(array) == 2 else self.whole.shape(array.axes, array.label)
        return self._on_arrays(program, whole.arrays, whole.tensors, name, known)

    def _program(self, array: Array, inputs: Sequence[Array], steps: Steps) -> Program:
        refs = {one: steps.input(one.axes, one.kind, one.label, steps.forms is self.whole) for one in inputs}
        found = array.emit(steps, [refs.get(one) for one in array.inputs])  # type: ignore[misc]
        return steps.program([steps.add("Number", [found]) if array.kind == "bool" else found])

    def _on_steps(self, array: Array, inputs, program: Program, weights, name) -> SymbolicTensor:
        if _is_same(array, inputs, program):
            return self.tensor(inputs[0])
        layer = Operation(program.config(), dtype=self.dtype, name=self.named(name))
        (result,) = self.called(layer, weights, self.side_by_side(inputs))
        return self.shaped(result, self.kept(array), self.forms.shape(array.axes, array.label))

    def called(self, layer: Layer, arrays: Sequence[np.ndarray], x: Any, **keywords) -> list[SymbolicTensor]:
        """Return the outputs of a layer, which gets these weights; keywords of None are left out."""
        found = layer(x, **{name: value for name, value in keywords.items() if value is not None})
        layer.set_weights(list(arrays))
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def starts(self, states: Sequence[np.ndarray | SymbolicTensor], learned: Sequence[bool], like: SymbolicTensor):
        """Return initial states, arrays for all rows or tensors; None for zeros."""
        if all(isinstance(one, np.ndarray) and not one.any() for one in states):
            return None
        return [
            self.rows_of(one, like, trained) if isinstance(one, np.ndarray) else one
            for one, trained in zip(states, learned, strict=True)
        ]

    def rows_of(self, constant: np.ndarray, like: SymbolicTensor, trainable: bool) -> SymbolicTensor:
        """Return a weight for every row of a tensor."""
        weights = [["rows", list(constant.shape), trainable]]
        program = Program([list(like.shape[1:])], weights, [["Rows", [1, 0], {}]], [2])
        return self._on_arrays(program, [constant], [like])


def _is_same(array: Array, inputs: Sequence[Array], program: Program) -> bool:
    """Return whether a program gives its input; conditions are 0 and 1 in a model."""
    changes = {op for op, *_ in program.instructions}
    conditions = all(one.kind == "bool" for one in inputs)
    return not changes or (conditions and changes <= {"NotZero", "Number"})


class _WholeArrays(Steps):
    """A builder of a program on whole arrays, and the tensors that it takes."""

    def __init__(self, target: Layers, tensors: Sequence[SymbolicTensor]):
        super().__init__(target.whole, target.dtype, alike=target.forms)
        self.target, self.tensors = target, list(tensors)

    def along(self, time):
        self.tensors.append(self.target.along(time))
        return self.given(self.tensors[-1].shape[1:])
