"""As guides/writing_your_own_callbacks.py of keras-io: stop at the least loss, and set the rate by a table."""

import keras
import numpy as np

rng = np.random.default_rng(41)
x, y = rng.random((16, 6, 3)).astype("float32"), rng.random((16, 1)).astype("float32")
calls = []


class EarlyStoppingAtMinLoss(keras.callbacks.Callback):
    def __init__(self, patience=0):
        super().__init__()
        self.patience = patience
        self.best_weights = None

    def on_train_begin(self, logs=None):
        self.wait = 0
        self.best = np.inf

    def on_train_batch_end(self, batch, logs=None):
        calls.append(("batch", batch, sorted(logs)))

    def on_epoch_end(self, epoch, logs=None):
        current = logs.get("loss")
        if np.less(current, self.best):
            self.best = current
            self.wait = 0
            self.best_weights = self.model.get_weights()
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.model.stop_training = True
                self.model.set_weights(self.best_weights)


class CustomLearningRateScheduler(keras.callbacks.Callback):
    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def on_epoch_begin(self, epoch, logs=None):
        lr = float(self.model.optimizer.learning_rate)
        self.model.optimizer.learning_rate = self.schedule(epoch, lr)


def get_model():
    model = keras.Sequential()
    model.add(keras.layers.LSTM(8))
    model.add(keras.layers.Dense(1))
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.1),
        loss="mean_squared_error",
        metrics=["mean_absolute_error"],
    )
    return model


model = get_model()
history = model.fit(
    x,
    y,
    batch_size=16,
    epochs=3,
    callbacks=[EarlyStoppingAtMinLoss(2), CustomLearningRateScheduler(lambda epoch, lr: lr * (0.5 if epoch else 1))],
)
scores = model.evaluate(x, y, verbose=0)
predicted = model.predict(x, verbose=0)
