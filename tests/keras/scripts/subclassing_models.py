"""As guides/making_new_layers_and_models_via_subclassing.py of keras-io: an autoencoder as a model of one's own."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(38)
x = rng.random((24, 12)).astype("float32")


class Encoder(layers.Layer):
    def __init__(self, latent_dim=4, intermediate_dim=8, name="encoder", **kwargs):
        super().__init__(name=name, **kwargs)
        self.dense_proj = layers.Dense(intermediate_dim, activation="relu")
        self.dense_mean = layers.Dense(latent_dim)

    def call(self, inputs):
        return self.dense_mean(self.dense_proj(inputs))


class Decoder(layers.Layer):
    def __init__(self, original_dim, intermediate_dim=8, name="decoder", **kwargs):
        super().__init__(name=name, **kwargs)
        self.dense_proj = layers.Dense(intermediate_dim, activation="relu")
        self.dense_output = layers.Dense(original_dim, activation="sigmoid")

    def call(self, inputs):
        return self.dense_output(self.dense_proj(inputs))


class AutoEncoder(keras.Model):
    def __init__(self, original_dim, intermediate_dim=8, latent_dim=4, name="autoencoder", **kwargs):
        super().__init__(name=name, **kwargs)
        self.encoder = Encoder(latent_dim=latent_dim, intermediate_dim=intermediate_dim)
        self.decoder = Decoder(original_dim, intermediate_dim=intermediate_dim)

    def call(self, inputs):
        return self.decoder(self.encoder(inputs))


model = AutoEncoder(12, 8, 4)
model.compile(keras.optimizers.Adam(learning_rate=1e-3), loss=keras.losses.MeanSquaredError())
history = model.fit(x, x, epochs=3, batch_size=64)
scores = model.evaluate(x, x, verbose=0)
predicted = model.predict(x, verbose=0)
