"""As examples/imdb_cnn_lstm.py of keras 2.3: a convolution, pooling and an LSTM, with dropout of rate 0."""

import numpy as np
from keras.layers import LSTM, Activation, Conv1D, Dense, Dropout, Embedding, MaxPooling1D
from keras.models import Sequential
from keras.preprocessing import sequence

max_features, maxlen = 60, 20
rng = np.random.default_rng(10)
x = sequence.pad_sequences([rng.integers(1, max_features, n) for n in rng.integers(3, 20, 40)], maxlen=maxlen)
y = rng.integers(0, 2, 40)
x_train, y_train, x_test, y_test = x[:32], y[:32], x[32:], y[32:]

model = Sequential()
model.add(Embedding(max_features, 16))
model.add(Dropout(0.0))
model.add(Conv1D(12, 5, padding="valid", activation="relu", strides=1))
model.add(MaxPooling1D(pool_size=4))
model.add(LSTM(10))
model.add(Dense(1))
model.add(Activation("sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(x_train, y_train, batch_size=32, epochs=3, validation_data=(x_test, y_test))
scores = model.evaluate(x_test, y_test, batch_size=32, verbose=0)
predicted = model.predict(x_test, verbose=0)
