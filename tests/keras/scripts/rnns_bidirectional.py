"""As guides/working_with_rnns.py of keras-io: two bidirectional LSTMs, the second one by its last output."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(27)
x, y = rng.normal(size=(24, 5, 10)).astype("float32"), rng.normal(size=(24, 10)).astype("float32")

model = keras.Sequential()
model.add(layers.Bidirectional(layers.LSTM(8, return_sequences=True), input_shape=(5, 10)))
model.add(layers.Bidirectional(layers.LSTM(6)))
model.add(layers.Dense(10))
model.summary()

model.compile(optimizer=keras.optimizers.Nadam(0.01), loss="mse", metrics=["mae"])
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
