"""The laws of docs/contract.md in every bit, for layers of the corpus."""

import numpy as np
from corpus_runs import drawn, layer_of
from matrix import flat, same_bits

import rnnkit as rk

STEPS = 23
TIMES = (1, 3, 14)  # of five rows: not a group, one and some rows, and several groups


def call(layer, x, constants, rows=slice(None), time=slice(None), **options):
    constants = [c[rows] for c in constants]
    return flat(list(layer(x[rows][:, time], constants=constants or None, **options)))


def some_masks(rows, steps):
    """Masked before, behind, with holes, everywhere and nowhere, in turn."""
    mask = np.random.default_rng(3).random((rows, steps)) < 0.6
    at = np.arange(steps)
    for row, one in enumerate((at > 4, at < steps - 6, mask[2] if rows > 2 else mask[0], at < 0, at >= 0)):
        mask[row % rows :: 5] = one
    return mask


def check_all(recurrence, dtype):
    """The laws of one recurrence that need few programs."""
    x, constants = drawn(recurrence, 5, STEPS, np.dtype(dtype))
    layer = layer_of(recurrence, dtype, return_state=True)
    whole = call(layer, x, constants)
    for times in TIMES:  # L2
        same_bits(
            call(layer, np.concatenate([x] * times), [np.concatenate([c] * times) for c in constants]),
            [np.concatenate([one] * times) for one in whole],
        )
    for picked in (slice(1), [4], [3, 0]):
        same_bits(call(layer, x, constants, picked), [one[picked] for one in whole])
    for strange in (
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[:, ::-1][:, ::-1],
        np.repeat(x, 2, 2)[..., ::2],
    ):
        same_bits(call(layer, strange, constants), whole)
    for number in (2, 3):  # L3
        rk.set_num_threads(number)
        same_bits(call(layer, x, constants), whole)
    rk.set_num_threads(1)

    stateful = layer_of(recurrence, dtype, return_state=True, stateful=True)  # L1
    parts = [call(stateful, x, constants, time=time) for time in (slice(0, 1), slice(1, 12), slice(12, None))]
    same_bits([np.concatenate([part[0] for part in parts], axis=1), *parts[-1][1:]], whole)
    output, states = layer.trajectory(x, constants=list(constants) or None)
    same_bits([output, *(state[:, -1] for state in flat(states))], whole)
    middle = [state[:, 6] for state in flat(states)]
    same_bits(call(layer, x, constants, time=slice(7, None), initial_state=middle), [whole[0][:, 7:], *whole[1:]])
    stream = layer.stream(5, constants=list(constants) or None)
    for t in range(3):
        same_bits(flat(list(stream.step(x[:, t]))), [whole[0][:, t], *(state[:, t] for state in flat(states))])

    backwards = layer_of(recurrence, dtype, return_state=True, go_backwards=True)  # L5
    same_bits(call(backwards, x[:, ::-1], constants), whole)
    check_masks(recurrence, dtype, x, constants, layer, backwards)
    return x, constants, whole


def check_masks(recurrence, dtype, x, constants, layer, backwards):
    """A masked step is none: used ones give what they give alone; and padding is never read (L4, M1)."""
    mask = some_masks(*x.shape[:2])
    masked = call(layer, x, constants, mask=mask)
    same_bits(call(backwards, x[:, ::-1], constants, mask=mask[:, ::-1]), masked)
    dirt = np.where(mask[..., None], x, np.nan).astype(dtype)
    same_bits(call(layer, dirt, constants, mask=mask), masked)
    zeroed = layer_of(recurrence, dtype, return_state=True, zero_output_for_mask=True)
    shown = np.where(mask.reshape(mask.shape + (1,) * (masked[0].ndim - 2)), masked[0], 0).astype(dtype)
    same_bits(call(zeroed, x, constants, mask=mask), [shown, *masked[1:]])
    for row in range(len(x)):
        if mask[row].any():
            alone = call(layer, x[[row]][:, mask[row]], [c[[row]] for c in constants])
            same_bits([masked[0][[row]][:, mask[row]], *(s[[row]] for s in masked[1:])], alone)
            rows = slice(row, row + 1)
            same_bits(call(layer, x, constants, rows, mask=mask[rows]), [one[rows] for one in masked])


def run_gradient(recurrence, dtype):
    """A gradient of three rows and of one, with and without a mask."""
    x, constants = drawn(recurrence, 3, STEPS, np.dtype(dtype))
    if recurrence.differentiable:
        layer = layer_of(recurrence, dtype, return_state=True)
        for mask in (None, some_masks(3, STEPS)):
            for rows in (slice(None), slice(1)):
                given = {
                    "constants": [c[rows] for c in constants] or None,
                    "mask": None if mask is None else mask[rows],
                }
                outputs, pull = layer.vjp(x[rows], **given)
                pull(outputs)
