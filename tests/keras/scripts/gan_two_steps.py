"""As examples/generative/dcgan_overriding_train_step.py of keras-io: two models are trained in turn, batch by batch."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(65)
x = rng.normal(2.0, 0.5, size=(48, 6, 2)).astype("float32")
noise = rng.normal(size=(48, 6, 3)).astype("float32")

discriminator = keras.Sequential(
    [keras.Input(shape=(6, 2)), layers.LSTM(4), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1)],
)
loss = keras.losses.BinaryCrossentropy(from_logits=True)
discriminator.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
labels = np.ones((48, 1), "float32")
discriminator.fit(x, labels, epochs=1, batch_size=16)

generator = keras.Sequential([keras.Input(shape=(6, 3)), layers.GRU(4, return_sequences=True), layers.Dense(2)])
judged = keras.models.clone_model(discriminator)
judged.set_weights(discriminator.get_weights())
judged.trainable = False
model = keras.Sequential([keras.Input(shape=(6, 3)), generator, judged])
model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
history = model.fit(noise, labels, epochs=1, batch_size=16)

both = []
for start in range(0, 48, 16):
    fake = generator.predict(noise[start : start + 16], verbose=0)
    real_and_fake = np.concatenate([x[start : start + 16], fake])
    targets = np.concatenate([np.ones((16, 1)), np.zeros((16, 1))]).astype("float32")
    d_loss = discriminator.train_on_batch(real_and_fake, targets)
    judged.set_weights(discriminator.get_weights())
    g_loss = model.train_on_batch(noise[start : start + 16], labels[:16])
    both += [d_loss, g_loss]
scores = [float(np.ravel(one)[0]) for one in both]
predicted = [generator.predict(noise, verbose=0), discriminator.predict(x, verbose=0)]
