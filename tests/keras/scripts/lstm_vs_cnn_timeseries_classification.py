"""As examples/timeseries/lstm_vs_cnn_timeseries_classification.py of keras-io: the best of two networks, from files."""

import os
import tempfile

import keras
import numpy as np
from keras import layers

num_classes = 2
rng = np.random.default_rng(20)
x = rng.normal(size=(40, 24, 1)).astype("float32")
y = np.where(rng.choice([-1, 1], 40) == -1, 0, 1)
x_train, y_train, x_test, y_test = x[:32], y[:32], x[32:], y[32:]

lstm_model = keras.Sequential(
    [
        layers.Input(shape=x.shape[1:]),
        layers.LSTM(12, return_sequences=True, dropout=0.0, recurrent_dropout=0.0),
        layers.LSTM(8, dropout=0.0, recurrent_dropout=0.0),
        layers.Dense(8, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    ]
)
model = keras.Sequential(
    [
        layers.Input(shape=x.shape[1:]),
        layers.Conv1D(filters=8, kernel_size=7, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling1D(pool_size=2),
        layers.Dropout(0.0),
        layers.Conv1D(filters=12, kernel_size=5, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling1D(pool_size=2),
        layers.Dropout(0.0),
        layers.GlobalAveragePooling1D(),
        layers.Dense(8, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    ]
)

scores, predicted = [], []
for one in (lstm_model, model):
    one.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "best_model.keras")
        callbacks = [
            keras.callbacks.ModelCheckpoint(path, save_best_only=True, monitor="val_loss"),
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=20, restore_best_weights=True),
        ]
        history = one.fit(
            x_train, y_train, epochs=3, batch_size=32, validation_split=0.25, callbacks=callbacks, verbose=1
        )
        best_model = keras.models.load_model(path)
    scores += best_model.evaluate(x_test, y_test, verbose=0)
    predicted.append(best_model.predict(x_test, verbose=0))
