"""As guides/writing_your_own_callbacks.py of keras-io, with metrics of one's own, and variables that are assigned."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(55)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.normal(size=(48, 1)).astype("float32")


class Halved(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        rate = self.model.optimizer.learning_rate.numpy()
        self.model.optimizer.learning_rate.assign(rate / 2)

    def on_epoch_end(self, epoch, logs=None):
        dense = self.model.layers[-1]
        dense.kernel.assign(dense.kernel * 0.9)
        dense.bias.assign_add(np.full(dense.bias.shape, 0.1))


class CustomModel(keras.Sequential):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        logs["largest"] = ops.max(ops.abs(y_pred))
        return logs


model = CustomModel([keras.Input(shape=(6, 4)), layers.SimpleRNN(5), layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse", metrics=["mae"])
history = model.fit(x, y, epochs=3, batch_size=16, callbacks=[Halved()])
assert model.optimizer.iterations.numpy() == 9
scores = model.evaluate(x, y, batch_size=48, verbose=0)
predicted = model.predict(x, verbose=0)
