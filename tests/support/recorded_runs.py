"""Calls and their gradients, recorded with some numbers and repeated with others: the same bits as without."""

import os
from unittest.mock import patch

import numpy as np
from matrix import flat, same_bits

from rnnkit.circumstances import standing_in
from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.layers.support.recording import Noted, Recording, noted, plain


def check_repeated(layer, calls, cotangents):
    """A layer's call and gradient, recorded with the first arguments, give what it gives for each of the others.

    Arguments are dicts of arrays, lists of arrays or None, alike in shapes; cotangents are a list for each call. The
    weights change from call to call, too.
    """
    before = arrays_by_name(layer)
    memory = {name: copied(given) for name, given in calls[0].items()}
    d = copied(cotangents[0])
    weights = {name: np.array(array) for name, array in before.items()}
    recording = Recording()
    recording.give(*arrays([*memory.values(), d]), *weights.values())
    try:
        pairs = [(before[name], array.view(Noted)) for name, array in weights.items()]
        # Recordings are off where calls themselves are tested.
        with patch.dict(os.environ, RNNKIT_REPEAT="1"), recording, standing_in(pairs):
            found = plain(taken(layer, noted(memory), noted(d)))
        for i, (call, given) in enumerate(zip(calls, cotangents, strict=True)):
            now = {name: np.asarray(array * array.dtype.type(1 - 0.03 * i)) for name, array in before.items()}
            for place, array in zip(
                arrays([*memory.values(), d, *weights.values()]),
                arrays([*call.values(), given, *now.values()]),
                strict=True,
            ):
                place[...] = array
            if i:
                recording.spoil()
                recording.repeat()
            put_arrays(layer, now)
            same_bits(found, taken(layer, call, given))
    finally:
        put_arrays(layer, before)
    return recording


def taken(layer, call, d):
    """What a call gives, and its gradient, flat."""
    outputs, pullback = layer.vjp(**call)
    gradient = pullback.pull(d)
    of_call = [gradient.x, *flat(list(gradient.initial_state or ())), *(gradient.constants or ())]
    return [
        *flat([outputs] if isinstance(outputs, np.ndarray) else list(outputs)),
        *of_call,
        *gradient.weights.values(),
    ]


def copied(nested):
    if isinstance(nested, (list, tuple)):
        return [copied(one) for one in nested]
    return np.array(nested) if isinstance(nested, np.ndarray) else nested


def arrays(nested):
    if isinstance(nested, np.ndarray):
        return [nested]
    return [array for one in nested for array in arrays(one)] if isinstance(nested, (list, tuple)) else []
