"""As examples/nlp/text_classification_from_scratch.py of keras-io: convolutions with strides over ids of words."""

import keras
import numpy as np
from keras import layers

max_features, embedding_dim, sequence_length = 50, 10, 60
rng = np.random.default_rng(22)
x = rng.integers(0, max_features, (24, sequence_length))
y = rng.integers(0, 2, 24)

inputs = keras.Input(shape=(None,), dtype="int64")
h = layers.Embedding(max_features, embedding_dim)(inputs)
h = layers.Dropout(0.0)(h)
h = layers.Conv1D(12, 7, padding="valid", activation="relu", strides=3)(h)
h = layers.Conv1D(12, 7, padding="valid", activation="relu", strides=3)(h)
h = layers.GlobalMaxPooling1D()(h)
h = layers.Dense(12, activation="relu")(h)
h = layers.Dropout(0.0)(h)
predictions = layers.Dense(1, activation="sigmoid", name="predictions")(h)
model = keras.Model(inputs, predictions)

model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x[:16], y[:16], validation_data=(x[16:], y[16:]), epochs=3)
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
