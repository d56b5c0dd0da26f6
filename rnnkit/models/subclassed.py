"""Models as user's classes with a `call`: the layers of `subclassed_layer` with the methods of models."""

from __future__ import annotations

from rnnkit.layers.base import Layer
from rnnkit.models.assembled import Assembled, box_of, parameters
from rnnkit.models.drawing import Arrow, Box
from rnnkit.models.subclassed_layer import SubclassedLayer

__all__ = ["SubclassedLayer", "SubclassedModel"]


class SubclassedModel(SubclassedLayer, Assembled):
    """Base of models that are written as classes, as in Keras: as `SubclassedLayer`, to be compiled and fitted.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.models.subclassed import SubclassedModel
    >>> class Regressor(SubclassedModel):
    ...     def __init__(self, units):
    ...         super().__init__(seed=0)
    ...         self.recurrent, self.head = rk.GRU(units), rk.Dense(1)
    ...     def call(self, inputs, training=None):
    ...         return self.head(self.recurrent(inputs, training=training))
    >>> x = np.ones((8, 5, 2), "float32")
    >>> model = Regressor(4)
    >>> model.compile("adam", "mse")
    >>> history = model.fit(x, x[:, 0, :1], epochs=2, verbose=0)
    >>> model.predict(x).shape
    (8, 1)
    """

    _given_names: tuple[list, list] = (["x"], ["output"])
    _stream_refusal = "is a class of its own, which is called on whole sequences"

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, *arguments, **keywords) -> None:
        """Compile as `rnnkit.Model.compile`; lists or dicts of losses set the number of outputs."""
        several = loss if isinstance(loss, (list, tuple, dict)) else [loss]
        names = list(several) if isinstance(several, dict) else _numbered("output", len(several))
        self._given_names = self._given_names[0], names
        super().compile(optimizer, loss, loss_weights, metrics, *arguments, **keywords)

    def _input_names(self):
        return self._given_names[0]

    def _output_names(self):
        return self._given_names[1]

    def _source(self, x, *arguments):
        self._name_inputs(x)
        return super()._source(x, *arguments)

    def predict(self, x, *arguments, **keywords):
        """Compute the outputs as `rnnkit.Model.predict`."""
        self._name_inputs(x)
        return super().predict(x, *arguments, **keywords)

    def _name_inputs(self, x) -> None:
        """Set the number of inputs by the data that the model is trained on."""
        if isinstance(x, (list, tuple)) and len(x) > 1 and all(getattr(one, "ndim", 0) for one in x):
            self._given_names = _numbered("x", len(x)), self._given_names[1]

    def _goes_across(self, inputs):
        return False

    @property
    def layers(self) -> list[Layer]:  # type: ignore[override]
        """The layers that are its attributes, also in lists and dicts."""
        return list(self._parts().values())

    def _named_layers(self):
        return [(name, one) for path, one in self._parts().items() for name in dict.fromkeys((path, one.name))]

    def _rows(self):
        rows = [("", "layer", "parameters")]
        rows += [(path, repr(layer), parameters(layer)) for path, layer in self._parts().items()]
        own = sum(array.size for array in self._own_arrays().values())
        rows += [("", "weights of its own", f"{own:,}")] if own else []
        return [*rows, ("", "all", parameters(self))]

    def _boxes(self):
        boxes = [Box("x", ("Input", "–"), "input")]
        boxes += [box_of(layer, path, None) for path, layer in self._parts().items()]
        return boxes, [Arrow(i, i + 1) for i in range(len(boxes) - 1)]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
