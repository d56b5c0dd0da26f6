"""As the documentation of keras.layers.RNN in keras: a cell of one's own, alone and stacked."""

import keras
import numpy as np
from keras import ops

rng = np.random.default_rng(29)
x, y = rng.normal(size=(20, 6, 5)).astype("float32"), rng.normal(size=(20, 1)).astype("float32")


class MinimalRNNCell(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )

    def call(self, inputs, states):
        prev_output = states[0]
        h = ops.matmul(inputs, self.kernel)
        output = h + ops.matmul(prev_output, self.recurrent_kernel)
        return output, [output]


inputs = keras.Input((None, 5))
h = keras.layers.RNN(MinimalRNNCell(8), return_sequences=True)(inputs)
h = keras.layers.RNN([MinimalRNNCell(6), MinimalRNNCell(4)])(h)
outputs = keras.layers.Dense(1)(h)
model = keras.Model(inputs, outputs)

model.compile("rmsprop", "mse")
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
