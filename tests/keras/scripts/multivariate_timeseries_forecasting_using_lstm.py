"""As examples/timeseries/multivariate_timeseries_forecasting_using_lstm.py of keras-io: three LSTMs, leaky ReLUs."""

import keras
import numpy as np

win_length, num_features = 10, 5
rng = np.random.default_rng(19)
prices = np.cumsum(rng.normal(size=(60, num_features)), axis=0)
scaled = ((prices - prices.mean(axis=0)) / prices.std(axis=0)).astype("float32")
x = np.stack([scaled[i : i + win_length] for i in range(len(scaled) - win_length)])
y = scaled[win_length:, :1]
x_train, x_test, y_train, y_test = x[:40], x[40:], y[:40], y[40:]

model = keras.Sequential()
model.add(keras.layers.LSTM(12, input_shape=(win_length, num_features), return_sequences=True))
model.add(keras.layers.LeakyReLU(negative_slope=0.5))
model.add(keras.layers.LSTM(12, return_sequences=True))
model.add(keras.layers.LeakyReLU(negative_slope=0.5))
model.add(keras.layers.Dropout(0.0))
model.add(keras.layers.LSTM(8, return_sequences=False))
model.add(keras.layers.Dropout(0.0))
model.add(keras.layers.Dense(1))
model.summary()
model.compile(
    loss=keras.losses.MeanSquaredError(),
    optimizer=keras.optimizers.Adam(),
    metrics=[keras.metrics.MeanAbsoluteError()],
)

history = model.fit(x_train, y_train, batch_size=62, epochs=3, validation_data=(x_test, y_test), shuffle=False)
test_loss, test_mae = scores = model.evaluate(x_test, y_test, verbose=0)
predicted = model.predict(x_test, verbose=0)
