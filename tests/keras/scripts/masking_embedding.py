"""As guides/understanding_masking_and_padding.py of keras-io: the mask of an Embedding reaches an LSTM."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(30)
raw_inputs = [rng.integers(1, 50, n).tolist() for n in rng.integers(2, 9, 24)]
x = keras.utils.pad_sequences(raw_inputs, padding="post")
y = rng.integers(0, 3, 24)

inputs = keras.Input(shape=(None,), dtype="int32")
h = layers.Embedding(input_dim=50, output_dim=8, mask_zero=True)(inputs)
h = layers.LSTM(8, return_sequences=True)(h)
h = layers.Dropout(0.0)(h)
h = layers.Bidirectional(layers.GRU(6))(h)
outputs = layers.Dense(3, activation="softmax")(h)
model = keras.Model(inputs, outputs)

model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
