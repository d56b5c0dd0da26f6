"""As guides/understanding_masking_and_padding.py of keras-io: layers of one's own that make, pass on and use masks."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(31)
x = keras.utils.pad_sequences([rng.integers(1, 10, n) for n in rng.integers(2, 8, 24)], padding="post")
y = rng.random((24, 1)).astype("float32")


class CustomEmbedding(keras.layers.Layer):
    def __init__(self, input_dim, output_dim, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.mask_zero = mask_zero

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim), initializer="random_normal", dtype="float32"
        )

    def call(self, inputs):
        inputs = ops.cast(inputs, "int32")
        return ops.take(self.embeddings, inputs, axis=0)

    def compute_mask(self, inputs, mask=None):
        if not self.mask_zero:
            return None
        return ops.not_equal(inputs, 0)


class MyActivation(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return ops.relu(inputs)


class TemporalMean(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        used = ops.expand_dims(ops.cast(mask, "float32"), -1)
        return ops.sum(inputs * used, axis=1) / ops.sum(used, axis=1)

    def compute_mask(self, inputs, mask=None):
        return None


inputs = keras.Input(shape=(None,), dtype="int32")
h = CustomEmbedding(10, 8, mask_zero=True)(inputs)
h = MyActivation()(h)
h = layers.LSTM(8, return_sequences=True)(h)
h = TemporalMean()(h)
outputs = layers.Dense(1)(h)
model = keras.Model(inputs, outputs)

model.compile(optimizer="adam", loss="mse")
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
