"""Calls on a list of sequences of unequal lengths, each with the bits of a call on it alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.arrays import has_shape, real
from rnnkit.layers.support.added_losses import kept
from rnnkit.layers.support.facts import takes_sequences
from rnnkit.layers.support.layer_tree import all_or_nothing
from rnnkit.layers.support.symbolic import leaves, shape_leaves
from rnnkit.sequences.ragged import Ragged, buckets, is_list_of_sequences, ragged
from rnnkit.steps.nesting import mapped

_WASTE = 1.0  # the share of its length that a sequence may be padded by; masked steps cost memory, and little time


def called(layer: Any, call: Callable, arguments: tuple, keywords: dict):
    """Return the result of a call on a list of sequences; None if its first argument isn't one."""
    first = arguments[0] if arguments else keywords.get(call.__code__.co_varnames[1])
    refuse_table(layer, first)
    if type(first) not in (list, tuple) or (given := sequences(layer, first)) is None:
        return None
    bound = inspect.signature(call).bind(layer, *arguments, **keywords).arguments
    return run(layer, given, dict(list(bound.items())[2:]))


def least_axes(layer) -> int:
    """Return the least number of axes of a layer's input."""
    return layer._least_axes or layer._least_rank


def nests(layer, value) -> bool:
    """Return whether an input is several arrays that are read side by side, and so is no list of sequences."""
    return hasattr(layer, "_nests") and layer._nests(value)


def sequences(layer: Any, value, what: str = "x") -> Ragged | None:
    """Return a list of sequences as a layer reads it; None for one array, or several."""
    if type(value) not in (list, tuple) or not takes_sequences(layer) or nests(layer, value):
        return None
    axes = 1 if layer._reads_ids else 2
    known = layer.built and layer._input_shape is not None and not layer._reads_ids
    if known:
        axes = max(axes, len(layer._input_shape) - 1)
    return ragged(value, what) if is_list_of_sequences(value, axes, known) else None


def refuse_table(layer: Any, value) -> None:
    """Refuse a frame of pandas, polars and the like where sequences are expected; say how to convert its rows."""
    if has_shape(value) and hasattr(value, "columns") and least_axes(layer) > 2 and not layer._reads_ids:
        raise ValueError(
            f"expected x of shape (batch, time, features), got a {type(value).__name__} of shape {tuple(value.shape)}; "
            "of one sequence pass [x], of several rk.sequences_from_frame(x, id); rk.windows(x, length) cuts windows"
        )


def run(layer: Any, given: Ragged, arguments: dict, most: int | None = None, watched: Callable | None = None):
    """Return a call's results on sequences: those with an axis of time as lists, others as arrays of the batch.

    `arguments` are the call's others, by name; `most` limits the sequences at a time; `watched` takes the list of
    batches, and gives it to iterate over.
    """
    if arguments.pop("mask", None) is not None:
        raise ValueError("expected no mask beside a list of sequences, whose lengths say it; got one")
    arguments = {name: _read(value, name, len(given)) for name, value in arguments.items()}
    masked = layer._padding_of((None, None, *given.rest)) == "masked"
    if layer._keeps_states:
        if not masked:
            raise ValueError(f"expected an array for the stateful layer {layer.name!r}, got a list of sequences")
        parts = [np.arange(len(given))]
    else:
        parts = buckets(given.lengths, _WASTE if masked else 0.0, most)
    pieces = []
    with all_or_nothing(layer), kept(layer) as losses:
        for rows in parts if watched is None else watched(parts):
            batch, before = given[rows], len(losses)
            length = int(batch.lengths.max())
            more = {name: _rows(value, rows) for name, value in arguments.items()}
            if masked:
                more["mask"] = batch.mask(length)
            pieces.append((rows, layer(batch.padded(length), **more)))
            for added in losses[before:]:  # means over rows
                added.value = added.value * (len(rows) / len(given))
    return _joined(layer, pieces, given)


def _rows(nested, rows):
    """Return some rows of states and constants; other values as they are."""
    return mapped(nested, lambda one: one[rows] if isinstance(one, np.ndarray) else one)


def _read(nested, what: str, count: int):
    """Return states and constants as arrays, an entry for each sequence."""

    def read(value):
        if value is None or isinstance(value, bool):
            return value
        found = real(value, what, complex_too=True)
        if not found.ndim or len(found) != count:
            raise ValueError(f"expected {what} with {count} rows, one for each sequence; got shape {found.shape}")
        return found

    return mapped(nested, read)


def _joined(layer, pieces: list, given: Ragged):
    shapes = shape_leaves(layer.compute_output_shape((None, None, *given.rest)))
    turned = [*layer._reverses_time, *[False] * len(shapes)]
    found: list = []
    for place, shape in enumerate(shapes):
        parts = [(rows, leaves(outputs)[place]) for rows, outputs in pieces]
        by_step = len(shape) > 1 and shape[1] is None
        found.append(_listed(parts, given.lengths, turned[place]) if by_step else _stacked(parts, len(given)))
    each = iter(found)
    return mapped(pieces[0][1], lambda _: next(each))


def _listed(parts: list, lengths, turned: bool) -> list:
    """Return an array for each sequence, without padding, which a layer that turns time puts first."""
    found: list = [None] * len(lengths)
    for rows, outputs in parts:
        padding = int(lengths[rows].max()) - lengths
        for one, row in zip(outputs, rows.tolist(), strict=True):
            found[row] = np.array(one[padding[row] :] if turned else one[: len(one) - padding[row]])
    return found


def _stacked(parts: list, count: int) -> np.ndarray:
    first = parts[0][1]
    found = np.empty((count, *first.shape[1:]), first.dtype)
    for rows, outputs in parts:
        found[rows] = outputs
    return found
