"""As guides/functional_api.py of keras-io: a recurrent layer of one's own, which loops over the steps in Python."""

import keras
import numpy as np
from keras import layers, ops

units, timesteps, input_dim, batch_size = 8, 6, 5, 16
rng = np.random.default_rng(35)
x = rng.normal(size=(24, timesteps, input_dim)).astype("float32")
y = rng.integers(0, 2, (24, 1))


class CustomRNN(layers.Layer):
    def __init__(self):
        super().__init__()
        self.units = units
        self.projection_1 = layers.Dense(units=units, activation="tanh")
        self.projection_2 = layers.Dense(units=units, activation="tanh")
        self.classifier = layers.Dense(1, activation="sigmoid")

    def call(self, inputs):
        outputs = []
        state = ops.zeros(shape=(inputs.shape[0], self.units))
        for t in range(inputs.shape[1]):
            h = self.projection_1(inputs[:, t, :])
            y = h + self.projection_2(state)
            state = y
            outputs.append(y)
        features = ops.stack(outputs, axis=1)
        return self.classifier(ops.mean(features, axis=1))


inputs = keras.Input(batch_shape=(batch_size, timesteps, input_dim))
h = layers.Conv1D(input_dim, 3, padding="same")(inputs)
outputs = CustomRNN()(h)
model = keras.Model(inputs, outputs)

model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
history = model.fit(x[:16], y[:16], batch_size=batch_size, epochs=3)
scores = model.evaluate(x[:16], y[:16], batch_size=batch_size, verbose=0)
predicted = model.predict(x[:16], batch_size=batch_size, verbose=0)
