"""As examples/nlp/addition_rnn.py of keras-io: sums of numbers, read and written digit by digit."""

import keras
import numpy as np
from keras import layers

DIGITS = 2
CHARACTERS = "0123456789+ "
LENGTH = 2 * DIGITS + 1


def one_hot(text, length):
    return np.eye(len(CHARACTERS), dtype="float32")[[CHARACTERS.index(one) for one in text.ljust(length)]]


rng = np.random.default_rng(0)
pairs = rng.integers(0, 10**DIGITS, (40, 2))
x = np.array([one_hot(f"{a}+{b}"[::-1], LENGTH) for a, b in pairs])
y = np.array([one_hot(str(a + b), DIGITS + 1) for a, b in pairs])

model = keras.Sequential()
model.add(layers.Input((LENGTH, len(CHARACTERS))))
model.add(layers.LSTM(16))
model.add(layers.RepeatVector(DIGITS + 1))
for _ in range(1):
    model.add(layers.LSTM(16, return_sequences=True))
model.add(layers.Dense(len(CHARACTERS), activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.summary()

for _ in range(1, 4):
    history = model.fit(x[:32], y[:32], batch_size=32, epochs=1, validation_data=(x[32:], y[32:]))
scores = model.evaluate(x[32:], y[32:], verbose=0)
predicted = model.predict(x[32:], verbose=0)
guess = np.argmax(predicted, axis=-1)
