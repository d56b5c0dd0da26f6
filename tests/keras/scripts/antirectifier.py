"""As examples/keras_recipes/antirectifier.py of keras-io: a layer of one's own with a weight, in place of ReLU."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(45)
x, y = rng.random((24, 12)).astype("float32"), rng.integers(0, 10, 24)


class Antirectifier(layers.Layer):
    def __init__(self, initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        output_dim = input_shape[-1]
        self.kernel = self.add_weight(
            shape=(output_dim * 2, output_dim), initializer=self.initializer, name="kernel", trainable=True
        )

    def call(self, inputs):
        inputs -= ops.mean(inputs, axis=-1, keepdims=True)
        pos = ops.relu(inputs)
        neg = ops.relu(-inputs)
        concatenated = ops.concatenate([pos, neg], axis=-1)
        return ops.matmul(concatenated, self.kernel)


model = keras.Sequential(
    [
        keras.Input(shape=(12,)),
        layers.Dense(8),
        Antirectifier(),
        layers.Dense(8),
        Antirectifier(),
        layers.Dropout(0.0),
        layers.Dense(10),
    ]
)
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=keras.optimizers.RMSprop(),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
)
history = model.fit(x, y, batch_size=128, epochs=3, validation_split=0.25)
scores = model.evaluate(x, y, verbose=0)
predicted = model.predict(x[:5], verbose=0)
