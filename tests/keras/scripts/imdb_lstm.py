"""As examples/imdb_lstm.py of keras 2.3: an LSTM with both kinds of dropout, here of rate 0, reads reviews."""

import numpy as np
from keras.layers import LSTM, Dense, Embedding
from keras.models import Sequential
from keras.preprocessing import sequence

max_features, maxlen = 60, 16
rng = np.random.default_rng(8)
x = sequence.pad_sequences([rng.integers(1, max_features, n) for n in rng.integers(3, 20, 40)], maxlen=maxlen)
y = rng.integers(0, 2, 40)
x_train, y_train, x_test, y_test = x[:32], y[:32], x[32:], y[32:]

model = Sequential()
model.add(Embedding(max_features, 16))
model.add(LSTM(16, dropout=0.0, recurrent_dropout=0.0))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(x_train, y_train, batch_size=32, epochs=3, validation_data=(x_test, y_test))
scores = model.evaluate(x_test, y_test, batch_size=32, verbose=0)
predicted = model.predict(x_test, verbose=0)
