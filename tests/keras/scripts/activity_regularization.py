"""As guides/making_new_layers_and_models_via_subclassing.py of keras-io: penalties of what layers give."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(67)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")


class ActivityRegularization(layers.Layer):
    def __init__(self, rate=1e-2, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        self.add_loss(self.rate * ops.mean(ops.abs(inputs)))
        return inputs


model = keras.Sequential(
    [
        keras.Input(shape=(6, 4)),
        layers.LSTM(5, return_sequences=True, activity_regularizer=keras.regularizers.L2(1e-2)),
        layers.Dense(4, activation="tanh", activity_regularizer="l1", kernel_regularizer="l2"),
        ActivityRegularization(),
        layers.GRU(3),
        layers.Dense(1),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
history = model.fit(x, y, epochs=3, batch_size=16, validation_data=(x[:16], y[:16]))
scores = model.evaluate(x, y, batch_size=16, verbose=0)
predicted = model.predict(x, verbose=0)
