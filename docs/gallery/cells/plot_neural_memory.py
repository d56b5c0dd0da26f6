"""
A cell with a memory of its own
===============================

The state of this cell is a matrix: slots that hold vectors, as in a neural Turing
machine (Graves et al. 2014). A step moves a position along the slots, then writes to
the slot there or reads from it. States may have several axes.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The input holds a vector to write, and two switches: write, or go back to slot 0.
# There is nothing to train here. The step is differentiable in the memory and in the
# vector, as in the paper.


@rk.cell(states={"memory": ("slots", "width"), "position": "slots"})
def tape(x, states, weights, *, width, slots):
    """Write ``x`` at the position, or read what is there, and move on by one slot."""
    memory, position = states
    vector, write, rewind = x[:, :width], x[:, width, None], x[:, width + 1, None]
    start = np.eye(slots, dtype=bool)[0]
    begun = position.sum(axis=-1, keepdims=True) > 0
    moved = np.concatenate([position[:, -1:], position[:, :-1]], axis=-1)
    position = np.where(begun & (rewind == 0), moved, start)
    change = write[:, :, None] * position[:, :, None] * (vector[:, None, :] - memory)
    memory = memory + change
    read = np.einsum("bs,bsw->bw", position, memory)
    return read, (memory, position)


# %%
# Twelve random vectors are written, then the position goes back and they are read in
# order.

width, count = 8, 12
vectors = np.random.default_rng(0).integers(0, 2, size=(count, width))
x = np.zeros((1, 2 * count, width + 2))
x[0, :count, :width] = vectors
x[0, :count, width] = 1
x[0, count, width + 1] = 1

layer = rk.RNN(tape(width=width, slots=16))
read, (memory, position) = layer.trajectory(x)

figure, axes = plt.subplots(3, figsize=(7.2, 5), sharex=True, layout="constrained")
for each, data, name in (
    (axes[0], x[0, :, :width], "input"),
    (axes[1], position[0], "position (slot)"),
    (axes[2], read[0], "output"),
):
    each.imshow(data.T, aspect="auto", cmap="Blues", vmin=0, vmax=1.3)
    each.axvline(count - 0.5, color="0.5", linewidth=0.8)
    each.set(ylabel=name)
axes[0].set_title("write, then read")
axes[2].set(xlabel="step")
plt.show()

# %%
# What is read is what was written. The memory holds a vector in each slot that was
# used.

print("all vectors read back:", np.array_equal(read[0, count:], vectors))
print("shape of the memory over time:", memory.shape)
