"""As guides/keras_tuner/getting_started.py of keras-io: models of several settings, the best of which is trained on."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(64)
x = rng.normal(size=(64, 6, 3)).astype("float32")
y = x.mean(axis=1)[:, :1] + 0.1 * rng.normal(size=(64, 1)).astype("float32")


def build_model(units, activation, rate):
    model = keras.Sequential([keras.Input(shape=(6, 3)), layers.GRU(units), layers.Dense(4, activation=activation)])
    model.add(layers.Dense(1))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=rate), loss="mse", metrics=["mae"])
    return model


results = {}
for units in (3, 5):
    for activation in ("relu", "tanh"):
        trial = build_model(units, activation, 0.01)
        found = trial.fit(x, y, epochs=2, batch_size=16, validation_split=0.25)
        results[units, activation] = min(found.history["val_loss"])
        del trial
        keras.backend.clear_session()

units, activation = min(results, key=results.get)
model = build_model(units, activation, 0.01)
history = model.fit(x, y, epochs=3, batch_size=16)
scores = [*model.evaluate(x, y, batch_size=16, verbose=0), *results.values()]
predicted = model.predict(x, verbose=0)
