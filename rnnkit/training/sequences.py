"""Batches of lists of sequences: padded under a mask, with the loss over the steps that aren't padding."""

from __future__ import annotations

from collections.abc import Mapping

from rnnkit.arrays import has_shape
from rnnkit.layers.support.facts import keeps_states, padding_of, reverses_time
from rnnkit.layers.support.symbolic import shape_leaves
from rnnkit.sequences.ragged import Ragged, by_step, ragged
from rnnkit.training.batches import Arrays, Names

_PADDED = "pad the sequences with rk.pad_sequences, or train with batches of equal lengths"


def can_pad(model, x: Ragged) -> bool:
    """Return whether sequences may be padded for training: no step of the padding may reach anything."""
    return not keeps_states(model) and padding_of(model, (None, None, *x.rest)) == "masked"


def of_sequences(model, x: Ragged, y, sample_weight, outputs: Names, weights: Names, batch_size, steps) -> Arrays:
    """Return the batches of a fit or an evaluation on a list of sequences, targets and weights by step as lists too.

    A ValueError refuses a model that keeps states or doesn't leave out masked steps, and targets that don't fit.
    """
    shape = (None, None, *x.rest)
    if keeps_states(model):
        raise ValueError(f"expected an array for the stateful model {model.name!r}, got a list of sequences; {_PADDED}")
    if not can_pad(model, x):
        raise ValueError(
            f"expected layers that leave out masked steps, for a list of sequences; got others in {model.name!r}; "
            f"{_PADDED}"
        )
    in_time = [len(one) > 1 and one[1] is None for one in shape_leaves(model.compute_output_shape(shape))]
    given = [y] if in_time == [True] and not isinstance(y, Mapping) else outputs.split(y)
    targets = None if y is None else [_target(one, x, own) for one, own in zip(given, in_time, strict=True)]
    found = None
    if sample_weight is not None:
        alone = len(in_time) == 1 and by_step(sample_weight, x.lengths)
        each = [sample_weight] if alone else weights.each(sample_weight)
        found = [_steps(one, x, "sample_weight") for one in each]
    return Arrays([x], targets, found, batch_size, steps, reverses_time(model))


def _target(y, x: Ragged, in_time: bool):
    """Return a target of one output: a list with an entry by sequence if the output has steps, else an array."""
    if y is None:
        return None
    if not in_time:
        if by_step(y, x.lengths) and len(set(x.lengths.tolist())) > 1:
            raise ValueError(
                "expected y with a row for each sequence of x, got a list by steps; return_sequences=True gives an "
                "output for each step"
            )
        return y
    found = _steps(y, x, "y")
    if isinstance(found, Ragged):
        return found
    lengths = x.lengths.tolist()
    if has_shape(y) or not isinstance(y, (list, tuple)):
        got = f"an array of shape {tuple(y.shape)}" if has_shape(y) else type(y).__name__
    elif len(y) != len(lengths):
        got = f"{len(y)} for {len(lengths)} sequences"
    else:
        place, n = next((i, n) for i, n in enumerate(lengths) if not hasattr(y[i], "__len__") or len(y[i]) != n)
        got = f"{len(y[place])} steps for {n}" if hasattr(y[place], "__len__") else "a number"
        got = f"{got} at {place}"
    raise ValueError(f"expected y as a list with an array for each sequence of x, of as many steps; got {got}")


def _steps(value, x: Ragged, what: str):
    """Return a list with an entry by sequence and step as sequences; anything else as it is."""
    return ragged(value, what) if value is not None and by_step(value, x.lengths) else value
