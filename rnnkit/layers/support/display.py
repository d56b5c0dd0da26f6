"""The display of layers: lines, shapes, and the card that ``print`` and a notebook show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rnnkit.layers.support.device_transfer import device_of
from rnnkit.layers.support.layer_tree import held_by


class Text(str):
    """A string that shows its lines, not its quotes, where a session echoes it."""

    __slots__ = ()

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        from rnnkit.cards import Card
        from rnnkit.cards_html import page

        return page(Card("", lines=self))


def shown(text: Text) -> Text:
    """Print a text, unless this is a session, which shows what a call returns; return it."""
    if not hasattr(sys, "ps1"):
        print(text)
    return text


def show_shape(shape) -> str:
    """Return a shape, or several, as text: a dash for open sizes."""
    if isinstance(shape, (list, tuple)) and shape and all(size is None or isinstance(size, int) for size in shape):
        return "(" + ", ".join("–" if size is None else str(size) for size in shape) + ")"
    return ", ".join(show_shape(part) for part in shape)


def layer_card(layer, depth: int = 0, code: bool = True) -> Any:
    """Return the card of a layer: how it was made, its shapes, weights and states, and the layers inside.

    Nothing is built, compiled or copied for it. `depth` says how many layers this one is inside, `code`
    whether its card shows the code that makes it.
    """
    from rnnkit.cards import Card, parts_of, text_or_empty

    parts = layer._parts()
    return Card(
        type(layer).__name__,
        layer.name,
        text_or_empty(lambda: repr(layer)) if code else "",
        {name: text_or_empty(tell) for name, tell in _facts(layer).items()},
        _weights(layer),
        parts_of(parts, lambda path, below: parts[path]._card(below), depth),
    )


def how_compiled(layer) -> str:
    """Return how the steps inside are compiled, for layers that have any; of an ensemble, a member's."""
    if (execution := getattr(layer, "_execution", None)) is not None:
        return ", ".join(dict.fromkeys(str(one.how) for one in execution.executors.values()))
    parts = layer._parts()
    if layer._axes_in_front:
        return how_compiled(parts["0"])
    lines = ((path, how_compiled(part)) for path, part in parts.items())
    return "; ".join(f"{path}: {line}" for path, line in lines if line)


def shape_line(layer) -> str:
    """Return the shapes of a layer's inputs and outputs."""
    if layer._input_shape is None:
        return "not built"
    return f"{show_shape(layer._input_shape)} → {show_shape(layer.compute_output_shape(layer._input_shape))}"


def _facts(layer) -> dict[str, Callable[[], str]]:
    """Return the facts besides arguments and weights, as functions, since a user's code may raise."""
    cell, device = getattr(layer, "cell", None), device_of(layer)
    facts: dict[str, Callable[[], str]] = {
        "shape": lambda: shape_line(layer),
        "parameters": lambda: f"{layer.count_params():,}" if layer.built else "",
        "dtype": lambda: "" if layer.dtype is None else layer.dtype.name,
        "training": lambda: "" if layer.trainable else "not trained",
        "device": lambda: "" if device == "cpu" else device,
        "compiled": lambda: "" if layer._parts() else how_compiled(layer),
    }
    return facts if cell is None else facts | {"states": cell._states_line}


def _weights(layer):
    """Return a table of a layer's own weights and their options."""
    from rnnkit.cards import DECLARED, table_of

    if not layer.built:
        cell = getattr(layer, "cell", None)
        return table_of(DECLARED, [] if cell is None else cell._declared_weights())
    own = held_by(layer)
    arrays, weight_options, sparse = dict(own.arrays()), own.options(), own.sparse()
    arrays |= {} if (cell := own.cell) is None else cell._complex_weights()
    rows = []
    for name, array in arrays.items():
        traits = ["sparse"] * (name in sparse)
        traits += ["not trained"] * (name in weight_options and not weight_options[name].trainable)
        rows.append((name, str(array.shape), _dtype(array), ", ".join(traits)))
    return table_of(("weight", "shape", "dtype", ""), rows)


def _dtype(array) -> str:
    stored = getattr(array, "stored", None)
    return str(array.dtype) if stored is None else stored.kind
