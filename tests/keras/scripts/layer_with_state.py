"""As guides/making_new_layers_and_models_via_subclassing.py of keras-io: layers whose calls change weights."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(68)
x = rng.normal(1.0, 2.0, size=(48, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")


class ComputeSum(layers.Layer):
    def __init__(self, input_dim):
        super().__init__()
        self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False)

    def call(self, inputs):
        self.total.assign_add(ops.sum(inputs, axis=0))
        return inputs


class Centred(layers.Layer):
    def build(self, input_shape):
        self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs, training=False):
        outputs = self.scale * (inputs - self.mean)
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(inputs, axis=0))
        return outputs


summed, centred = ComputeSum(4), Centred()
model = keras.Sequential([keras.Input(shape=(4,)), summed, centred, layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
history = model.fit(x, y, epochs=3, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = [model.predict(x, batch_size=16, verbose=0), np.array(summed.total) / 100, np.array(centred.mean)]
