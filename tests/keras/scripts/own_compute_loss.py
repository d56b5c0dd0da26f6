"""As guides/custom_train_step_in_jax.py of keras-io, with a loss of one's own in the place of a step."""

import keras
import numpy as np
from keras import ops

rng = np.random.default_rng(52)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")


class CustomModel(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = ops.mean(ops.sqrt(1.0 + ops.square(y_pred - y)))
        return loss + sum(self.losses)


inputs = keras.Input(shape=(6, 4))
h = keras.layers.GRU(5, kernel_regularizer="l2")(inputs)
outputs = keras.layers.Dense(1)(h)
model = CustomModel(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.01))
history = model.fit(x, y, epochs=3, batch_size=16)
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
