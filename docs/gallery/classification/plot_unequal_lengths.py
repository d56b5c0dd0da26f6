"""
Sequences of unequal lengths
============================

Gestures take different times. A list of sequences goes into ``fit`` as it is: the
model's mask leaves out the padding that makes batches of them. Here a bidirectional GRU
tells four kinds of noisy curves apart.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# A curve has 20 to 80 steps of two coordinates, at a random speed, size and place.

KINDS = ("circle", "eight", "square", "spiral")


def curve(kind, rng):
    """Draw one curve of a kind, as an array ``(steps, 2)``."""
    angle = np.linspace(0, 2 * np.pi, rng.integers(20, 81)) + rng.uniform(0, 2 * np.pi)
    x, y = np.cos(angle), np.sin(angle)
    if kind == 1:
        y = np.sin(2 * angle) / 2
    elif kind == 2:
        x, y = np.clip(1.5 * x, -1, 1), np.clip(1.5 * y, -1, 1)
    elif kind == 3:
        radius = np.linspace(0.2, 1, len(angle))
        x, y = radius * x, radius * y
    points = rng.uniform(0.7, 1.3) * np.stack([x, y], axis=1)
    points += rng.normal(scale=0.3, size=2) + rng.normal(scale=0.08, size=points.shape)
    return points.astype("float32")


rng = np.random.default_rng(0)
labels = rng.integers(0, 4, size=800)
curves = [curve(kind, rng) for kind in labels]

# %%
# The last 200 curves are for the test.

model = rk.Sequential([rk.Bidirectional(rk.GRU(24)), rk.Dense(4, "softmax")], seed=0)
model.compile(rk.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
model.fit(curves[:600], labels[:600], epochs=20, verbose=0)
found = model.predict(curves[600:]).argmax(axis=-1)

figure, axes = plt.subplots(
    1, 4, figsize=(7.2, 2.3), sharex=True, sharey=True, layout="constrained"
)
for kind, each in enumerate(axes):
    one = int(np.flatnonzero(labels[600:] == kind)[0])
    points = curves[600 + one]
    each.plot(*points.T, color="0.7", linewidth=0.8)
    each.scatter(*points.T, c=np.linspace(0, 1, len(points)), s=10)
    each.set(title=f"{KINDS[kind]}, {len(points)} steps", xticks=[], yticks=[])
    each.set(xlabel=f"found: {KINDS[found[one]]}", aspect="equal")
plt.show()

# %%
# Colours run from the first step to the last. The accuracy on short and on long curves
# of the test:

steps = np.array([len(one) for one in curves[600:]])
right = found == labels[600:]
short, long = right[steps <= 50], right[steps > 50]
print(f"up to 50 steps {short.mean():.1%}, more {long.mean():.1%}")
