"""As examples/timeseries/eeg_signal_classification.py of keras-io: strided convolutions, weighted classes, counts."""

import keras
import numpy as np
from keras import layers

num_classes = 4
rng = np.random.default_rng(42)
x = rng.normal(size=(24, 32, 1)).astype("float32")
y = np.eye(num_classes, dtype="float32")[rng.integers(0, num_classes, 24)]

input_layer = keras.Input(shape=(32, 1))
h = input_layer
for filters in (4, 8):
    h = layers.Conv1D(filters=filters, kernel_size=3, strides=2, activation="relu", padding="same")(h)
    h = layers.BatchNormalization()(h)
h = layers.Dropout(0.0)(h)
h = layers.Flatten()(h)
h = layers.Dense(16, activation="relu")(h)
h = layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2())(h)
output_layer = layers.Dense(num_classes, activation="softmax")(h)
model = keras.Model(inputs=input_layer, outputs=output_layer)

model.compile(
    optimizer=keras.optimizers.Adam(amsgrad=True, learning_rate=0.001),
    loss=keras.losses.CategoricalCrossentropy(),
    metrics=[keras.metrics.TopKCategoricalAccuracy(k=3), keras.metrics.Precision(), keras.metrics.Recall()],
)
callbacks = [
    keras.callbacks.ReduceLROnPlateau(monitor="val_top_k_categorical_accuracy", factor=0.2, patience=2, min_lr=1e-6)
]
history = model.fit(
    x[:16],
    y[:16],
    batch_size=16,
    epochs=3,
    callbacks=callbacks,
    validation_data=(x[16:], y[16:]),
    class_weight={0: 1.0, 1: 2.0, 2: 0.5, 3: 1.5},
)
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
