"""As guides/training_with_built_in_methods.py of keras-io: losses nested as outputs, one of two outputs together."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(73)
x = rng.normal(size=(48, 6, 4)).astype("float32")
level = x.mean(axis=(1, 2))[:, None]
labels = np.eye(3, dtype="float32")[rng.integers(0, 3, size=48)]


def likelihood(y_true, y_pred):
    spread = y_pred["spread"] + 0.1
    error = (y_true["mean"] - y_pred["mean"]) / spread
    return ops.mean(0.5 * ops.square(error) + ops.log(spread), axis=-1)


inputs = keras.Input(shape=(6, 4))
h = layers.GRU(4)(inputs)
mean = layers.Dense(1, name="mean")(h)
spread = layers.Dense(1, activation="softplus", name="spread")(h)
label = layers.Dense(3, activation="softmax", name="label")(h)
model = keras.Model(inputs, {"label": label, "normal": {"mean": mean, "spread": spread}})
model.compile(
    optimizer="adam",
    loss={"label": "categorical_crossentropy", "normal": likelihood},
    loss_weights={"label": 0.5, "normal": 2.0},
)
y = {"label": labels, "normal": {"mean": level, "spread": level}}
history = model.fit(x, y, epochs=3, batch_size=16, verbose=0)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
