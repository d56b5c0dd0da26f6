"""Keras's models: Sequential and Model."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import accumulate, cycle
from weakref import WeakKeyDictionary

import numpy as np

from rnnkit.keras import settings
from rnnkit.keras.arguments import first_shape
from rnnkit.keras.inputs import Input, InputLayer
from rnnkit.keras.order import keras_order
from rnnkit.keras.training import KerasModel
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.support.facts import built_shape, is_operation, record_up_to
from rnnkit.layers.support.layer_tree import build_with, held_by
from rnnkit.layers.support.symbolic import SymbolicTensor, leaves
from rnnkit.models import functional, sequential
from rnnkit.models.assembled import Assembled
from rnnkit.models.calls import Call, Calls
from rnnkit.models.subclassed import SubclassedModel
from rnnkit.steps.nesting import mapped, numbered
from rnnkit.training.batches import Names

_ORDERS: WeakKeyDictionary[Calls, list[int]] = WeakKeyDictionary()  # of the layers of graphs


class Sequential(KerasModel, sequential.Sequential):
    """Layers one after the other, as `rnnkit.Sequential`; the first one may say the shape of its input.

    Examples
    --------
    >>> from rnnkit import keras
    >>> model = keras.Sequential()
    >>> model.add(keras.layers.LSTM(4, input_shape=(10, 3)))
    >>> model.add(keras.layers.Dense(1))
    >>> model.output_shape
    (None, 1)
    """

    _configured_as = sequential.Sequential

    def __init__(self, layers=None, trainable=True, name=None, *, dtype=None, seed=None):
        super().__init__(
            dtype=dtype,
            seed=settings.next_seed() if seed is None else seed,
            name=name or settings.auto_name("Sequential"),
        )
        self.trainable = bool(trainable)
        for layer in layers or []:
            self.add(layer)

    def add(self, layer, rebuild=True) -> None:
        """Append a layer, or set the model's input by an `Input`."""
        if not self.layers and self._input is None and not isinstance(layer, SymbolicTensor):
            is_built_model = isinstance(layer, Assembled) and layer.built
            shape = first_shape(layer) or (built_shape(layer) if is_built_model else None)
            if shape is not None:
                super().add(Input(batch_shape=shape, dtype=layer.dtype))
        super().add(layer)

    def _build(self, shape):
        super()._build(shape)
        self._symbols = self._called_on(self._new_inputs(shape))

    def pop(self, rebuild=True):
        """Take the last layer away, and return it.

        Raises
        ------
        ValueError
            If there is none.
        """
        compiled, layer = self._compiled, super().pop()
        self._compiled = compiled
        return layer


class Functional(KerasModel, functional.Model):
    """A model from inputs to outputs, as `rnnkit.Model`."""

    _configured_as = functional.Model
    _in_order = True  # whether a dict of inputs had its keys in the order in which a list of them is read

    def __init__(self, inputs, outputs, name=None, *, trainable=True, seed=None):
        self._in_order = not isinstance(inputs, dict) or list(inputs) == sorted(inputs)
        super().__init__(
            in_order_of_keys(inputs),
            mapped(in_order_of_keys(outputs), partial(_not_one_of, leaves(inputs))),
            name or settings.auto_name("Functional"),
            seed=settings.next_seed() if seed is None else seed,
        )
        self.trainable = bool(trainable)

    @property
    def layers(self) -> list:  # type: ignore[override]
        """All layers, in Keras's order, with an `InputLayer` for each input, and without operations on tensors."""
        symbols = self._symbolic()
        if not symbols.layers:
            inside = self._layers_inside
            given = [Call(len(inside) + i, [], {}, None, [i], []) for i in range(len(symbols.inputs))]
            all_layers = [*inside, *map(InputLayer.of, symbols.inputs)]
            calls = [*given, *self._graph.calls]
            placed = (all_layers[place] for place in keras_order(calls, self._graph.outputs))
            symbols.layers = [one for one in placed if not is_operation(one)]
        return list(symbols.layers)

    def _keras_order(self, count):
        counts = [len(layer.weights) for layer in self._layers_inside]
        ends = list(accumulate(counts))
        if self._graph not in _ORDERS:
            _ORDERS[self._graph] = keras_order(self._graph.calls, self._graph.outputs)
        return [i for place in _ORDERS[self._graph] for i in range(ends[place] - counts[place], ends[place])]

    def get_layer(self, name=None, index=None):
        """Return a layer as `rnnkit.Model.get_layer` does, an `InputLayer` by its name too."""
        found = [one for one in self.layers if isinstance(one, InputLayer) and one.name == name]
        return found[0] if found else super().get_layer(name, index)

    def _nestings(self):
        return self._input_nesting, numbered(self._graph.nesting)

    def _inputs(self, what):
        return _Known(self, what)

    def _as_given(self, arrays):
        return mapped(self._input_nesting, arrays.__getitem__)

    def _call_arguments(self, call, arguments, keywords):
        (name, given), *rest = super()._call_arguments(call, arguments, keywords).items()
        return {name: self._as_given(given if len(self._names) > 1 else [given])} | dict(rest)


