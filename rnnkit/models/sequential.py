"""Sequential: layers one after the other, with masks passed on."""

from __future__ import annotations

from typing import Any, Self

from rnnkit.hints import Config, CustomObjects, DType, Seed, Shape
from rnnkit.layers.base import Layer
from rnnkit.layers.stream import Stream
from rnnkit.layers.support import validation
from rnnkit.layers.support.display import show_shape
from rnnkit.layers.support.facts import takes_sequences
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with
from rnnkit.layers.support.seeds import inherit_seeds
from rnnkit.layers.support.sequence_calls import least_axes, nests
from rnnkit.layers.support.symbolic import Input, SymbolicTensor, input_config, precision
from rnnkit.models.assembled import box_of, parameters
from rnnkit.models.calls import Calls, chain
from rnnkit.models.drawing import Arrow, Box
from rnnkit.models.graph_model import GraphModel, Symbols
from rnnkit.serialization.configuration import deserialize, serialize

_SHOWN = 40  # layers in the code of a model


class Sequential(GraphModel):
    """Layers one after the other.

    It equals::

        for layer in layers:
            x, mask = layer(x, mask=mask, training=training), layer.compute_mask(x, mask)

    Parameters
    ----------
    layers : list of layers, optional
        More come with `add`. An `Input` before them says the shape, and builds each as it comes.
    dtype : {"float32", "float64"}, optional
        For the layers that have none of their own.
    seed : int, optional
        Layers without a seed of their own get one spawned from it.
    name : str, optional

    Notes
    -----
    Weights are named by position: ``0/kernel``, ``1/forward/kernel``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> model = rk.Sequential([rk.Masking(), rk.GRU(4), rk.Dense(1)], seed=0)
    >>> model(np.ones((2, 5, 3))).shape
    (2, 1)
    """

    def __init__(self, layers: Any = None, *, dtype: DType = None, seed: Seed = None, name: str | None = None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.layers: list[Layer] = []
        self._input: SymbolicTensor | None = None
        self._chain: Calls | None = None  # the graph of the layers, once they are built
        for layer in layers or []:
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Append a layer, or set the model's input by an `Input`.

        Raises
        ------
        ValueError
            Once the model is built by anything else than an `Input`; for an `Input` behind other layers; and for a
            layer that can't take the output of the one before.
        """
        if isinstance(layer, SymbolicTensor):
            if self.layers or self._input is not None or layer.node.layer is not None:
                raise ValueError("expected one Input, before all layers")
            self._input = layer
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"expected a layer, got {layer!r}")
        if self.built and self._input is None:
            raise ValueError("expected layers to be added before the model is built")
        self.layers.append(layer)
        self._open_axes = self.layers[0]._open_axes
        self._pass_seed_on()
        if self._input is not None:
            built, self.built = self.built, False
            try:
                build_with(self, self._input.shape, self.dtype or precision([self._input]))
            except BaseException:
                self.layers.pop()
                self.built: bool = built
                raise

    def pop(self) -> Layer:
        """Take away the last layer, with its weights; a compiled model is to be compiled again.

        Returns
        -------
        Layer
            The one that was there.

        Raises
        ------
        ValueError
            If there is none.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> model = rk.Sequential([rk.GRU(4), rk.Dense(1)])
        >>> y = model(np.ones((2, 5, 3)))
        >>> model.pop()
        Dense(1)
        >>> model(np.ones((2, 5, 3))).shape
        (2, 4)
        """
        if not self.layers:
            raise ValueError(f"expected a layer in {self.name!r} to take away, got none")
        layer = self.layers.pop()
        self._compiled, self._symbols = None, Symbols()
        self.built = self.built and bool(self.layers)
        return layer

    @property
    def _graph(self) -> Calls:  # type: ignore[override]
        if self._chain is None or self._chain.layers != self.layers:
            self._chain = chain(self.layers, self.compute_output_shape(self._input_shape))
        return self._chain

    def _new_inputs(self, shape):
        return [Input(batch_shape=shape, dtype=self.dtype) if self._input is None else self._input]

    def _entered(self, inputs, mask):
        if not self.layers:
            raise ValueError("expected a model with at least one layer, got none")
        x = validation.numbers(inputs, "x", self._reads_complex)
        if not self.built:
            build_with(self, x.shape, self.dtype or validation.precision_of(x))
        return [x], [mask]

    def stream(self, batch: Any = 1) -> Stream:
        """Return a stream, as `Model.stream`; a model of built layers is built for the first one's input."""
        if not self.built and self.layers and all(layer.built for layer in self.layers):
            build_with(self, self.layers[0]._input_shape, self.dtype or self.layers[0].dtype)
        return super().stream(batch)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the last layer's output shape."""
        shape = input_shape
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    @property
    def _takes_list(self):  # type: ignore[override]
        return not self.layers or not takes_sequences(self.layers[0])

    @property
    def _least_axes(self):  # type: ignore[override]
        return least_axes(self.layers[0]) if self.layers else None

    def _nests(self, value):
        return bool(self.layers) and nests(self.layers[0], value)

    def _padding_of(self, shape):
        for layer in self.layers:
            if layer._padding_of(shape) != "masked":
                return "lengths"
            shape = layer.compute_output_shape(shape)
        return "masked"

    @property
    def _reverses_time(self):  # type: ignore[override]
        turned = [False]
        for layer in self.layers:
            turned = [turned[0] != own for own in layer._reverses_time]
        return turned

    def _rows(self):
        rows, shape = [("", "layer", "output shape", "parameters")], self._input_shape
        for i, layer in enumerate(self.layers):
            shape = None if shape is None else layer.compute_output_shape(shape)
            rows.append((str(i), repr(layer), "–" if shape is None else show_shape(shape), parameters(layer)))
        return [*rows, ("", "all", "", parameters(self))] if self.built else rows

    def _boxes(self):
        shape = self._input_shape
        boxes = [Box("x", ("Input", "–" if shape is None else show_shape(shape)), "input")]
        for layer in self.layers:
            shape = None if shape is None else layer.compute_output_shape(shape)
            boxes.append(box_of(layer, layer.name, shape))
        return boxes, [Arrow(i, i + 1) for i in range(len(self.layers))]

    def _build(self, shape):
        dtype = self.dtype
        with all_or_nothing(self):
            for i, layer in enumerate(self.layers):
                build_with(layer, shape, layer.dtype or dtype)
                shape, dtype = layer.compute_output_shape(shape), layer.dtype
                if i < len(self.layers) - 1 and shape and isinstance(shape[0], tuple):
                    raise ValueError(f"expected one array from layer {i} ({layer.name}), got {len(shape)}")
            self._chain = chain(self.layers, shape)

    def _check_shape(self, shape):
        if self.layers:
            self.layers[0]._check_shape(shape)

    def _parts(self):
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def _pass_seed_on(self):
        if self._given_seed is not None:
            inherit_seeds(self, self.layers)

    def get_config(self) -> Config:
        """Return the layers' configurations."""
        return super().get_config() | {
            "input": None if self._input is None else input_config(self._input),
            "layers": [serialize(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new model from what `get_config` gave, built if it begins with an `Input`."""
        layers = [deserialize(layer) for layer in config["layers"]]
        given = config.get("input")
        first = [] if given is None else [Input(**given)]
        return cls([*first, *layers], **{name: config[name] for name in ("dtype", "seed", "name")})

    def __repr__(self) -> str:
        shown = [repr(layer) for layer in self.layers[:_SHOWN]]
        shown += [f"… {len(self.layers) - _SHOWN} more"] * (len(self.layers) > _SHOWN)
        return f"Sequential([{', '.join(shown)}])"
