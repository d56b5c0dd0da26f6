"""As api/optimizers of keras-io: an update for several batches, with clipping and a schedule."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(70)
x = rng.normal(size=(64, 6, 4)).astype("float32")
y = rng.normal(size=(64, 1)).astype("float32")

model = keras.Sequential([keras.Input(shape=(6, 4)), layers.LSTM(5), layers.Dense(1)])
rate = keras.optimizers.schedules.CosineDecay(0.02, decay_steps=10, alpha=0.1)
optimizer = keras.optimizers.Adam(rate, gradient_accumulation_steps=2, clipvalue=0.01)
model.compile(optimizer=optimizer, loss="mse")
history = model.fit(x, y, epochs=4, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
