"""As guides/training_with_built_in_methods.py of keras-io: a loss of one's own, weights of samples, a schedule."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(39)
x, y = rng.normal(size=(24, 8, 3)).astype("float32"), rng.normal(size=(24, 2)).astype("float32")
sample_weight = np.ones(24, "float32")
sample_weight[y[:, 0] > 0] = 2.0


def custom_mean_squared_error(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


inputs = keras.Input(shape=(8, 3), name="series")
h = layers.SimpleRNN(12, activation="relu", name="recurrent_1")(inputs)
h = layers.Dense(12, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01), name="dense_2")(h)
outputs = layers.Dense(2, name="predictions")(h)
model = keras.Model(inputs=inputs, outputs=outputs)

schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5, staircase=True)
model.compile(optimizer=keras.optimizers.RMSprop(learning_rate=schedule), loss=custom_mean_squared_error)
history = model.fit(x, y, sample_weight=sample_weight, batch_size=64, epochs=3)
scores = model.evaluate(x, y, batch_size=128, verbose=0)
predicted = model.predict(x[:3], verbose=0)
