"""Masks in Keras's and in rnnkit's models, as expressions that can be compared.

Keras computes masks by operations in a model's graph, such as ``Any(NotEqual(x, 0.0))`` after `Masking`; rnnkit's
layers pass masks on by themselves. A model is the same in both if the expressions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rnnkit.layers.activation_layers import Softmax
from rnnkit.layers.batch_normalization import BatchNormalization
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.dot import Dot
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.merging import Concatenate, Maximum, Merge, Minimum, Multiply
from rnnkit.layers.pooling import GlobalAveragePooling1D, OverTime
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Shaping
from rnnkit.models.assembled import Assembled

AXIS = ("Any", "Concatenate", "ExpandDims")  # operations with a relevant axis


READERS = (RNN, Bidirectional, BatchNormalization, GlobalAveragePooling1D, Assembled)  # layers that read masks


@dataclass(frozen=True, eq=False)
class Operation:
    """An operation, its operands (keys of tensors, numbers, operations, tuples) and its axis; made once by `Masks`."""

    name: str
    inputs: tuple
    axis: Any
    inside: bool  # whether it depends on the mask of a model inside


class Inside(NamedTuple):
    """An unknown mask, from a model inside Keras's graph."""

    layer: int


class Masks:
    """The expressions of one graph."""

    def __init__(self):
        self._known: dict[tuple, Operation] = {}

    def operation(self, name: str, *inputs, axis=None) -> Operation:
        key = (name, inputs, axis)
        if key not in self._known:
            self._known[key] = Operation(name, inputs, axis, any(map(holds_inside, _leaves(inputs))))
        return self._known[key]

    def behind(self, layer, x, masks):
        """Return the mask after a layer's call, or None; x is its input's key, `masks` the mask; or both are lists."""
        if isinstance(layer, Embedding) and layer.mask_zero:
            return self.operation("NotEqual", x, 0)
        if isinstance(layer, Masking):
            own = self.operation("Any", self.operation("NotEqual", x, layer.mask_value), axis=-1)
            return own if masks is None else self.operation("both", masks, own)
        if isinstance(layer, (RNN, Bidirectional)):
            return masks if layer.return_sequences else None
        if isinstance(layer, Concatenate):
            return self._joined(layer, x, masks)
        if isinstance(layer, (Shaping, OverTime, Conv1D, Dot)):
            return None
        if isinstance(layer, Merge):
            return self._any_of(masks)
        return Inside(id(layer)) if isinstance(layer, Assembled) else masks

    def _any_of(self, masks):
        if any(mask is None for mask in masks):
            return None
        found, *others = masks
        for mask in others:
            found = self.operation("LogicalOr", found, mask)
        return found

    def _joined(self, layer, x, masks):
        if all(mask is None for mask in masks):
            return None
        parts = []  # masks in the shapes of their arrays, all ones for an array without a mask
        for key, mask in zip(x, masks, strict=True):
            whole = self.operation("OnesLike" if mask is None else "ZerosLike", key)
            if mask is not None:
                whole = self.operation("LogicalOr", self.operation("ExpandDims", mask, axis=-1), whole)
            parts.append(whole)
        return self.operation("Any", self.operation("Concatenate", tuple(parts), axis=layer.axis), axis=-1)


def reads_values(layer) -> bool:
    """Return whether a layer's values depend on the masks of its steps in Keras only."""
    return isinstance(layer, (Maximum, Minimum, Multiply, Softmax))


def holds_inside(mask) -> bool:
    """Return whether an expression depends on the mask of a model inside."""
    return isinstance(mask, Inside) or (isinstance(mask, Operation) and mask.inside)


def padding_ids(mask):
    """Return the key of the ids if a mask is ``ids != 0``, otherwise None."""
    is_padding = isinstance(mask, Operation) and mask.name == "NotEqual" and len(mask.inputs) == 2
    return mask.inputs[0] if is_padding and mask.inputs[1] == 0 else None


def _leaves(inputs) -> list:
    """Return the operands of an operation, flattened."""
    nested = (_leaves(one) if type(one) is tuple else [one] for one in inputs)
    return [leaf for part in nested for leaf in part]


def masked_values(layer) -> ValueError:
    """Return the error for a layer whose values depend on masks in Keras only."""
    return ValueError(
        f"expected no mask before the {type(layer).__name__} {layer.name!r}: Keras leaves out values of masked steps "
        "there, rnnkit doesn't"
    )
