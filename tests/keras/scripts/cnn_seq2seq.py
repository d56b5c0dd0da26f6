"""As examples/cnn_seq2seq.py of keras 2.3: causal convolutions, attention by Dot layers; lengths are known here."""

import numpy as np
from keras.layers import Activation, Concatenate, Convolution1D, Dense, Dot, Input
from keras.models import Model

encoder_tokens, decoder_tokens = 6, 7
rng = np.random.default_rng(43)
encoder_data = np.eye(encoder_tokens, dtype="float32")[rng.integers(0, encoder_tokens, (16, 9))]
decoder_data = np.eye(decoder_tokens, dtype="float32")[rng.integers(0, decoder_tokens, (16, 8))]
target_data = np.roll(decoder_data, -1, axis=1)

encoder_inputs = Input(shape=(9, encoder_tokens))
decoder_inputs = Input(shape=(8, decoder_tokens))
coded = []
for h in (encoder_inputs, decoder_inputs):
    h = Convolution1D(8, kernel_size=3, activation="relu", padding="causal")(h)
    h = Convolution1D(8, kernel_size=3, activation="relu", padding="causal", dilation_rate=2)(h)
    coded.append(Convolution1D(8, kernel_size=3, activation="relu", padding="causal", dilation_rate=4)(h))
x_encoder, x_decoder = coded
attention = Dot(axes=[2, 2])([x_decoder, x_encoder])
attention = Activation("softmax")(attention)
context = Dot(axes=[2, 1])([attention, x_encoder])
decoder_combined_context = Concatenate(axis=-1)([context, x_decoder])
decoder_outputs = Convolution1D(8, kernel_size=3, activation="relu", padding="causal")(decoder_combined_context)
decoder_outputs = Convolution1D(8, kernel_size=3, activation="relu", padding="causal")(decoder_outputs)
decoder_outputs = Dense(decoder_tokens, activation="softmax")(decoder_outputs)
model = Model([encoder_inputs, decoder_inputs], decoder_outputs)
model.summary()
model.compile(optimizer="adam", loss="categorical_crossentropy")

history = model.fit([encoder_data, decoder_data], target_data, batch_size=64, epochs=3, validation_split=0.25)
scores = [model.evaluate([encoder_data, decoder_data], target_data, verbose=0)]
predicted = model.predict([encoder_data[:4], decoder_data[:4]], verbose=0)
