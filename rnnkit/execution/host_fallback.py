"""Transfers of arrays to a GPU and back, and host-only executors for arrays in a GPU's memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnkit.arrays import in_precision
from rnnkit.backends.cuda.memory.array import DeviceArray, upload
from rnnkit.backends.shared.call import Gradient, Record, Result


def to_host(value):
    """Return a device array's elements as a NumPy array; anything else as it is."""
    return value.copy_to_host() if isinstance(value, DeviceArray) else value


def to_gpu(value, dtype):
    """Return a NumPy array of floats in the GPU's memory, cast; ids and other objects as they are.

    Raises
    ------
    TypeError
        For other floats than float32 and float64.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return upload(in_precision(value, "x").astype(dtype, copy=False))


def on_host(run, record: Record, *arguments) -> Result:
    """Return the result of an executor that takes NumPy arrays alone, of the kind of the record's x."""
    arrays = (record.x, record.mask, *record.states, *record.constants)
    if not any(isinstance(one, DeviceArray) for one in arrays):
        return run(record, *arguments)
    back, stream = isinstance(record.x, DeviceArray), record.stream

    def up(value):
        return upload(value, stream) if back and isinstance(value, np.ndarray) else value

    def several(arrays, move):
        return None if arrays is None else tuple(move(one) for one in arrays)

    result = run(
        replace(
            record,
            x=to_host(record.x),
            states=tuple(map(to_host, record.states)),
            mask=to_host(record.mask),
            constants=several(record.constants, to_host),
            place=None if back else record.place,
        ),
        *arguments,
    )

    def pull(outputs=None, last=None, states=None, x=True) -> Gradient:
        found = result.pull(to_host(outputs), to_host(last), several(states, to_host), x)
        return Gradient(up(found.x), several(found.states, up), several(found.constants, up), found.weights)

    return Result(
        up(result.outputs),
        up(result.last),
        several(result.states, up),
        several(result.trajectory, up),
        None if result.pull is None else pull,
    )