class _Known(Names):
    """Names of inputs, of which more may be given than there are; an axis of length 1 at the end may be left out."""

    def __init__(self, model, what):
        free = [model._names[i] for i in model._optional]
        super().__init__(model._names, what, None, model._input_nesting, free)
        self.in_order = model._in_order
        self.ranks = [len(shape) for shape in model._shapes[: len(self.names)]] if what != "mask" else [None]

    def split(self, given):
        """Return a list with an entry per name, as `Names.split`."""
        if not self.in_order and isinstance(given, (list, tuple)):
            named = ", ".join(map(repr, self.names))
            raise ValueError(f"expected {self.what} as a dict of {named}, got a list, whose order could be another one")
        if isinstance(given, Mapping) and self.nesting is None and set(self.names) < set(given):
            more = sorted(set(given) - set(self.names))
            warnings.warn(f"inputs that the model doesn't have are left out: {', '.join(more)}", stacklevel=2)
            given = {name: given[name] for name in self.names}
        return [_of_rank(one, rank) for one, rank in zip(super().split(given), cycle(self.ranks), strict=False)]


def _of_rank(array, rank):
    """Return an array with a last axis of length 1 more or less, where that gives it this rank."""
    if not isinstance(array, np.ndarray) or rank is None or array.ndim not in (rank - 1, rank + 1):
        return array
    if array.ndim < rank:
        return array[..., None]
    return array[..., 0] if array.shape[-1] == 1 else array


def _not_one_of(inputs, tensor):
    """Return a symbolic tensor that is no input."""
    return Activation("linear")(tensor) if any(tensor is one for one in inputs) else tensor


def in_order_of_keys(nested):
    """Return nested lists, tuples and dicts, each dict in the order of its keys."""
    if isinstance(nested, dict):
        return {key: in_order_of_keys(nested[key]) for key in sorted(nested)}
    return type(nested)(map(in_order_of_keys, nested)) if type(nested) in (list, tuple) else nested


