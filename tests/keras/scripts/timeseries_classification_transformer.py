"""As examples/timeseries/timeseries_classification_transformer.py of keras-io: attention; channels_first by Permute."""

import keras
import numpy as np
from keras import layers

n_classes = 2
rng = np.random.default_rng(17)
x = rng.normal(size=(24, 14, 1)).astype("float32")
y = rng.integers(0, n_classes, 24)


def transformer_encoder(inputs, head_size, num_heads, ff_dim, dropout=0):
    x = layers.MultiHeadAttention(key_dim=head_size, num_heads=num_heads, dropout=dropout)(inputs, inputs)
    x = layers.Dropout(dropout)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    res = x + inputs
    x = layers.Conv1D(filters=ff_dim, kernel_size=1, activation="relu")(res)
    x = layers.Dropout(dropout)(x)
    x = layers.Conv1D(filters=inputs.shape[-1], kernel_size=1)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return x + res


inputs = keras.Input(shape=x.shape[1:])
h = inputs
for _ in range(2):
    h = transformer_encoder(h, head_size=6, num_heads=2, ff_dim=4)
h = layers.GlobalAveragePooling1D()(layers.Permute((2, 1))(h))
for dim in [16]:
    h = layers.Dense(dim, activation="relu")(h)
    h = layers.Dropout(0.0)(h)
outputs = layers.Dense(n_classes, activation="softmax")(h)
model = keras.Model(inputs, outputs)

model.compile(
    loss="sparse_categorical_crossentropy",
    optimizer=keras.optimizers.Adam(learning_rate=1e-4),
    metrics=["sparse_categorical_accuracy"],
)
callbacks = [keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)]
history = model.fit(x, y, validation_split=0.25, epochs=3, batch_size=64, callbacks=callbacks)
scores = model.evaluate(x, y, verbose=0)
predicted = model.predict(x[:6], verbose=0)
