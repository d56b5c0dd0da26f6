"""As examples/nlp/neural_machine_translation_with_keras_hub.py of keras-io: a translation by GRUs with attention."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(62)
source = rng.integers(1, 12, size=(48, 7))
source[:, 5:] *= rng.integers(0, 2, size=(48, 2))
target = rng.integers(1, 10, size=(48, 6))

given = keras.Input(shape=(7,), dtype="int32", name="source")
so_far = keras.Input(shape=(5,), dtype="int32", name="so_far")
embedded = layers.Embedding(12, 4, mask_zero=True)(given)
encoded, state = layers.GRU(6, return_sequences=True, return_state=True)(embedded)
decoded = layers.GRU(6, return_sequences=True)(layers.Embedding(10, 4)(so_far), initial_state=state)
context = layers.Attention()([decoded, encoded])
joined = layers.Concatenate()([decoded, context])
outputs = layers.TimeDistributed(layers.Dense(10, activation="softmax"))(joined)
model = keras.Model([given, so_far], outputs)
model.compile(optimizer=keras.optimizers.RMSprop(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
data = {"source": source, "so_far": target[:, :-1]}
history = model.fit(data, target[:, 1:], epochs=3, batch_size=16)
scores = model.evaluate(data, target[:, 1:], batch_size=16, verbose=0)
predicted = model.predict(data, verbose=0)
