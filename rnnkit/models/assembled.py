"""Common parts of models: calls and gradients through their layers, and the states that they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from rnnkit.arguments import is_integer
from rnnkit.execution.host_fallback import to_gpu, to_host
from rnnkit.hints import Array
from rnnkit.layers.base import Layer, UsersOwn
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.merging import Merge
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import entry
from rnnkit.layers.support.added_losses import collecting
from rnnkit.layers.support.device_transfer import first_on_device
from rnnkit.layers.support.display import Text, layer_card, show_shape, shown
from rnnkit.layers.support.layer_tree import all_or_nothing
from rnnkit.models.drawing import Arrow, Box, drawing
from rnnkit.steps.nesting import mapped
from rnnkit.training.trainable import Trainable

_DRAWN = 20  # layers of a model that a notebook draws


class Assembled(Trainable):
    """Base of models; a subclass has `layers`, `_with_mask`, and says `_rows` and `_boxes`."""

    _native = True

    layers: list[Layer]
    _stream_refusal: str | None = None

    @property
    def _layers_inside(self) -> list[Layer]:
        """The layers of `layers`, without placeholders for inputs."""
        return self.layers

    _rows: Callable[[], list[tuple[str, ...]]]
    _boxes: Callable[[], tuple[list[Box], list[Arrow]]]

    def _named_layers(self) -> list[tuple[str, Layer]]:
        """Return the layers with the names that they are found by."""
        return [(one.name, one) for one in self.layers]

    def get_layer(self, name: str | None = None, index: Any = None) -> Layer:
        """Return a layer by its name in this model, the first of those with equal ones, or by its place in `layers`.

        Raises
        ------
        ValueError
            If there is none.
        """
        layers = self.layers
        if name is None:
            if not is_integer(index) or not -len(layers) <= index < len(layers):
                raise ValueError(f"expected a name, or an index below {len(layers)}, got {index!r}")
            return layers[index]
        named = self._named_layers()
        for known, layer in named:
            if known == name:
                return layer
        raise ValueError(f"expected a layer among {', '.join(known for known, _ in named)}; got {name!r}")

    def _call(self, inputs, mask, training, wanted=None):
        outputs, _, pullback = self._across(inputs, mask, training, wanted)
        return outputs if wanted is None else (outputs, pullback)

    # If all layers are on a GPU, host arrays are copied there and back once, rather than at every layer.

    def _across(self, inputs, mask, training, wanted=None):
        if not self._all_on_gpu() or not self.built or first_on_device(inputs) is not None:
            return self._with_mask(inputs, mask, training, wanted=wanted)
        inputs = mapped(inputs, partial(to_gpu, dtype=self.dtype))
        outputs, masks, inner = self._with_mask(inputs, mask, training, wanted=wanted)
        outputs, masks = mapped(outputs, to_host), mapped(masks, to_host)
        if wanted is None:
            return outputs, masks, None

        back = lambda pull: lambda cotangents: pull(cotangents).mapped(to_host)
        return outputs, masks, inner.around(outputs, back)

    def _all_on_gpu(self) -> bool:
        """Return whether each layer takes arrays of a GPU, those of the models inside too."""
        inside = self._layers_inside
        return bool(inside) and all(
            one._all_on_gpu() if isinstance(one, Assembled) else one.device == "cuda" for one in inside
        )

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask of the last layer's output; a list of them for several outputs."""
        with collecting(), all_or_nothing(self, is_tried=True):  # a mask may depend on outputs, so all layers run
            return self._with_mask(inputs, mask, False)[1]

    # Display

    def summary(self) -> str:
        """Print a table of layers, output shapes and numbers of parameters, and return it; a notebook draws it too.

        A notebook, or a session of Python, isn't printed to: it shows what is returned.
        """
        return shown(self._summary())

    def _summary(self):
        from rnnkit.cards import Card, columns, table_of

        heads, *rows = self._rows()
        kind = type(self).__name__
        found = Summary(f"{kind} {self.name!r}\n{columns([heads, *rows], {'parameters'})}")
        drawn = self._drawing() if len(self._parts()) <= _DRAWN else ""
        found.card = Card(kind, self.name, table=table_of(heads, rows, {"parameters"}, 2 * _DRAWN), picture=drawn)
        return found

    def _drawing(self) -> str:
        boxes, arrows = self._boxes()
        return drawing(boxes, arrows, f"{type(self).__name__} {self.name}")

    def _card(self, depth=0):
        from rnnkit.cards import text_or_empty

        card = layer_card(self, depth, code=False)  # its parts show it
        if depth or len(self._parts()) > _DRAWN:
            return card
        return replace(card, picture=text_or_empty(self._drawing))

    @property
    def _reads_complex(self):  # type: ignore[override]
        return bool(self._layers_inside) and self._layers_inside[0]._reads_complex

    @property
    def _reads_ids(self):  # type: ignore[override]
        return bool(self._layers_inside) and self._layers_inside[0]._reads_ids

    # States between calls

    def reset_states(self, states: Array = None, rows: Array = None) -> None:
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

    @UsersOwn
    def stateful(self) -> bool:
        """Return whether any layer keeps its states between calls."""
        return self._keeps_states

    @property
    def _keeps_states(self) -> bool:  # type: ignore[override]
        return bool(self._resettable())

    def _resettable(self):
        return [layer for layer in self._layers_inside if layer._keeps_states]

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


class Summary(Text):
    """A table as text, which a notebook shows with a drawing above."""

    card: Any

    def _repr_html_(self):
        from rnnkit.cards_html import page

        return page(self.card)


def parameters(layer) -> str:
    """Return the number of a layer's parameters as text."""
    return f"{layer.count_params():,}" if layer.built else "not built"


def box_of(layer, title: str, shape, shared: bool = False) -> Box:
    """Return the box of a layer's call in a drawing: its class, its number of parameters, and its output shape."""
    count = "shared" if shared else f"{parameters(layer)} parameters" if layer.built else "not built"
    kind = type(layer).__name__
    found = next((word for known, word in _KINDS if isinstance(layer, known)), "other")
    lines = (kind if count == "0 parameters" else f"{kind}, {count}", "–" if shape is None else show_shape(shape))
    return Box(title, lines, found)


_KINDS = (((RNN, Bidirectional), "recurrent"), (Merge, "merge"), (Assembled, "model"))
