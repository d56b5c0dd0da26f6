"""Models as user's classes with a `call`: the layers of `subclassed_layer` with the methods of models."""

from __future__ import annotations

from typing import Any

from rnnkit.layers.base import Layer
from rnnkit.layers.support.layer_tree import held_by
from rnnkit.layers.support.symbolic import leaves
from rnnkit.models.assembled import Assembled, box_of, parameters
from rnnkit.models.call_arguments import nested_arrays
from rnnkit.models.drawing import Arrow, Box
from rnnkit.models.subclassed_layer import SubclassedLayer
from rnnkit.steps.nesting import leaves_of, mapped, numbered, paths
from rnnkit.training.batches import Names

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

    _output_names_given: tuple[str, ...] = ("output",)
    _input_nesting: Any = 0  # as the model was called in training
    _stream_refusal = "is a class of its own, which is called on whole sequences"

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, *arguments, **keywords) -> None:
        """Compile as `rnnkit.Model.compile`; lists or dicts of losses set the number of outputs."""
        several = loss if isinstance(loss, (list, tuple, dict)) else [loss]
        self._output_names_given = tuple(several if isinstance(several, dict) else _numbered("output", len(several)))
        super().compile(optimizer, loss, loss_weights, metrics, *arguments, **keywords)

    def _input_names(self):
        keys = paths(self._input_nesting)
        return [key or name for key, name in zip(keys, _numbered("x", len(keys)), strict=True)]

    def _output_names(self):
        return list(self._output_names_given)

    def _inputs(self, what):
        return _AsGiven(self, what)

    def _as_given(self, arrays):
        return mapped(self._input_nesting, arrays.__getitem__)

    def _across(self, inputs, mask, training, wanted=None):
        outputs, masks, pullback = self._with_mask(inputs, mask, training, wanted=wanted)
        places = self._places(outputs)
        if places is None:
            return outputs, masks, pullback
        count, found, masks = len(leaves(outputs)), _picked(outputs, places), _picked(masks, places)
        if wanted is None:
            return found, masks, None

        def back(pull):
            def run(cotangents):
                given = dict(zip(places, cotangents, strict=True))
                return pull([given.get(i) for i in range(count)])

            return run

        return found, masks, pullback.around(found, back, self.dtype)

    def _places(self, outputs) -> list[int] | None:
        """Return the places of the outputs that have a loss among all by name; None of outputs without names."""
        keys, names = paths(outputs), self._interface._output_names()
        return [keys.index(name) for name in names] if set(names) <= set(keys) else None

    @property
    def layers(self) -> list[Layer]:  # type: ignore[override]
        """The layers that are its attributes, also in lists and dicts."""
        return list(self._parts().values())

    def _named_layers(self):
        return [(name, one) for path, one in self._parts().items() for name in dict.fromkeys((path, one.name))]

    def _rows(self):
        rows = [("", "layer", "parameters")]
        rows += [(path, repr(layer), parameters(layer)) for path, layer in self._parts().items()]
        own = sum(array.size for array in held_by(self).arrays().values())
        rows += [("", "weights of its own", f"{own:,}")] if own else []
        return [*rows, ("", "all", parameters(self))]

    def _boxes(self):
        boxes = [Box("x", ("Input", "–"), "input")]
        boxes += [box_of(layer, path, None) for path, layer in self._parts().items()]
        return boxes, [Arrow(i, i + 1) for i in range(len(boxes) - 1)]


class _AsGiven(Names):
    """Names of inputs as they are given: of the first batch or array, for the model's calls."""

    def __init__(self, model, what):
        super().__init__(["x"], what)
        self.model = model

    def split(self, given):
        """Return the arrays of nested ones."""
        if given is None:
            return [None]
        given = nested_arrays(given)
        vars(self.model)["_input_nesting"] = numbered(given)  # setting an attribute would have `call` read anew
        return leaves(given)

    def all(self, given):
        """Return the arrays of nested ones; a ValueError for None."""
        if given is None:
            raise ValueError("expected x, got None")
        return self.split(given)


def _picked(nested, places) -> list:
    if nested is None:
        return [None] * len(places)
    flat = leaves_of(nested)
    return [flat[place] for place in places]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
