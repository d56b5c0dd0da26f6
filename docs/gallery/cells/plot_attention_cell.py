"""
A cell with attention
=====================

A decoder that attends: at each step it compares its state with all outputs of an
encoder, and reads their weighted mean (Luong et al. 2015). The encoder's outputs are a
*constant* of the decoder's cell: each step receives them whole. The model learns to say
a sequence backwards, and the weights of the attention show how.
"""

import matplotlib.pyplot as plt
import numpy as np

import rnnkit as rk

# %%
# The second state holds the attention's weights. The step does not read it. It is there
# to be looked at afterwards.


@rk.cell(
    states={"h": "units", "attention": "length"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
        "query": rk.Weight(("units", "2*units")),
        "mix": rk.Weight(("3*units", "units")),
    },
)
def attending(x, states, weights, *, constants):
    """Advance the state; read the memory ``(batch, length, 2 units)`` by likeness."""
    (memory,) = constants
    h = np.tanh(x @ weights.kernel + states[0] @ weights.recurrent_kernel)
    attention = rk.softmax(np.einsum("bd,btd->bt", h @ weights.query, memory))
    read = np.einsum("bt,btd->bd", attention, memory)
    return np.tanh(np.concatenate([h, read], axis=-1) @ weights.mix), (h, attention)


# %%
# The encoder runs in both directions. The decoder reads only the number of the step.

symbols, length, units = 8, 10, 24
text = np.random.default_rng(0).integers(0, symbols, size=(4000, length))
clock = np.tile(np.eye(length, dtype="float32"), (4000, 1, 1))

source = rk.Input((length,), name="source")
steps = rk.Input((length, length), name="steps")
encoder = rk.Bidirectional(rk.GRU(units, return_sequences=True))
encoded = encoder(rk.Embedding(symbols, 8)(source))
decoder = rk.RNN(attending(units, length=length), return_sequences=True)
decoded = decoder(steps, constants=[encoded])
model = rk.Model([source, steps], rk.Dense(symbols, "softmax")(decoded), seed=0)

loss = "sparse_categorical_crossentropy"
model.compile(rk.optimizers.Adam(0.01), loss, metrics=["accuracy"])
options = {"batch_size": 100, "epochs": 8, "validation_split": 0.1, "verbose": 0}
history = model.fit([text, clock], text[:, ::-1], **options)

# %%
# Each row of the picture is a step of the decoder, which says one symbol of the
# reversed sequence. Its attention lies where that symbol stands in the source.

memory = rk.Model(source, encoded)(text[:1])
_, (_, attention) = decoder.trajectory(clock[:1], constants=[memory])
said = model.predict([text[:1], clock[:1]])[0].argmax(axis=-1)

figure, axes = plt.subplots(figsize=(5.2, 4.2), layout="constrained")
image = axes.imshow(attention[0], cmap="Blues", vmin=0, vmax=1)
letters = np.array(list("ABCDEFGH"))
axes.set_xticks(range(length), letters[text[0]])
axes.set_yticks(range(length), letters[said])
axes.set(xlabel="source", ylabel="what the decoder says, from top to bottom")
figure.colorbar(image, ax=axes, label="weight of the attention")
plt.show()

# %%
# The share of symbols that are right, in sequences that were not trained on:

print(f"{history.history['val_accuracy'][-1]:.1%}")
