"""
Gradients that vanish or explode
================================

How strongly does the last state depend on the input of each earlier step? In a simple
recurrent network the derivative shrinks or grows exponentially, with the scale of the
recurrent weights (Bengio et al. 1994). In an LSTM, the forget gate decides.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# ``vjp`` returns a pullback. Its ``.x`` is the derivative of the last output, along a
# random direction, by all inputs.

rng = np.random.default_rng(0)
steps, units = 120, 64
x = 0.1 * rng.normal(size=(16, steps, 4))
direction = rng.normal(size=(16, units)) / np.sqrt(units)


def derivative(layer):
    """Return the mean norm of the last output's derivative by each step's input."""
    y, pullback = layer.vjp(x)
    return np.linalg.norm(pullback(direction).x, axis=-1).mean(axis=0)


layers = {}
for scale in (0.8, 1.0, 1.2):
    orthogonal = rk.initializers.Orthogonal(gain=scale)
    simple = rk.SimpleRNN(
        units, recurrent_initializer=orthogonal, dtype="float64", seed=0
    )
    layers[f"SimpleRNN, weights × {scale}"] = simple
for bias in (1, 3):
    lstm = rk.LSTM(units, dtype="float64", seed=0)
    lstm.build(x.shape)
    forget = lstm.weights["bias"].copy()
    forget[units : 2 * units] = bias
    lstm.weights["bias"] = forget
    layers[f"LSTM, forget bias {bias}"] = lstm
curves = {name: derivative(layer) for name, layer in layers.items()}

# %%
# The axis runs back in time from the last step.

figure, axes = plt.subplots(layout="constrained")
styles = [("C0", "-"), ("C0", "--"), ("C0", ":"), ("C1", "-"), ("C1", "--")]
for (name, size), (colour, style) in zip(curves.items(), styles, strict=True):
    axes.semilogy(size[::-1], color=colour, linestyle=style, label=name)
axes.set(
    xlabel="steps back in time", ylabel="norm of the derivative", xlim=(0, steps - 1)
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# The factor for each step back, over the last hundred steps. For orthogonal weights it
# is near their scale, less what tanh takes away.

for name, size in curves.items():
    print(f"{name}: {(size[-101] / size[-1]) ** (1 / 100):.3f}")
