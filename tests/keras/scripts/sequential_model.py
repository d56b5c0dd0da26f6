"""As guides/sequential_model.py of keras-io: layers added and taken away, features of all of them, some held."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(36)
x, y = rng.normal(size=(24, 10, 4)).astype("float32"), rng.integers(0, 3, 24)

model = keras.Sequential(name="my_sequential")
model.add(keras.Input(shape=(10, 4)))
model.add(layers.Conv1D(8, 5, strides=2, activation="relu", name="layer1"))
model.add(layers.GRU(8, return_sequences=True, name="layer2"))
model.add(layers.GlobalMaxPooling1D())
model.add(layers.Dense(3, name="layer3"))
model.add(layers.Dense(7))
model.pop()
model.summary()
for layer in model.layers[:1]:
    layer.trainable = False

model.compile(
    optimizer=keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
)
history = model.fit(x[:16], y[:16], batch_size=16, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
feature_extractor = keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
intermediate = keras.Model(inputs=model.inputs, outputs=model.get_layer(name="layer2").output)
predicted = [feature_extractor.predict(x[16:], verbose=0), intermediate.predict(x[16:], verbose=0)]
