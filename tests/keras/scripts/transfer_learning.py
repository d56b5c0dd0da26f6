"""As guides/transfer_learning.py of keras-io: a trained base is frozen below a new head, then tuned at a low rate."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(61)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y_old = rng.normal(size=(48, 3)).astype("float32")
y = rng.integers(0, 2, size=(48, 1)).astype("float32")

base = keras.Sequential([keras.Input(shape=(6, 4)), layers.LSTM(5), layers.BatchNormalization(), layers.Dense(3)])
base.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
base.fit(x, y_old, epochs=2, batch_size=16)

base.trainable = False
inputs = keras.Input(shape=(6, 4))
h = layers.Activation("tanh")(base(inputs))
outputs = layers.Dense(1, activation="sigmoid")(h)
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
first = model.fit(x, y, epochs=2, batch_size=16)

base.trainable = True
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=2, batch_size=16)
scores = [*model.evaluate(x, y, batch_size=16, verbose=0), *first.history["loss"]]
predicted = model.predict(x, verbose=0)
