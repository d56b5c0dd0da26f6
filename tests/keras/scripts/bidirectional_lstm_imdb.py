"""As examples/nlp/bidirectional_lstm_imdb.py of keras-io: two bidirectional LSTMs on padded reviews."""

import keras
import numpy as np
from keras import layers

max_features, maxlen = 50, 12
rng = np.random.default_rng(1)
reviews = [rng.integers(1, max_features, rng.integers(3, maxlen + 4)).tolist() for _ in range(40)]
x = keras.utils.pad_sequences(reviews, maxlen=maxlen)
y = rng.integers(0, 2, 40)

inputs = keras.Input(shape=(None,), dtype="int32")
h = layers.Embedding(max_features, 16)(inputs)
h = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(h)
h = layers.Bidirectional(layers.LSTM(8))(h)
outputs = layers.Dense(1, activation="sigmoid")(h)
model = keras.Model(inputs, outputs)
model.summary()

model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(x[:32], y[:32], batch_size=32, epochs=3, validation_data=(x[32:], y[32:]))
scores = model.evaluate(x[32:], y[32:], verbose=0)
predicted = model.predict(x[32:], verbose=0)
