"""Sequential: layers one after the other, with masks passed on."""

from __future__ import annotations

from rnnkit.configuration import deserialize, serialize
from rnnkit.layers import edge
from rnnkit.layers.base import Layer
from rnnkit.layers.faces import Text, show_shape
from rnnkit.layers.pullback import Gradients, Pullback, options
from rnnkit.training.trainable import Trainable


class Sequential(Trainable):
    """Layers one after the other; it equals::

        for layer in layers:
            x, mask = layer(x, mask=mask, training=training), layer.compute_mask(x, mask)

    Parameters
    ----------
    layers : list of layers, optional
        More come with `add`.
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

    def __init__(self, layers=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.layers: list[Layer] = []
        for layer in layers or []:
            self.add(layer)

    def add(self, layer) -> None:
        """Append a layer.

        Raises
        ------
        ValueError
            Once the model is built.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"expected a layer, got {layer!r}")
        if self.built:
            raise ValueError("expected layers to be added before the model is built")
        self.layers.append(layer)
        self._open_axes = self.layers[0]._open_axes
        self._seed_parts()

    def __call__(self, inputs, mask=None, training=False):
        """Run x through all layers; the first one says what it has to be.

        Raises
        ------
        ValueError, TypeError
            As the layers raise them; no layer is changed then.
        """
        return self._with_mask(inputs, mask, training)[0]

    def vjp(self, inputs, mask=None, training=False, *, checkpoint=None, truncate=None):
        """A call, and the function that takes cotangents of its result back through all layers.

        Parameters
        ----------
        inputs, mask, training
            As in a call.
        checkpoint, truncate
            As in `RNN.vjp`, for the layers that run along time.

        Returns
        -------
        outputs
            The same bits as the call's.
        pullback : callable
            ``pullback(d_outputs)``, with cotangents nested as `outputs` (None for zeros), gives `Gradients`:
            ``weights`` (dict by name), ``x``, None for ids, and ``initial_state``, an entry per stateful layer.

        Raises
        ------
        ValueError, TypeError
            As a call; and for a layer whose gradient isn't known.

        Examples
        --------
        >>> import numpy as np, rnnkit as rk
        >>> model = rk.Sequential([rk.Embedding(10, 3, mask_zero=True), rk.GRU(4), rk.Dense(1)], seed=0)
        >>> y, pullback = model.vjp([[1, 2, 0], [3, 1, 4]])
        >>> gradient = pullback(np.ones_like(y))
        >>> gradient.weights["0/embeddings"].ids.tolist(), gradient.weights["1/kernel"].shape
        ([0, 1, 2, 3, 4], (3, 12))
        """
        outputs, _, pullback = self._vjp_with_mask(inputs, mask, training, options(checkpoint, truncate))
        return outputs, pullback

    def _with_mask(self, inputs, mask, training):
        with self._all_or_nothing():
            x = self._built_for(inputs)
            for layer in self.layers:
                x, mask = layer._with_mask(x, mask, training)
        return x, mask

    def _vjp_with_mask(self, inputs, mask, training, wanted):
        pullbacks = []
        with self._all_or_nothing():
            x = self._built_for(inputs)
            for layer in self.layers:
                x, mask, pullback = layer._vjp_with_mask(x, mask, training, wanted)
                pullbacks.append(pullback)
        stateful = [i for i, layer in enumerate(self.layers) if getattr(layer, "stateful", False)]

        def pull(cotangents, first=0, x=True):
            found: dict[int, Gradients] = {}
            for i in range(len(pullbacks) - 1, first - 1, -1):
                found[i] = (pullbacks[i].pull if x or i > first else pullbacks[i].pull_weights)(cotangents)
                if i > first:
                    cotangents = pullbacks[i - 1].flat(found[i].x)
            weights = {f"{i}/{n}": array for i in sorted(found) for n, array in found[i].weights.items()}
            states = [found[i].initial_state for i in stateful if i in found]
            return Gradients(weights, found[first].x, states or None)

        def pull_weights(cotangents):
            trained = [i for i, layer in enumerate(self.layers) if any(t.trainable for t in layer._traits().values())]
            return pull(cotangents, min(trained, default=len(pullbacks) - 1), False)

        return x, mask, Pullback(x, pullbacks[-1].dtype, pull, pull_weights)

    def _watched(self, x):
        mask = None
        for i, layer in enumerate(self.layers):
            x, mask = layer._with_mask(x, mask, False)
            yield f"the output of layer {i} ({layer.name})", x

    def _built_for(self, inputs):
        """The inputs as an array, which the model is built for from here on."""
        if not self.layers:
            raise ValueError("expected a model with at least one layer, got none")
        x = edge.array(inputs, "x")
        if not self.built:
            self._build_with(x.shape, self.dtype or edge.precision_of(x))
        return x

    def compute_output_shape(self, input_shape):
        """The last layer's output shape."""
        shape = input_shape
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def compute_mask(self, inputs, mask=None):
        """The mask that comes out behind the last layer."""
        kept = [(layer, layer._kept) for layer in self._all_layers() if hasattr(layer, "_kept")]
        try:  # a mask may depend on what a layer puts out, so all of them run, and leave no trace
            return self._with_mask(inputs, mask, False)[1]
        finally:
            for layer, states in kept:
                layer._kept = states

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters."""
        rows = [("", "layer", "output shape", "parameters")]
        shape = self._input_shape
        for i, layer in enumerate(self.layers):
            shape = None if shape is None else layer.compute_output_shape(shape)
            count = f"{layer.count_params():,}" if layer._is_built() else "not built"
            rows.append((str(i), repr(layer), "–" if shape is None else show_shape(shape), count))
        if self.built:
            rows.append(("", "all", "", f"{self.count_params():,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{n:<{widths[0]}}  {layer:<{widths[1]}}  {out:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
            for n, layer, out, count in rows
        ]
        lines.insert(1, "─" * max(map(len, lines)))
        return Text("\n".join([f"Sequential {self.name!r}", *lines]))

    def reset_states(self, states=None, rows=None) -> None:
        """Reset every stateful layer, all or none.

        Parameters
        ----------
        states : list, optional
            An entry per stateful layer, each as that layer's `reset_states` takes it.
        rows : sequence of int, optional
            Reset these rows of the batch only.

        Raises
        ------
        ValueError
            If no layer is stateful, or as the layers raise.
        """
        self._keep(self._reset(states, rows))

    reset_state = reset_states

    @property
    def stateful(self) -> bool:
        """Whether any layer keeps its states between calls."""
        return bool(self._resettable())

    def _resettable(self):
        return [layer for layer in self.layers if getattr(layer, "stateful", False)]

    def _reset(self, states, rows):
        layers = self._resettable()
        if not layers:
            raise ValueError(f"expected a stateful layer to reset; none in {self.name!r} is")
        if states is None:
            states = [None] * len(layers)
        elif not isinstance(states, (list, tuple)) or len(states) != len(layers):
            raise ValueError(f"expected states as a list of {len(layers)}, one entry per stateful layer")
        return [layer._reset(own, rows) for layer, own in zip(layers, states, strict=True)]

    def _keep(self, kept):
        for layer, own in zip(self._resettable(), kept, strict=True):
            layer._keep(own)

    def _build(self, shape):
        dtype = self.dtype
        with self._all_or_nothing():
            for i, layer in enumerate(self.layers):
                layer._build_with(shape, layer.dtype or dtype)
                shape, dtype = layer.compute_output_shape(shape), layer.dtype
                if i < len(self.layers) - 1 and shape and isinstance(shape[0], tuple):
                    raise ValueError(f"expected one array from layer {i} ({layer.name}), got {len(shape)}")

    def _check_shape(self, shape):
        if self.layers:
            self.layers[0]._check_shape(shape)

    def _parts(self):
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def _adopt_seed(self, sequence):
        super()._adopt_seed(sequence)
        self._seed_parts()

    def _seed_parts(self):
        if self._given_seed is not None:
            for layer, own in zip(self.layers, self._seeds_for_parts(len(self.layers)), strict=True):
                layer._inherit_seed(own)

    def get_config(self):
        """The layers' configurations."""
        return {"layers": [serialize(layer) for layer in self.layers]} | super().get_config()

    @classmethod
    def from_config(cls, config):
        """A new model, not built, from what `get_config` gave."""
        return cls(**(config | {"layers": [deserialize(layer) for layer in config["layers"]]}))

    def __repr__(self):
        return f"Sequential([{', '.join(map(repr, self.layers))}])"