class Model(KerasModel, SubclassedModel, ABC):
    """``Model(inputs, outputs)`` is a model from symbolic inputs to outputs; one's own is a subclass with a `call`.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit import keras
    >>> x = keras.Input((None, 3))
    >>> keras.Model(inputs=x, outputs=keras.layers.GRU(4)(x)).predict(np.ones((2, 5, 3)), verbose=0).shape
    (2, 4)
    """

    functional: Functional | None = None  # of a subclass that is made of inputs and outputs

    def __new__(cls, *arguments, **keywords):
        """Make a `Functional`, or a model of a program's subclass."""
        made_of = bool(arguments) or bool(keywords.keys() & {"inputs", "outputs"})
        if cls is Model and made_of:
            return Functional(*arguments, **keywords)
        return super().__new__(cls, *arguments, **keywords)

    @classmethod
    def __subclasshook__(cls, kind):
        """Return whether it is a class of models, all of which are instances."""
        return issubclass(kind, Assembled) if cls is Model else NotImplemented

    def __init__(self, *arguments, trainable=True, dtype=None, seed=None, name=None, **keywords):
        unknown = sorted(set(keywords) - {"inputs", "outputs"})
        own = type(self).call is not Model.call
        if unknown or len(arguments) > 2 or (own and (arguments or keywords)):
            raise TypeError(
                f"expected no {', '.join(unknown or keywords) or 'positional arguments'} of keras.Model.__init__ in a "
                "subclass with a call; call keras.Model(inputs, outputs), or define call"
            )
        super().__init__(
            trainable=trainable,
            dtype=settings.precision(dtype),
            seed=settings.next_seed() if seed is None else seed,
            name=name or settings.auto_name(type(self).__name__),
        )
        if arguments or keywords:
            made_of = dict(zip(("inputs", "outputs"), arguments, strict=False)) | keywords
            self.functional = Functional(**made_of, name=f"{self.name}_graph", seed=self.seed)
            record_up_to(self.functional, 1 << 26)  # of steps of its own, which are repeated as those of fit are
            build_with(self, built_shape(self.functional), self.dtype)

    def call(self, inputs, training=False, mask=None):
        """Return the outputs of the model's graph; a subclass without inputs and outputs defines its own."""
        if self.functional is None:
            raise NotImplementedError(f"expected {type(self).__name__} to define call(self, inputs)")
        return self.functional(inputs, training=training, mask=mask)

    def vjp(self, *arguments, **keywords):
        """Do as `SubclassedLayer.vjp`."""
        if self.functional is None or type(self).call is not Model.call:
            return super().vjp(*arguments, **keywords)
        outputs, inner = self.functional.vjp(*arguments, **keywords)  # which repeats recordings

        def back(pull):
            def run(cotangents):
                found = pull(cotangents)
                return replace(found, weights={f"functional/{name}": one for name, one in found.weights.items()})

            return run

        return outputs, inner.around(outputs, back)

    inputs = property(lambda self: self._made_of().inputs)
    outputs = property(lambda self: self._made_of().outputs)

    @property
    def layers(self) -> list:  # type: ignore[override]
        """The layers between inputs and outputs, and those that are attributes."""
        own = [one for one in super().layers if one is not self.functional]
        return own if self.functional is None else [*self.functional.layers, *own]

    def get_layer(self, name=None, index=None):
        """Return a layer by its name or its place in `layers`."""
        return super().get_layer(name, index) if self.functional is None else self.functional.get_layer(name, index)

    @property
    def _interface(self):
        return self if self.functional is None else self.functional

    def _nestings(self):
        return self._made_of()._nestings()

    def _rows(self):
        return super()._rows() if self.functional is None else self.functional._rows()

    def _made_of(self) -> Functional:
        if self.functional is None:
            raise AttributeError(f"expected {self.name!r} to be made of inputs and outputs; its call has symbolic ones")
        return self.functional

    def _keras_order(self, count):
        places, first = list(range(count)), len(held_by(self).arrays())
        inside = [] if self.functional is None else [first + i for i in self.functional._keras_order(count)]
        return [*places[:first], *inside, *places[first + len(inside) :]]

    def get_config(self):
        """Return the configuration; for a model made of inputs and outputs that of `Functional`."""
        return super().get_config() if self.functional is None else self.functional.get_config() | {"name": self.name}

    @classmethod
    def from_config(cls, config):  # type: ignore[override]
        """Return a model from what `get_config` gave."""
        if "inputs" not in config or "layers" not in config:
            return super().from_config(config)
        made = Functional.from_config(config)
        own = {name: value for name, value in config.items() if name not in made.get_config()}
        return cls(inputs=made.input, outputs=made.output, name=config["name"], **own)
