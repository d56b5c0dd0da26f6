"""As examples/timeseries/timeseries_weather_forecasting.py of keras-io: an LSTM on windows of several series."""

import keras
import numpy as np

past, future, step, batch_size = 24, 6, 2, 40
rng = np.random.default_rng(3)
features = np.cumsum(rng.normal(0, 0.3, (110, 4)), axis=0).astype("float32")
features = (features - features[:80].mean(axis=0)) / features[:80].std(axis=0)
start = past + future
x, y = features[:60], features[start : start + 60, [1]]
sequence_length = past // step
dataset_train = keras.preprocessing.timeseries_dataset_from_array(
    x, y, sequence_length=sequence_length, sampling_rate=step, batch_size=batch_size
)
dataset_val = keras.preprocessing.timeseries_dataset_from_array(
    features[50:80], features[80:110, [1]], sequence_length=sequence_length, sampling_rate=step, batch_size=batch_size
)
for batch in dataset_train:
    inputs, targets = batch

model_inputs = keras.layers.Input(shape=(inputs.shape[1], inputs.shape[2]))
lstm_out = keras.layers.LSTM(8)(model_inputs)
outputs = keras.layers.Dense(1)(lstm_out)
model = keras.Model(inputs=model_inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.001), loss="mse")
model.summary()

es_callback = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5)
history = model.fit(dataset_train, epochs=3, validation_data=dataset_val, callbacks=[es_callback])
scores = model.evaluate(dataset_val, verbose=0)
predicted = model.predict(dataset_val, verbose=0)
