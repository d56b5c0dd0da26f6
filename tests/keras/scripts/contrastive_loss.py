"""As examples/vision/nl_image_search.py of keras-io: a dual encoder whose loss compares all rows of a batch."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(54)
x = rng.normal(size=(48, 6, 4)).astype("float32")


class DualEncoder(keras.Model):
    def __init__(self, first, second, temperature=1.0, **kwargs):
        super().__init__(**kwargs)
        self.first = first
        self.second = second
        self.temperature = temperature

    def call(self, features, training=False):
        return ops.concatenate([self.first(features), self.second(features)], axis=1)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        one, other = y_pred[:, :3], y_pred[:, 3:]
        one = ops.normalize(one, axis=1)
        other = ops.normalize(other, axis=1)
        logits = ops.matmul(one, ops.transpose(other)) / self.temperature
        similarity = ops.matmul(one, ops.transpose(one))
        targets = ops.softmax((similarity + ops.matmul(other, ops.transpose(other))) / (2 * self.temperature))
        first_loss = keras.losses.categorical_crossentropy(y_true=targets, y_pred=logits, from_logits=True)
        second_loss = keras.losses.categorical_crossentropy(
            y_true=ops.transpose(targets), y_pred=ops.transpose(logits), from_logits=True
        )
        return ops.mean((first_loss + second_loss) / 2)


first = keras.Sequential([keras.Input(shape=(6, 4)), layers.LSTM(5), layers.Dense(3)])
second = keras.Sequential([keras.Input(shape=(6, 4)), layers.Flatten(), layers.Dense(5, "tanh"), layers.Dense(3)])
model = DualEncoder(first, second, temperature=0.5)
model.compile(optimizer=keras.optimizers.AdamW(learning_rate=0.01, weight_decay=0.001))
history = model.fit(x, epochs=3, batch_size=16)
scores = model.evaluate(x, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
