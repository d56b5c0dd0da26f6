"""As examples/timeseries/timeseries_classification_from_scratch.py of keras-io: a fully convolutional network."""

import keras
import numpy as np

num_classes = 2
rng = np.random.default_rng(16)
x = rng.normal(size=(40, 30, 1)).astype("float32")
y = rng.integers(0, num_classes, 40)


def make_model(input_shape):
    input_layer = keras.layers.Input(input_shape)
    h = input_layer
    for _ in range(3):
        h = keras.layers.Conv1D(filters=8, kernel_size=3, padding="same")(h)
        h = keras.layers.BatchNormalization()(h)
        h = keras.layers.ReLU()(h)
    gap = keras.layers.GlobalAveragePooling1D()(h)
    output_layer = keras.layers.Dense(num_classes, activation="softmax")(gap)
    return keras.models.Model(inputs=input_layer, outputs=output_layer)


model = make_model(input_shape=x.shape[1:])
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
callbacks = [
    keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=20, min_lr=0.0001),
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=50, verbose=1),
]
history = model.fit(x, y, batch_size=32, epochs=3, callbacks=callbacks, validation_split=0.2, verbose=1)
scores = model.evaluate(x[:8], y[:8], verbose=0)
predicted = model.predict(x[:8], verbose=0)
