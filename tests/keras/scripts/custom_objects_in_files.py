"""As guides/serialization_and_saving.py of keras-io: a model of layers and functions of one's own, from its file."""

import os
import tempfile

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(71)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")


@keras.saving.register_keras_serializable(package="MyLayers")
class CustomLayer(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, x):
        return x * self.factor * self.w

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="my_package", name="custom_fn")
def custom_fn(x):
    return ops.square(x)


made = keras.Sequential([keras.Input(shape=(6, 4)), layers.GRU(5), CustomLayer(0.5), layers.Dense(3, custom_fn)])
made.add(layers.Dense(1))
made.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
made.fit(x, y, epochs=2, batch_size=16)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.keras")
    made.save(path)
    model = keras.models.load_model(path)
assert np.allclose(model.predict(x, verbose=0), made.predict(x, verbose=0))
assert model.layers[1].factor == 0.5
again = keras.models.clone_model(model)
history = model.fit(x, y, epochs=2, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
