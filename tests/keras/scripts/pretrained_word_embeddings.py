"""As examples/nlp/pretrained_word_embeddings.py of keras-io: convolutions over embeddings that are not trained."""

import keras
import numpy as np
from keras import layers
from keras.layers import Embedding

num_tokens, embedding_dim, num_classes = 40, 8, 4
rng = np.random.default_rng(21)
embedding_matrix = rng.normal(size=(num_tokens, embedding_dim))
x = rng.integers(0, num_tokens, (24, 80))
y = rng.integers(0, num_classes, 24)

embedding_layer = Embedding(num_tokens, embedding_dim, trainable=False)
embedding_layer.build((1,))
embedding_layer.set_weights([embedding_matrix])

int_sequences_input = keras.Input(shape=(None,), dtype="int32")
embedded_sequences = embedding_layer(int_sequences_input)
h = layers.Conv1D(8, 5, activation="relu")(embedded_sequences)
h = layers.MaxPooling1D(5)(h)
h = layers.Conv1D(8, 5, activation="relu")(h)
h = layers.MaxPooling1D(2)(h)
h = layers.Conv1D(8, 3, activation="relu")(h)
h = layers.GlobalMaxPooling1D()(h)
h = layers.Dense(8, activation="relu")(h)
h = layers.Dropout(0.0)(h)
preds = layers.Dense(num_classes, activation="softmax")(h)
model = keras.Model(int_sequences_input, preds)
model.summary()

model.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["acc"])
history = model.fit(x[:16], y[:16], batch_size=128, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
