"""As guides/working_with_rnns.py of keras-io: an encoder's two states start a decoder; states used again."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(26)
sources, targets, y = rng.integers(0, 30, (20, 8)), rng.integers(0, 40, (20, 6)), rng.integers(0, 10, 20)

encoder_input = layers.Input(shape=(None,))
encoder_embedded = layers.Embedding(input_dim=30, output_dim=10)(encoder_input)
output, state_h, state_c = layers.LSTM(12, return_state=True, name="encoder")(encoder_embedded)
encoder_state = [state_h, state_c]
decoder_input = layers.Input(shape=(None,))
decoder_embedded = layers.Embedding(input_dim=40, output_dim=10)(decoder_input)
decoder_output = layers.LSTM(12, name="decoder")(decoder_embedded, initial_state=encoder_state)
output = layers.Dense(10)(decoder_output)
model = keras.Model([encoder_input, decoder_input], output)
model.summary()

model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
history = model.fit([sources, targets], y, batch_size=32, epochs=3)
scores = model.evaluate([sources, targets], y, verbose=0)

paragraphs = rng.random((3, 20, 10, 5)).astype("float32")
lstm_layer = layers.LSTM(6, stateful=True)
for paragraph in paragraphs:
    carried = lstm_layer(paragraph)
existing_state = lstm_layer.states
lstm_layer.reset_states()
new_output = layers.LSTM(6)(paragraphs[2], initial_state=existing_state)
predicted = model.predict([sources, targets], verbose=0)
