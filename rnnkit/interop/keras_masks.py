"""Which mask a layer passes on, in Keras's and in rnnkit's models, as an expression that can be compared.

Keras computes masks by operations that stand in a model's graph: ``Any(NotEqual(x, 0.0))`` behind `Masking`. rnnkit's
layers pass masks on by themselves. A model is the same in both where the expressions are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.merging import Concatenate, Merge
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import GlobalAveragePooling1D, Shaping
from rnnkit.models.assembled import Assembled

AXIS = ("Any", "Concatenate", "ExpandDims")  # operations whose axis says what they do


READERS = (RNN, Bidirectional, GlobalAveragePooling1D, Assembled)  # layers that read masks


class Operation(NamedTuple):
    """An operation's class, what it is applied to (keys of tensors, numbers, operations, tuples), and its axis."""

    name: str
    inputs: tuple
    axis: Any = None


class Inside(NamedTuple):
    """A mask that comes out of a model inside: Keras's graph doesn't say what it is."""

    layer: int


def mask_behind(layer, x, masks):
    """The mask behind a call of a layer, in Keras and in rnnkit, None for none.

    Parameters
    ----------
    layer : Layer
    x : key or list of keys
        Of the arrays that it is called on.
    masks : expression, or list of them
        Their masks.
    """
    if isinstance(layer, Embedding) and layer.mask_zero:
        return Operation("NotEqual", (x, 0))
    if isinstance(layer, Masking):
        own = Operation("Any", (Operation("NotEqual", (x, layer.mask_value)),), -1)
        return own if masks is None else Operation("both", (masks, own))
    if isinstance(layer, (RNN, Bidirectional)):
        return masks if layer.return_sequences else None
    if isinstance(layer, Concatenate):
        return _joined(layer, x, masks)
    if isinstance(layer, Merge):
        return _any_of(masks)
    if isinstance(layer, Shaping):
        return None
    return Inside(id(layer)) if isinstance(layer, Assembled) else masks


def _any_of(masks):
    if any(mask is None for mask in masks):
        return None
    found, *others = masks
    for mask in others:
        found = Operation("LogicalOr", (found, mask))
    return found


def _joined(layer, x, masks):
    if all(mask is None for mask in masks):
        return None
    parts = tuple(
        Operation("OnesLike", (key,))
        if mask is None
        else Operation("LogicalOr", (Operation("ExpandDims", (mask,), -1), Operation("ZerosLike", (key,))))
        for key, mask in zip(x, masks, strict=True)
    )
    return Operation("Any", (Operation("Concatenate", (parts,), layer.axis),), -1)


def holds_inside(mask) -> bool:
    """Whether an expression depends on what a model inside does."""
    if isinstance(mask, Inside):
        return True
    return isinstance(mask, tuple) and any(holds_inside(part) for part in mask)


def padding_ids(mask):
    """The key of the ids that a mask is ``ids != 0`` of, None for another mask."""
    is_padding = isinstance(mask, Operation) and mask.name == "NotEqual" and len(mask.inputs) == 2
    return mask.inputs[0] if is_padding and mask.inputs[1] == 0 else None


def masked_values(layer) -> ValueError:
    """The error for a layer whose values depend on masks in Keras only."""
    return ValueError(
        f"expected no mask before the {type(layer).__name__} {layer.name!r}: Keras leaves out values of masked steps "
        "there, rnnkit doesn't"
    )
