"""As api/losses/probabilistic_losses of keras-io: labels of steps, some of which are unknown and don't count."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(74)
x = rng.normal(size=(48, 7, 4)).astype("float32")
y = rng.integers(0, 5, size=(48, 7))
y[:, ::3] = -1

model = keras.Sequential([keras.Input(shape=(7, 4)), layers.Bidirectional(layers.GRU(4, return_sequences=True))])
model.add(layers.Dense(5))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
history = model.fit(x, y, epochs=3, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
