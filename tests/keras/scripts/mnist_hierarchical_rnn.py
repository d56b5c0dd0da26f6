"""As examples/mnist_hierarchical_rnn.py of keras 2.3: one LSTM reads each row of an image, another one the rows."""

import keras
import numpy as np
from keras.layers import LSTM, Dense, Input, TimeDistributed
from keras.models import Model

num_classes = 10
rng = np.random.default_rng(5)
x = rng.uniform(0, 1, (24, 5, 6, 1)).astype("float32")
y = keras.utils.to_categorical(rng.integers(0, num_classes, 24), num_classes)

images = Input(shape=x.shape[1:])
encoded_rows = TimeDistributed(LSTM(8))(images)
encoded_columns = LSTM(8)(encoded_rows)
prediction = Dense(num_classes, activation="softmax")(encoded_columns)
model = Model(images, prediction)
model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])

history = model.fit(x[:16], y[:16], batch_size=32, epochs=3, verbose=1, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
