"""As examples/generative/lstm_character_level_text_generation.py of keras-io: one LSTM, trained an epoch at a time."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(18)
chars, maxlen = "abcdefgh ", 12
text = rng.integers(0, len(chars), 80)
x = np.eye(len(chars), dtype="float32")[[text[i : i + maxlen] for i in range(0, 68, 3)]]
y = np.eye(len(chars), dtype="float32")[[text[i + maxlen] for i in range(0, 68, 3)]]

model = keras.Sequential(
    [
        keras.Input(shape=(maxlen, len(chars))),
        layers.LSTM(16),
        layers.Dense(len(chars), activation="softmax"),
    ]
)
optimizer = keras.optimizers.RMSprop(learning_rate=0.01)
model.compile(loss="categorical_crossentropy", optimizer=optimizer)

written = x[:1]
for _ in range(3):
    history = model.fit(x, y, batch_size=128, epochs=1)
    preds = model.predict(written, verbose=0)[0]
    following = np.eye(len(chars), dtype="float32")[[np.argmax(preds)]]
    written = np.concatenate([written[:, 1:], following[None]], axis=1)
scores = model.evaluate(x, y, verbose=0)
predicted = model.predict(x, verbose=0)
