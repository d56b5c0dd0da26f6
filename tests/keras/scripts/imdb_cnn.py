"""As examples/imdb_cnn.py of keras 2.3: a convolution and its greatest values, with dropout of rate 0."""

import numpy as np
from keras.layers import Activation, Conv1D, Dense, Dropout, Embedding, GlobalMaxPooling1D
from keras.models import Sequential
from keras.preprocessing import sequence

max_features, maxlen = 60, 18
rng = np.random.default_rng(12)
x = sequence.pad_sequences([rng.integers(1, max_features, n) for n in rng.integers(3, 20, 40)], maxlen=maxlen)
y = rng.integers(0, 2, 40)
x_train, y_train, x_test, y_test = x[:32], y[:32], x[32:], y[32:]

model = Sequential()
model.add(Embedding(max_features, 10))
model.add(Dropout(0.0))
model.add(Conv1D(12, 3, padding="valid", activation="relu", strides=1))
model.add(GlobalMaxPooling1D())
model.add(Dense(8))
model.add(Dropout(0.0))
model.add(Activation("relu"))
model.add(Dense(1))
model.add(Activation("sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(x_train, y_train, batch_size=32, epochs=3, validation_data=(x_test, y_test))
scores = model.evaluate(x_test, y_test, batch_size=32, verbose=0)
predicted = model.predict(x_test, verbose=0)
