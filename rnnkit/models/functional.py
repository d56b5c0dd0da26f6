"""Model: layers put together by symbolic calls, with branches, several inputs and outputs, and shared layers."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any, Self

import numpy as np

from rnnkit.free_names import FreeNames
from rnnkit.hints import Array, Config, CustomObjects, Seed, Shape
from rnnkit.layers.base import Layer, default_name
from rnnkit.layers.support import validation
from rnnkit.layers.support.assignments import by_attributes
from rnnkit.layers.support.display import show_shape
from rnnkit.layers.support.seeds import seeds_for_parts
from rnnkit.layers.support.symbolic import (
    Input,
    SymbolicTensor,
    draw_by,
    input_config,
    leaves,
    mapped,
    shape_leaves,
    shapes_given,
)
from rnnkit.models.assembled import box_of, parameters
from rnnkit.models.calls import Call, called_again, traced
from rnnkit.models.drawing import Arrow, Box
from rnnkit.models.fusion import fused
from rnnkit.models.graph_model import GraphModel, Symbols
from rnnkit.serialization.configuration import deserialize, serialize
from rnnkit.steps.nesting import is_shape, numbered, paths
from rnnkit.steps.nesting import mapped as like_nested
from rnnkit.training.batches import Names, is_flat


class Model(GraphModel):
    """A model from inputs to outputs, through all layers that were called between them.

    Parameters
    ----------
    inputs : SymbolicTensor, or nested lists and dicts of them
        From `Input`. A call takes arrays nested alike, or by the inputs' names.
    outputs : SymbolicTensor, or nested lists, tuples and dicts of them
        The results of layers for them. A call returns arrays nested alike.
    name : str, optional
    seed : int, optional
        Seed of the order of rows in training, and of layers without a seed of their own that were first called for this
        model: they are drawn anew, as those of a `Sequential` would be.

    Raises
    ------
    ValueError
        If an output depends on an input that isn't there. An input that leads to no output is a warning.

    Notes
    -----
    Weights are named by layer: ``gru/kernel``; of several layers without a name of their own, the second is ``gru_1``.
    A layer that was called twice has one set of weights, whose gradients add up. Masks pass from layer to layer where
    none is given.

    Examples
    --------
    An encoder whose last states are the decoder's first:

    >>> import numpy as np, rnnkit as rk
    >>> source, target = rk.Input((None, 3), name="source"), rk.Input((None, 2), name="target")
    >>> _, h, c = rk.LSTM(4, return_state=True, name="encoder", seed=0)(source)
    >>> y = rk.LSTM(4, return_sequences=True, name="decoder", seed=1)(target, initial_state=[h, c])
    >>> model = rk.Model([source, target], rk.Dense(2, seed=2)(y))
    >>> model([np.ones((8, 5, 3)), np.ones((8, 6, 2))]).shape
    (8, 6, 2)
    >>> list(model.weights)[:3]
    ['encoder/kernel', 'encoder/recurrent_kernel', 'encoder/bias']
    """

    def __init__(self, inputs: Array, outputs: Array, name: str | None = None, *, seed: Seed = None):
        super().__init__(seed=seed, name=name)
        given, made = _tensors(inputs, "inputs"), _tensors(outputs, "outputs")
        self._input_nesting = numbered(inputs)
        if self._input_nesting in ([0], (0,)):
            self._input_nesting = 0
        for tensor in made:
            if any(tensor is one for one in given):
                raise ValueError(f"expected outputs that layers give, got the input {tensor.name!r}")
        if len({id(tensor) for tensor in given}) < len(given):
            raise ValueError("expected different inputs, got one of them twice")
        self._graph, tensors = traced(given, outputs)
        self._shapes = [tensor.shape for tensor in tensors]
        self._optional = [i for i, tensor in enumerate(given) if tensor.node.optional]
        names = [key or tensor.name for key, tensor in zip(paths(self._input_nesting), given, strict=True)]
        self._names = _unique(names, ["input"] * len(given), "inputs")
        named = zip(given, self._names, strict=True)
        self._input_configs = [input_config(tensor) | {"name": name} for tensor, name in named]
        self._graph.paths = _unique(
            [layer.name for layer in self._graph.layers],
            [default_name(layer) for layer in self._graph.layers],
            "layers",
        )
        self._graph.fused = fused(self._graph, tensors)
        self._symbols = Symbols(given, made)
        for i, name in enumerate(self._names):
            if i not in self._graph.read:
                told = f"expected inputs that the outputs depend on; {name!r} leads to none of them"
                warnings.warn(told, stacklevel=2)
        self.dtype: Any = np.result_type(*(tensor.dtype for tensor in made))
        self.built = True
        self._input_shape = self._shapes[0] if len(given) == 1 else self._shapes[: len(given)]
        if len(given) == 1:
            self._least_rank = self._open_axes = 1
        for layer, own in zip(self.layers, seeds_for_parts(self, len(self.layers)), strict=True):
            draw_by(layer, None if seed is None or layer._is_operation else own)

    @property
    def _layers_inside(self) -> list[Layer]:
        return self._graph.layers

    @property
    def layers(self) -> list[Layer]:  # type: ignore[override]
        """All layers, each once, in an order in which they can run."""
        return list(self._graph.layers)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs in a dict."""
        return list(self._names)

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that give the outputs."""
        return list(self._named_outputs())

    @by_attributes
    def _named_outputs(self) -> list[str]:
        graph = self._graph
        makers = {number: graph.paths[call.layer] for call in graph.calls for number in call.outputs}
        names = [key or makers[number] for key, number in zip(paths(graph.nesting), graph.outputs, strict=True)]
        return _unique(names, names, "outputs")

    def _input_names(self):
        return self.input_names

    def _output_names(self):
        return self.output_names

    def _inputs(self, what):
        return Names(self._names, what, None, self._input_nesting, [self._names[i] for i in self._optional])

    @property
    def _target_nesting(self):
        return numbered(self._graph.nesting)

    def _named_layers(self):
        return list(zip(self._graph.paths, self._graph.layers, strict=True))

    def _entered(self, inputs, mask):
        given = self._inputs("inputs").split(inputs)
        missing = [i for i in self._optional if given[i] is None]
        for call in self._graph.calls if missing else ():
            if any(number in missing for number in leaves(call.x)):
                layer = self._graph.layers[call.layer].name
                raise ValueError(f"expected all inputs that {layer!r} takes first, got None for an optional one")
        arrays = [
            None if i in missing else validation.numbers(one, f"the input {self._names[i]!r}")
            for i, one in enumerate(given)
        ]
        if self.input_spec is not None:
            self.input_spec.check(inputs, self.name)
        self._check_shapes([None if array is None else array.shape for array in arrays])
        return arrays, self._inputs("mask").split(mask)

    # Shapes

    def _call_arguments(self, call, arguments, keywords):
        (name, inputs), *rest = super()._call_arguments(call, arguments, keywords).items()
        given = self._inputs("inputs").split(inputs)
        return {name: given[0] if len(given) == 1 else given} | dict(rest)

    def _shape(self, shape):
        if isinstance(shape, list) and len(shape) == len(self._names) and all(map(is_shape, shape)):
            shape = like_nested(self._input_nesting, shape.__getitem__)  # as `_input_shape` has them
        shapes = self._inputs("inputs").split(shape)
        found = [validation.shape(one, 1, "batch, …") for one in shapes]
        return found[0] if len(found) == 1 else found

    def _check_shape(self, shape):
        self._check_shapes(shape_leaves(shape))

    def _check_shapes(self, shapes):
        batch_sizes = {shape[0] for shape in shapes if shape and shape[0] is not None}
        for name, expected, shape in zip(self._names, self._shapes, shapes, strict=False):
            if shape is None:
                continue
            known = zip(expected, shape, strict=False)
            if len(shape) != len(expected) or any(None not in (a, b) and a != b for a, b in known):
                raise ValueError(f"expected the input {name!r} of shape {expected}, got {tuple(shape)}")
        if len(batch_sizes) > 1:
            found = ", ".join(f"{name!r} {shape[0]}" for name, shape in zip(self._names, shapes, strict=False))
            raise ValueError(f"expected inputs of one batch size, got {found}")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, a list of shapes for several."""
        shape = self._shape(input_shape)
        self._check_shape(shape)
        shapes: list = [*shape_leaves(shape), *self._shapes[len(self._names) :]]
        for call in self._graph.calls:
            given = shapes_given(self._graph.layers[call.layer], mapped(call.x, shapes.__getitem__), call.options)
            for number, one in zip(call.outputs, shape_leaves(given), strict=True):
                shapes[number] = one
        return like_nested(self._graph.nesting, shapes.__getitem__)

    @property
    def _takes_list(self):  # type: ignore[override]
        return len(self._names) > 1

    @property
    def _least_axes(self):  # type: ignore[override]
        return len(self._shapes[0])

    def _padding_of(self, shape):
        graph = self._graph
        read = [(graph.layers[call.layer], self._shapes[number]) for call in graph.calls for number in leaves(call.x)]
        return "masked" if all(layer._padding_of(shape) == "masked" for layer, shape in read) else "lengths"

    @property
    def _reverses_time(self):  # type: ignore[override]
        turned = [False] * len(self._shapes)
        for call in self._graph.calls:
            own = any(turned[number] for number in leaves(call.x)) != self._graph.layers[call.layer]._reverses_time[0]
            for number in call.outputs:
                turned[number] = own
        return [turned[number] for number in self._graph.outputs]

    # Parts and configuration

    def _parts(self):
        return dict(zip(self._graph.paths, self._graph.layers, strict=True))

    def get_config(self) -> Config:
        """Return layers, and the calls of them, as JSON values."""
        calls: list[dict[str, Any]] = []
        for c in self._graph.calls:
            calls.append({"layer": c.layer, "x": c.x, "more": c.more, "training": c.training})
            if c.options:
                calls[-1]["options"] = c.options
        config = super().get_config()
        del config["dtype"]
        if not is_flat(self._input_nesting) or isinstance(self._input_nesting, dict):
            config["nesting"] = self._input_nesting
        if operations := [i for i, layer in enumerate(self._graph.layers) if layer._is_operation]:
            config["operations"] = operations
        return config | {
            "inputs": self._input_configs,
            "layers": [serialize(layer) for layer in self._graph.layers],
            "calls": calls,
            "outputs": self._graph.nesting,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new model from what `get_config` gave; its layers are built, with new weights."""
        layers = [deserialize(layer) for layer in config["layers"]]
        for i in config.get("operations", ()):
            layers[i]._is_operation = True
        calls = [Call(**({"outputs": [], "over": []} | call)) for call in config["calls"]]
        inputs = [Input(**one) for one in config["inputs"]]
        tensors = called_again(inputs, layers, calls)
        outputs = like_nested(config["outputs"], tensors.__getitem__)
        inputs = like_nested(config["nesting"], inputs.__getitem__) if "nesting" in config else inputs
        made = cls(inputs, outputs, seed=config["seed"], name=config["name"])
        made.trainable = config.get("trainable", True)  # in those of Keras's names
        return made

    def _new_inputs(self, shape):
        return [Input(**one) for one in self._input_configs]

    # Display

    def _rows(self):
        rows = [("", "layer", "output shape", "parameters", "from")]
        rows += [(name, "Input", show_shape(s), "", "") for name, s in zip(self._names, self._shapes, strict=False)]
        names, seen = list(self._names), set()
        named = lambda numbers: ", ".join(names[number] for number in leaves(numbers))
        for call in self._graph.calls:
            layer, path = self._graph.layers[call.layer], self._graph.paths[call.layer]
            sources = [named(call.x), *(f"{name}={named(numbers)}" for name, numbers in call.more.items())]
            count = "shared" if call.layer in seen else parameters(layer)
            shape = show_shape([self._shapes[number] for number in call.outputs])
            rows.append((path, repr(layer), shape, count, ", ".join(sources)))
            names += [path] if len(call.outputs) == 1 else [f"{path}:{i}" for i in range(len(call.outputs))]
            seen.add(call.layer)
        return [*rows, ("", "all", "", parameters(self), "")]

    def _boxes(self):
        boxes = [
            Box(name, ("Input", show_shape(shape)), "input")
            for name, shape in zip(self._names, self._shapes, strict=False)
        ]
        makers = list(range(len(boxes)))
        arrows: dict[Arrow, None] = {}
        seen: set[int] = set()
        for call in self._graph.calls:
            place = len(boxes)
            for label, numbers in {"": call.x, **call.more}.items():
                arrows.update(dict.fromkeys(Arrow(makers[number], place, label) for number in leaves(numbers)))
            shape = self._shapes[call.outputs[0]]
            layer, path = self._graph.layers[call.layer], self._graph.paths[call.layer]
            boxes.append(box_of(layer, path, shape, call.layer in seen))
            makers += [place] * len(call.outputs)
            seen.add(call.layer)
        return boxes, list(arrows)

    def __repr__(self) -> str:
        return f"Model({', '.join(self._names)} → {', '.join(self.output_names)})"


def _tensors(given, what) -> list[SymbolicTensor]:
    found = leaves(given)
    for one in found:
        if not isinstance(one, SymbolicTensor):
            raise TypeError(f"expected {what} as a symbolic tensor or nested lists of them, got {type(one).__name__}")
    if not found:
        raise ValueError(f"expected at least one of {what}, got an empty list")
    return found


def _unique(names, defaults, what) -> list[str]:
    """Return the names, with a number behind a default one that occurs again."""
    own = [name for name, default in zip(names, defaults, strict=True) if name != default]
    if twice := [name for name, count in Counter(own).items() if count > 1]:
        raise ValueError(f"expected {what} of different names, got {twice[0]!r} twice")
    if slashed := [name for name in own if "/" in name]:
        raise ValueError(f"expected names of {what} without '/', got {slashed[0]!r}")
    free = FreeNames(own)
    return [free.take(name) if name == default else name for name, default in zip(names, defaults, strict=True)]
