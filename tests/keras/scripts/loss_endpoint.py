"""As guides/training_with_built_in_methods.py of keras-io: a layer that is given the targets and adds the loss."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(72)
x = rng.normal(size=(48, 6, 4)).astype("float32")
y = rng.integers(0, 2, size=(48, 1)).astype("float32")


class LogisticEndpoint(layers.Layer):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def call(self, targets, logits):
        self.add_loss(ops.mean(self.loss_fn(targets, logits)))
        return ops.softmax(logits)


inputs = keras.Input(shape=(6, 4), name="inputs")
targets = keras.Input(shape=(1,), name="targets")
logits = layers.Dense(1)(layers.GRU(4)(inputs))
predictions = LogisticEndpoint(name="predictions")(targets, logits)
model = keras.Model(inputs=[inputs, targets], outputs=predictions)
model.compile(optimizer="adam")
data = {"inputs": x, "targets": y}
history = model.fit(data, epochs=3, batch_size=16)
scores = model.evaluate(data, batch_size=16, verbose=0)
predicted = [model.predict(data, verbose=0), keras.Model(inputs, logits).predict(x, verbose=0)]
