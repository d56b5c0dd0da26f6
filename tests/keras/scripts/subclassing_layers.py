"""As guides/making_new_layers_and_models_via_subclassing.py of keras-io: weights, layers in layers, configurations."""

import keras
import numpy as np
from keras import ops

rng = np.random.default_rng(37)
x, y = rng.normal(size=(24, 6)).astype("float32"), rng.normal(size=(24, 1)).astype("float32")


class Linear(keras.layers.Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units})
        return config


class MLPBlock(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.linear_1 = Linear(8)
        self.linear_2 = Linear.from_config(Linear(8).get_config())
        self.linear_3 = Linear(1)

    def call(self, inputs):
        x = self.linear_1(inputs)
        x = keras.activations.relu(x)
        x = self.linear_2(x)
        x = keras.activations.relu(x)
        return self.linear_3(x)


inputs = keras.Input((6,))
model = keras.Model(inputs, MLPBlock()(inputs))
model.compile("adam", "mse")
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
