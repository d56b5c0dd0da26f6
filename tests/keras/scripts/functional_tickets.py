"""As guides/functional_api.py of keras-io: three inputs, two LSTMs, two outputs by name, each with its loss."""

import keras
import numpy as np
from keras import layers

num_tags, num_words, num_departments = 4, 50, 3
rng = np.random.default_rng(33)
title_data, body_data = rng.integers(0, num_words, (20, 6)), rng.integers(0, num_words, (20, 12))
tags_data = rng.integers(0, 2, (20, num_tags)).astype("float32")
priority_targets = rng.random((20, 1)).astype("float32")
dept_targets = np.eye(num_departments, dtype="float32")[rng.integers(0, num_departments, 20)]

title_input = keras.Input(shape=(None,), name="title")
body_input = keras.Input(shape=(None,), name="body")
tags_input = keras.Input(shape=(num_tags,), name="tags")
title_features = layers.Embedding(num_words, 8)(title_input)
body_features = layers.Embedding(num_words, 8)(body_input)
title_features = layers.LSTM(10)(title_features)
body_features = layers.LSTM(6)(body_features)
h = layers.concatenate([title_features, body_features, tags_input])
priority_pred = layers.Dense(1, name="priority")(h)
department_pred = layers.Dense(num_departments, name="department")(h)
model = keras.Model(
    inputs=[title_input, body_input, tags_input],
    outputs={"priority": priority_pred, "department": department_pred},
)

model.compile(
    optimizer=keras.optimizers.RMSprop(1e-3),
    loss={
        "priority": keras.losses.BinaryCrossentropy(from_logits=True),
        "department": keras.losses.CategoricalCrossentropy(from_logits=True),
    },
    loss_weights={"priority": 1.0, "department": 0.2},
)
x = {"title": title_data, "body": body_data, "tags": tags_data}
y = {"priority": priority_targets, "department": dept_targets}
history = model.fit(x, y, epochs=3, batch_size=32)
scores = model.evaluate(x, y, verbose=0)[:1]
predicted = model.predict(x, verbose=0)
