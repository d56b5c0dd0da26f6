"""As examples/lstm_text_generation.py of keras 2.3: the next character of a text, sampled after each epoch."""

import numpy as np
from keras.callbacks import LambdaCallback
from keras.layers import LSTM, Dense
from keras.models import Sequential
from keras.optimizers import RMSprop

text = "the quick brown fox jumps over the lazy dog and runs into the wood where the dog does not see it"
chars = sorted(set(text))
maxlen, step = 10, 3
starts = range(0, len(text) - maxlen, step)
x = np.array([[[one == char for char in chars] for one in text[i : i + maxlen]] for i in starts], "float32")
y = np.array([[text[i + maxlen] == char for char in chars] for i in starts], "float32")

model = Sequential()
model.add(LSTM(16, input_shape=(maxlen, len(chars))))
model.add(Dense(len(chars), activation="softmax"))
optimizer = RMSprop(learning_rate=0.01)
model.compile(loss="categorical_crossentropy", optimizer=optimizer)

sampled = []


def on_epoch_end(epoch, logs):
    sampled.append(chars[int(np.argmax(model.predict(x[:1], verbose=0)[0]))])


history = model.fit(x, y, batch_size=128, epochs=3, callbacks=[LambdaCallback(on_epoch_end=on_epoch_end)])
scores = model.evaluate(x, y, verbose=0)
predicted = model.predict(x, verbose=0)
