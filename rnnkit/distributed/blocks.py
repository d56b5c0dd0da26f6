"""Functions of tasks: a layer on one chunk of NumPy arrays, from the state of the previous chunk."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple, cast

import numpy as np

from rnnkit.distributed.shipping import Segment, ShippedLayer, share
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import MERGES
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.bound_calls import with_mask
from rnnkit.layers.support.symbolic import leaves
from rnnkit.training.pieces import told_where


class Place(NamedTuple):
    """Position of a chunk: its range of rows, and its range of steps, None for all."""

    rows: tuple[int, int]
    steps: tuple[int, int] | None = None

    def __str__(self):
        rows = f"rows {self.rows[0]} to {self.rows[1] - 1}"
        return rows if self.steps is None else f"{rows}, steps {self.steps[0]} to {self.steps[1] - 1}"


class Carry(NamedTuple):
    """State passed from a chunk of steps to the next: the states, and the held output."""

    states: tuple[np.ndarray, ...]
    held: np.ndarray


class Wishes(NamedTuple):
    """Options of a recurrent layer's chunks, see `Record`; `turned` outputs are from the last processed step on."""

    sequences: bool
    trajectory: bool
    zero_masked: bool
    turned: bool


def recurrent(shipped: ShippedLayer, wishes: Wishes, place: Place, before, x, mask, states: int, *more):
    """Run a recurrent layer on one chunk, x ``(B, T, *features)`` with its mask ``(B, T)`` or None.

    `before` is this function's result for the previous chunk; None for the first one, which starts from given states,
    the first `states` of `more`, or from the layer's own. The rest of `more` are constants.

    It returns ``(Carry,)``, or ``(Carry, outputs, *trajectory)`` if sequences are wanted. The next chunk takes all of
    it: a task for the carry alone would cost more than it could save.
    """
    with _told(shipped, place), share():
        layer = cast(RNN, shipped.layer())
        carry = None if before is None else before[0]
        return _through(layer, wishes, carry, x, mask, more[:states], more[states:])


def several(shipped: ShippedLayer, place: Place, before, x, mask):
    """Run the layers of a segment on one chunk, with arguments as of `recurrent`.

    It returns ``(carries, outputs, mask)``: a Carry of each recurrent layer, the outputs of all steps, and their mask.
    The last two are None if the last layer gives one output of all steps.
    """
    carries, left = iter(() if before is None else before[0]), []
    with _told(shipped, place):
        segment = cast(Segment, shipped.layer())
    with share():
        for layer in segment:
            with _told(layer, place):
                if isinstance(layer, RNN):
                    wishes = Wishes(layer.return_sequences, False, layer.zero_output_for_mask, False)
                    carry, *found = _through(layer, wishes, next(carries, None), x, mask)
                    left.append(carry)
                    x, mask = (found[0], mask) if found else (None, None)
                else:
                    x, mask = with_mask(layer, x, mask)
    return tuple(left), x, mask


def _through(layer: RNN, wishes: Wishes, carry: Carry | None, x, mask, states=(), constants=()) -> tuple:
    """Return the result of `recurrent`."""
    start = carry.states if carry is not None else states or None
    given = x, None if start is None else layer._spec.pack(start), mask, False, list(constants) or None, None
    flags = {"sequences": wishes.sequences, "trajectory": wishes.trajectory, "zero_masked": wishes.zero_masked}
    result = layer._run(given, **flags)
    outputs, last = result.outputs, result.last
    if carry is not None:
        last = _held_on(carry.held, outputs, last, mask, x.shape[1], layer.go_backwards, wishes.zero_masked)
    left = Carry(tuple(_own(one) for one in result.states), _own(last))
    if not wishes.sequences:
        return (left,)
    if wishes.turned:
        outputs = np.ascontiguousarray(cast(np.ndarray, outputs)[:, ::-1])
    return left, outputs, *(result.trajectory or ())


def _held_on(before, outputs, last, mask, steps: int, backwards: bool, zero_masked: bool) -> np.ndarray:
    """Return the last output; the previous chunk's held output fills a row's first masked steps in `outputs`."""
    if not steps:
        return before
    if mask is None:
        return last
    used = mask != 0
    seen = np.logical_or.accumulate(used[:, ::-1] if backwards else used, axis=1)
    broad = (slice(None), *(None,) * (last.ndim - 1))
    if outputs is not None and not zero_masked:
        np.copyto(outputs, before[:, None], where=~seen[(..., *(None,) * (outputs.ndim - 2))])
    return np.where(seen[:, -1][broad], last, before)


def _own(array) -> np.ndarray:
    """Return an array that owns its memory, rather than a view of a larger one."""
    return array if array.base is None else array.copy()


def part(found: tuple, *places: int | str):
    """Return a part of a result, by indices and attributes, each of the part before."""
    return reduce(lambda one, place: getattr(one, place) if isinstance(place, str) else one[place], places, found)


def merged(mode, forward, backward) -> np.ndarray:
    """Merge the outputs of both directions, see `Bidirectional`."""
    return MERGES[mode](forward, backward)[0]


def called(shipped: ShippedLayer, place: Place, options: dict, several: bool, count: int, *arrays):
    """Call a layer on one chunk, with other arguments of its call; return its output, or a tuple of outputs.

    `count` of the arrays are inputs, several as a list; their masks follow, or None for each.
    """
    with _told(shipped, place), share():
        x, mask = _arguments(several, count, arrays)
        found = leaves(with_mask(shipped.layer(), x, mask, options)[0])
        return found[0] if len(found) == 1 else tuple(found)


def mask_of(shipped: ShippedLayer, place: Place, several: bool, count: int, *arrays) -> np.ndarray:
    """Return the mask of the output of `called`."""
    with _told(shipped, place), share():
        return np.asarray(shipped.layer().compute_mask(*_arguments(several, count, arrays)))


def _arguments(several, count, arrays):
    inputs, masks = list(arrays[:count]), list(arrays[count:])
    if not several:
        return inputs[0], masks[0]
    return inputs, None if all(one is None for one in masks) else masks


def _told(layer: Layer | ShippedLayer, place: Place):
    """Add the layer and the chunk's position to errors."""
    return told_where(f"layer {layer.name!r}, {place}")
