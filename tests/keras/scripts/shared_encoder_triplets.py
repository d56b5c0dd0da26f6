"""As examples/vision/siamese_network.py of keras-io: three inputs through one encoder, and a loss of distances."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(75)
anchor, positive, negative = (rng.normal(size=(48, 6, 3)).astype("float32") for _ in range(3))

encoder = keras.Sequential([keras.Input(shape=(6, 3)), layers.GRU(5), layers.Dense(4), layers.UnitNormalization()])


class DistanceLayer(layers.Layer):
    def call(self, anchor, positive, negative):
        ap_distance = ops.sum(ops.square(anchor - positive), axis=-1, keepdims=True)
        an_distance = ops.sum(ops.square(anchor - negative), axis=-1, keepdims=True)
        return ops.concatenate([ap_distance, an_distance], axis=-1)


def triplet_loss(y_true, y_pred):
    return ops.maximum(y_pred[:, 0] - y_pred[:, 1] + 0.5, 0.0)


inputs = [keras.Input(shape=(6, 3), name=name) for name in ("anchor", "positive", "negative")]
outputs = DistanceLayer()(*[encoder(one) for one in inputs])
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss=triplet_loss)
data, zeros = [anchor, positive, negative], np.zeros((48, 2), "float32")
history = model.fit(data, zeros, epochs=3, batch_size=16)
scores = model.evaluate(data, zeros, batch_size=16, verbose=0)
predicted = model.predict(data, verbose=0)
