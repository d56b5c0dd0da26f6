"""As examples/lstm_stateful.py of keras 2.3: states carried from batch to batch, and a model without beside it."""

import numpy as np
from keras.layers import LSTM, Dense, Input
from keras.models import Sequential

tsteps, lahead, batch_size = 2, 1, 1
rng = np.random.default_rng(14)
series = rng.uniform(-0.1, 0.1, 26)
x = series[1:].reshape(-1, lahead, 1).astype("float32")
y = ((series[1:] + series[:-1]) / 2).reshape(-1, 1).astype("float32")
x_train, y_train, x_test, y_test = x[:20], y[:20], x[20:], y[20:]


def create_model(stateful):
    model = Sequential()
    model.add(Input(batch_shape=(batch_size, lahead, 1)))
    model.add(LSTM(20, stateful=stateful))
    model.add(Dense(1))
    model.compile(loss="mse", optimizer="adam")
    return model


model_stateful = create_model(stateful=True)
for _ in range(2):
    carried = model_stateful.fit(x_train, y_train, batch_size=batch_size, epochs=1, shuffle=False)
    for layer in model_stateful.layers:
        if hasattr(layer, "reset_states"):
            layer.reset_states()

model = create_model(stateful=False)
history = model.fit(x_train, y_train, batch_size=batch_size, epochs=3, validation_data=(x_test, y_test), shuffle=False)
scores = model.evaluate(x_test, y_test, batch_size=batch_size, verbose=0)
predicted = model.predict(x_test, batch_size=batch_size, verbose=0)
