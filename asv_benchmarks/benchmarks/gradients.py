"""Outputs and the gradients to all weights and the input: by cell and size, and what a mask and checkpoints change."""

# smoke: gradients.Cells.track_seconds\('leaky', 'B=32 T=100 F=16 U=64'\)

import numpy as np

import rnnkit as rk

from . import sizes
from .cells import layer, sequences
from .forward import CELLS, padding
from .measure import Memory, Timed


def gradients(cell, *shape, units, **options):
    """Return a call of a layer's outputs and gradients, made once with few steps."""
    x, cotangents, made = sequences(*shape), sequences(*shape[:2], units), layer(cell, units, return_sequences=True)

    def call(steps=shape[1], **options):
        _, pullback = made.vjp(x[:, :steps], **options)
        return pullback(cotangents[:, :steps])

    call(20)
    return lambda: call(**options)


class Cells(Timed):
    """A cell at a size."""

    params = (CELLS, list(map(sizes.label, sizes.TRACKED[3:])))
    param_names = ("cell", "size")

    def make(self, cell, size):
        *shape, units = sizes.labelled(size)
        return gradients(cell, *shape, units=units)


class Options(Timed):
    """A mask, states computed again, and a step whose gradient its author wrote."""

    params = ["right-padded", "checkpoint=100", "own vjp"]
    param_names = ("option",)

    def make(self, option):
        if option == "right-padded":
            return gradients("LSTMCell", 64, 200, 32, units=128, mask=padding(64, 200))
        if option == "own vjp":
            return gradients("own_vjp", 32, 100, 64, units=64)
        return gradients("LSTMCell", 8, 1000, 32, units=128, checkpoint=100)


class Held(Memory):
    """What the gradients of a long sequence keep."""

    params = ["all kept", "checkpoint=100"]
    param_names = ("option",)

    def make(self, option):
        options = {} if option == "all kept" else {"checkpoint": 100}
        return gradients("LSTMCell", 8, 5000, 32, units=128, **options)


class Step(Timed):
    """The derivatives of a step, of 100 rows: along one direction, and all."""

    params = ["jvp", "jacobian"]
    param_names = ("derivatives",)

    def make(self, derivatives):
        made, x = layer("LSTMCell", 32), sequences(1, 100, 8)[0]
        made(x[None])
        h, c = (sequences(1, 100, 32)[0] for _ in range(2))
        if derivatives == "jvp":
            return lambda: rk.jvp(made, x, [h, c], np.ones_like(x), [h, c])
        return lambda: rk.jacobian(made, x, [h, c])
