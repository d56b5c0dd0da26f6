"""As api/layers/core_layers/input.py of keras-io: an input that may be missing, with it and without."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(74)
x = rng.normal(size=(48, 6, 4)).astype("float32")
context = rng.normal(size=(48, 3)).astype("float32")
y = x.mean(axis=(1, 2))[:, None]


class Conditioned(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.state, self.project = layers.Dense(units), layers.Dense(units)

    def call(self, h, context=None):
        h = self.state(h)
        return h if context is None else h + self.project(context)


series = keras.Input(shape=(6, 4), name="series")
beside = keras.Input(shape=(3,), name="context", optional=True)
h = Conditioned(4)(layers.GRU(4)(series), beside)
model = keras.Model({"series": series, "context": beside}, layers.Dense(1)(h))
model.compile(optimizer="adam", loss="mse", metrics=["mae"])
history = model.fit({"series": x, "context": context}, y, epochs=3, batch_size=16, verbose=0)
scores = model.evaluate({"series": x, "context": None}, y, batch_size=16, verbose=0)
predicted = [model.predict({"series": x, "context": one}, verbose=0) for one in (context, None)]
