"""Layers that compute the values of a graph, and their tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.free_names import FreeNames
from rnnkit.layers.base import Layer
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.shaping import RepeatVector
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.onnx.loading.axes import BATCH, TIME, Array, Axis, Constant, Forms
from rnnkit.onnx.loading.layers import Arrange, ConstantRows, Operation
from rnnkit.onnx.loading.step_target import Steps, inputs_first, plain_name, without
from rnnkit.onnx.loading.time_layers import OverSteps


class Layers:
    """A maker of a model's tensors, of shape ``(B, [T], *features)`` without axes of size 1, all of one dtype."""

    def __init__(self, dtype: np.dtype):
        self.forms, self.dtype = Forms((BATCH, TIME)), dtype
        self._tensors: dict[Array, SymbolicTensor] = {}
        self._shared: dict[Any, Any] = {}
        self._arranged: dict[SymbolicTensor, tuple[SymbolicTensor, int]] = {}
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

    def shaped(self, tensor: SymbolicTensor, kept: int, sizes: Sequence[int], order=None) -> SymbolicTensor:
        """Reshape the features of a tensor; consecutive reshapes become one layer."""
        sizes = list(sizes)
        if order is None:
            source, own = self._arranged.get(tensor, (tensor, kept))
            if own == kept:
                tensor = source
            if list(tensor.shape[kept:]) == sizes and len(tensor.shape) == kept + len(sizes):
                return tensor
        found = Arrange(sizes, kept, order, dtype=self.dtype)(tensor)
        if order is None:
            self._arranged[found] = (tensor, kept)
        return found

    def flat(self, array: Array) -> SymbolicTensor:
        """Return a value's tensor with one axis of features."""
        sizes = self.forms.shape(array.axes, array.label)
        return self.shaped(self.tensor(array), self.kept(array), [int(np.prod(sizes))])

    def viewed(self, source: Array, axes: Sequence[Axis], places: Sequence[int | None]) -> SymbolicTensor:
        """Return the tensor of a value with axes at these positions of another value, None for new ones of size 1."""
        forms, tensor = self.forms, self.tensor(source)
        old_rows, new_rows = forms.row_axes(source.axes), forms.row_axes(axes)
        order = forms.order(source.axes, places)
        if [a.role for a in old_rows if a.role == BATCH] != [a.role for a in new_rows if a.role == BATCH]:
            raise ValueError("expected the batch axis to stay; it is dropped")
        if len(old_rows) == len(new_rows):
            if order == sorted(order):
                return tensor
            return self.shaped(tensor, self.kept(source), forms.shape(axes, source.label), order)
        sizes = forms.shape(axes, source.label)
        if order != sorted(order) or not all(a.number == 1 for a in {*old_rows} ^ {*new_rows}):
            raise ValueError("expected the time axis to stay where it is")
        time = [] if len(new_rows) < len(old_rows) else [1]
        return self.shaped(tensor, 1, [*time, *sizes])

    def over_steps(self, function: str, x: Any, name: str = "", **options) -> SymbolicTensor:
        """Return a function along time of a tensor, or of two."""
        return OverSteps(function, **options, dtype=self.dtype, name=self.named(name))(x)

    # Operations on rows

    def along(self, time: Axis) -> SymbolicTensor:
        """Return any tensor with this time axis, ``(B, T, …)``."""
        found = self._along(time)
        if found is None:
            raise ValueError("expected a length that an input has, got one that is computed")
        return found

    def _along(self, time: Axis) -> SymbolicTensor | None:
        for array, tensor in self._tensors.items():
            own = self.forms.time_axis(array.axes)
            if own is not None and own.root is time.root:
                return tensor
        return None

    def repeated(self, tensor: SymbolicTensor, time: Axis, name: str = "") -> SymbolicTensor:
        """Repeat a tensor ``(B, F)`` at every step of a time axis."""
        like = self._along(time)
        if like is None and time.size is not None:
            return RepeatVector(time.size, dtype=self.dtype, name=self.named(name))(tensor)
        return self.over_steps("repeat", [tensor, self.along(time)], name)

    def length(self, time: Axis) -> SymbolicTensor:
        """Return the number of steps of a time axis, for every row ``(B,)``."""
        if time.role != TIME:
            raise ValueError("expected the size of a time axis as a number, got that of the batch")
        return self.shared(("length", time.root), lambda: self.over_steps("count", self.along(time)))

    def step_numbers(self, time: Axis) -> SymbolicTensor:
        """Return the numbers of the steps of a time axis from 0, for every row ``(B, T)``."""
        if time.role != TIME:
            raise ValueError("expected a range along time, got one along the batch")
        return self.shared(("numbers", time.root), lambda: self.over_steps("numbers", self.along(time)))

    def steps_of(self, constant: Constant) -> SymbolicTensor:
        """Return a constant with equal rows and steps as a tensor ``(B, T, …)``."""
        time = self.forms.time_axis(constant.axes)
        rows = [i for i, axis in enumerate(constant.axes) if not self.forms.is_feature(axis)]
        array = without(constant.array, rows).astype(self.dtype)
        if time is None:
            raise ValueError("expected values with a time axis to join along time")
        flat = self.rows_of(array.reshape(-1), self.along(time), constant.trainable)
        return self.shaped(self.repeated(flat, time), 2, list(array.shape))

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
                tensor = self.over_steps("repeat", [tensor, self.flat(timed)])
            tensors.append(tensor)
        return tensors[0] if len(tensors) == 1 else Concatenate(dtype=self.dtype)(tensors)

    def _operation(self, array: Array) -> SymbolicTensor:
        """Make one layer for the value's own operation."""
        inputs = list(dict.fromkeys(one for one in array.inputs if isinstance(one, Array)))
        if array.emit is None or not inputs:
            raise ValueError("expected an operator of the inputs")
        steps = Steps(self.forms, self.dtype)
        refs = {one: steps.input(one.axes, one.kind, one.label) for one in inputs}
        found = array.emit(steps, [refs.get(one) for one in array.inputs])
        if array.kind == "bool":
            found = steps.add("Number", [found])
        program = steps.program([found])
        layer = Operation(program.config(), dtype=self.dtype, name=self.named(array.label.partition(" (")[0]))
        (result,) = self.called(layer, steps.arrays, self.side_by_side(inputs))
        sizes = self.forms.shape(array.axes, array.label)
        return self.shaped(result, self.kept(array), sizes)

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
        layer = ConstantRows(list(constant.shape), trainable, dtype=self.dtype)
        return self.called(layer, [constant], like)[0]
