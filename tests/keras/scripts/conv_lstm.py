"""As examples/vision/conv_lstm.py of keras-io: convolutional LSTMs predict frames, the last one for its Conv3D."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(15)
frames = (rng.uniform(0, 1, (12, 5, 8, 8, 1)) > 0.7).astype("float32")
x, y = frames[:, :-1], frames[:, 1:]

inp = layers.Input(shape=(None, *x.shape[2:]))
h = layers.ConvLSTM2D(filters=4, kernel_size=(5, 5), padding="same", return_sequences=True, activation="relu")(inp)
h = layers.BatchNormalization()(h)
h = layers.ConvLSTM2D(filters=4, kernel_size=(3, 3), padding="same", return_sequences=True, activation="relu")(h)
h = layers.BatchNormalization()(h)
h = layers.ConvLSTM2D(filters=1, kernel_size=(1, 1), padding="same", return_sequences=True, activation="sigmoid")(h)
model = keras.models.Model(inp, h)
model.compile(loss=keras.losses.binary_crossentropy, optimizer=keras.optimizers.Adam())

early_stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=10)
reduce_lr = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=5)
history = model.fit(
    x[:8], y[:8], batch_size=8, epochs=3, validation_data=(x[8:], y[8:]), callbacks=[early_stopping, reduce_lr]
)
scores = model.evaluate(x[8:], y[8:], verbose=0)
predicted = model.predict(np.expand_dims(x[0], axis=0), verbose=0)[:, -1]
