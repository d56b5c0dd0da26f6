"""As guides/understanding_masking_and_padding.py of keras-io: a layer of layers that asks an Embedding for its mask."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(32)
x = keras.utils.pad_sequences([rng.integers(1, 40, n) for n in rng.integers(2, 9, 24)], padding="post")
y = rng.integers(0, 2, (24, 1))


class MyLayer(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(input_dim=40, output_dim=8, mask_zero=True)
        self.lstm = layers.LSTM(8)

    def call(self, inputs):
        x = self.embedding(inputs)
        mask = self.embedding.compute_mask(inputs)
        return self.lstm(x, mask=mask)


inputs = keras.Input(shape=(None,), dtype="int32")
outputs = layers.Dense(1, activation="sigmoid")(MyLayer()(inputs))
model = keras.Model(inputs, outputs)

model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["binary_accuracy"])
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
