"""As guides/functional_api.py of keras-io: one Embedding for two inputs, and the inner outputs as a model."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(34)
a, b = rng.integers(0, 40, (20, 7)), rng.integers(0, 40, (20, 7))
y = rng.normal(size=(20, 1)).astype("float32")

shared_embedding = layers.Embedding(40, 8)
text_input_a = keras.Input(shape=(None,), dtype="int32")
text_input_b = keras.Input(shape=(None,), dtype="int32")
encoded_input_a = shared_embedding(text_input_a)
encoded_input_b = shared_embedding(text_input_b)
reader = layers.GRU(8, name="reader")
distance = layers.Subtract()([reader(encoded_input_a), reader(encoded_input_b)])
output = layers.Dense(1)(layers.ReLU()(distance))
model = keras.Model([text_input_a, text_input_b], output)

model.compile(keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), "mae")
history = model.fit([a, b], y, batch_size=32, epochs=3)
scores = model.evaluate([a, b], y, verbose=0)
features = keras.Model(model.inputs, [layer.output for layer in model.layers if layer.name.startswith("sub")])
predicted = [model.predict([a, b], verbose=0), features.predict([a, b], verbose=0)]
