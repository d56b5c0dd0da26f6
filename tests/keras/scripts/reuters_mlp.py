"""As examples/reuters_mlp.py of keras 2.3: which words a text has, and dense layers with dropout of rate 0."""

import keras
import numpy as np
from keras.layers import Activation, Dense, Dropout
from keras.models import Sequential

max_words, num_classes = 40, 5
rng = np.random.default_rng(44)
x = (rng.random((30, max_words)) < 0.2).astype("float32")
y = keras.utils.to_categorical(rng.integers(0, num_classes, 30), num_classes)

model = Sequential()
model.add(Dense(16, input_shape=(max_words,)))
model.add(Activation("relu"))
model.add(Dropout(0.0))
model.add(Dense(num_classes))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(x, y, batch_size=32, epochs=3, verbose=1, validation_split=0.1)
score = scores = model.evaluate(x, y, batch_size=32, verbose=0)
predicted = model.predict(x[:6], verbose=0)
