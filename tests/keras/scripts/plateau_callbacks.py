"""As guides/training_with_built_in_methods.py of keras-io: rates that fall on a plateau, and the best weights."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(73)
x = rng.normal(size=(64, 6, 3)).astype("float32")
y = rng.normal(size=(64, 1)).astype("float32")

model = keras.Sequential([keras.Input(shape=(6, 3)), layers.SimpleRNN(6), layers.Dense(1)])
model.compile(optimizer=keras.optimizers.RMSprop(0.02), loss="mse")
seen = []
callbacks = [
    keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=0.05, min_lr=1e-3),
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=4, restore_best_weights=True),
    keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"])),
]
history = model.fit(x, y, epochs=8, batch_size=16, validation_split=0.25, callbacks=callbacks)
scores = [model.evaluate(x, y, batch_size=16, verbose=0), *seen]
predicted = model.predict(x, verbose=0)
