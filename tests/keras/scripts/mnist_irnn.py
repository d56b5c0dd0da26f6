"""As examples/mnist_irnn.py of keras 2.3: a SimpleRNN with ReLU, started from the identity, over single pixels."""

import keras
import numpy as np
from keras import initializers
from keras.layers import Activation, Dense, SimpleRNN
from keras.models import Sequential
from keras.optimizers import RMSprop

num_classes, hidden_units = 10, 16
rng = np.random.default_rng(4)
x = rng.uniform(0, 1, (24, 6, 6)).astype("float32").reshape(24, -1, 1)
y = keras.utils.to_categorical(rng.integers(0, num_classes, 24), num_classes)

model = Sequential()
model.add(
    SimpleRNN(
        hidden_units,
        kernel_initializer=initializers.RandomNormal(stddev=0.001),
        recurrent_initializer=initializers.Identity(gain=1.0),
        activation="relu",
        input_shape=x.shape[1:],
    )
)
model.add(Dense(num_classes))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer=RMSprop(learning_rate=1e-6), metrics=["accuracy"])

history = model.fit(x[:16], y[:16], batch_size=32, epochs=3, verbose=1, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
