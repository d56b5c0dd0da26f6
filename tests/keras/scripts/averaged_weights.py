"""As api/optimizers of keras-io: moving averages of the weights, which the optimizer keeps."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(69)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")

model = keras.Sequential([keras.Input(shape=(6, 4)), layers.GRU(5), layers.Dense(1)])
optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2)
model.compile(optimizer=optimizer, loss="mse")
history = model.fit(x, y, epochs=3, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
