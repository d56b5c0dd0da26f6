"""As examples/timeseries/timeseries_anomaly_detection.py of keras-io: what an autoencoder can't rebuild is unusual."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(63)
series = np.sin(np.arange(200) / 5) + 0.1 * rng.normal(size=200)
x = np.stack([series[i : i + 12] for i in range(160)])[..., None].astype("float32")

model = keras.Sequential(
    [
        layers.Input(shape=(12, 1)),
        layers.Conv1D(filters=4, kernel_size=3, padding="same", strides=2, activation="relu"),
        layers.Dropout(rate=0.0),
        layers.LSTM(5),
        layers.RepeatVector(12),
        layers.LSTM(5, return_sequences=True),
        layers.TimeDistributed(layers.Dense(1)),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse")
history = model.fit(
    x,
    x,
    epochs=3,
    batch_size=32,
    validation_split=0.1,
    callbacks=[keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, mode="min")],
)
rebuilt = model.predict(x, verbose=0)
error = np.mean(np.abs(rebuilt - x), axis=1)
threshold = np.max(error)
scores = [model.evaluate(x, x, batch_size=32, verbose=0), threshold]
predicted = [rebuilt, error]
