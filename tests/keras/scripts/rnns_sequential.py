"""As guides/working_with_rnns.py of keras-io: a GRU's sequence into a SimpleRNN, and logits."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(25)
x, y = rng.integers(0, 40, (24, 9)), rng.integers(0, 10, 24)

model = keras.Sequential()
model.add(layers.Embedding(input_dim=40, output_dim=12))
model.add(layers.GRU(16, return_sequences=True))
model.add(layers.SimpleRNN(12))
model.add(layers.Dense(10))
model.summary()

model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
