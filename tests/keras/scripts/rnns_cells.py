"""As guides/working_with_rnns.py of keras-io: a layer and its cell give the same; batches are normalized."""

import keras
import numpy as np

input_dim, units, output_size = 8, 12, 10
rng = np.random.default_rng(28)
x, y = rng.random((24, 7, input_dim)).astype("float32"), rng.integers(0, output_size, 24)


def build_model(allow_cudnn_kernel=True):
    if allow_cudnn_kernel:
        lstm_layer = keras.layers.LSTM(units, input_shape=(None, input_dim))
    else:
        lstm_layer = keras.layers.RNN(keras.layers.LSTMCell(units), input_shape=(None, input_dim))
    return keras.models.Sequential([lstm_layer, keras.layers.BatchNormalization(), keras.layers.Dense(output_size)])


def compiled(model):
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), optimizer="sgd", metrics=["accuracy"]
    )
    return model


model = compiled(build_model(allow_cudnn_kernel=True))
history = model.fit(x[:16], y[:16], validation_data=(x[16:], y[16:]), batch_size=16, epochs=3)
noncudnn_model = compiled(build_model(allow_cudnn_kernel=False))
noncudnn_model.set_weights(model.get_weights())
noncudnn_model.fit(x[:16], y[:16], validation_data=(x[16:], y[16:]), batch_size=16, epochs=1)
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = [one.predict(x[16:], verbose=0) for one in (model, noncudnn_model)]
