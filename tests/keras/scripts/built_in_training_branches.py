"""As guides/training_with_built_in_methods.py of keras-io: two inputs and two outputs, with metrics and weights."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(40)
img_data, ts_data = rng.random((20, 9, 4)).astype("float32"), rng.random((20, 12, 6)).astype("float32")
score_targets = rng.random((20, 1)).astype("float32")
class_targets = np.eye(5, dtype="float32")[rng.integers(0, 5, 20)]

image_input = keras.Input(shape=(9, 4), name="img_input")
timeseries_input = keras.Input(shape=(None, 6), name="ts_input")
x1 = layers.Conv1D(3, 3)(image_input)
x1 = layers.GlobalMaxPooling1D()(x1)
x2 = layers.Conv1D(3, 3)(timeseries_input)
x2 = layers.GlobalMaxPooling1D()(x2)
h = layers.concatenate([x1, x2])
score_output = layers.Dense(1, name="score_output")(h)
class_output = layers.Dense(5, name="class_output")(h)
model = keras.Model(inputs=[image_input, timeseries_input], outputs=[score_output, class_output])

model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss=[keras.losses.MeanSquaredError(), keras.losses.CategoricalCrossentropy(from_logits=True)],
    metrics=[
        [keras.metrics.MeanAbsolutePercentageError(), keras.metrics.MeanAbsoluteError()],
        [keras.metrics.CategoricalAccuracy()],
    ],
    loss_weights=[2.0, 1.0],
)
history = model.fit([img_data, ts_data], [score_targets, class_targets], batch_size=32, epochs=3)
scores = model.evaluate([img_data, ts_data], [score_targets, class_targets], verbose=0)
predicted = model.predict([img_data, ts_data], verbose=0)
