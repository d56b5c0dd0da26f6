"""As examples/nlp/lstm_seq2seq.py of keras-io: an encoder's states start a decoder, which is then run by itself."""

import keras
import numpy as np

latent_dim, source_tokens, target_tokens = 12, 7, 9
rng = np.random.default_rng(2)
encoder_input_data = np.eye(source_tokens, dtype="float32")[rng.integers(0, source_tokens, (20, 6))]
decoder_input_data = np.eye(target_tokens, dtype="float32")[rng.integers(0, target_tokens, (20, 8))]
decoder_target_data = np.roll(decoder_input_data, -1, axis=1)
decoder_target_data[:, -1] = 0

encoder_inputs = keras.Input(shape=(None, source_tokens))
encoder = keras.layers.LSTM(latent_dim, return_state=True)
encoder_outputs, state_h, state_c = encoder(encoder_inputs)
encoder_states = [state_h, state_c]

decoder_inputs = keras.Input(shape=(None, target_tokens))
decoder_lstm = keras.layers.LSTM(latent_dim, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=encoder_states)
decoder_dense = keras.layers.Dense(target_tokens, activation="softmax")
decoder_outputs = decoder_dense(decoder_outputs)
model = keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)

model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit(
    [encoder_input_data, decoder_input_data], decoder_target_data, batch_size=64, epochs=3, validation_split=0.2
)
scores = model.evaluate([encoder_input_data, decoder_input_data], decoder_target_data, verbose=0)

encoder_model = keras.Model(encoder_inputs, encoder_states)
decoder_state_input_h = keras.Input(shape=(latent_dim,))
decoder_state_input_c = keras.Input(shape=(latent_dim,))
decoder_states_inputs = [decoder_state_input_h, decoder_state_input_c]
decoder_outputs, state_h, state_c = decoder_lstm(decoder_inputs, initial_state=decoder_states_inputs)
decoder_outputs = decoder_dense(decoder_outputs)
decoder_model = keras.Model([decoder_inputs, *decoder_states_inputs], [decoder_outputs, state_h, state_c])

states = encoder_model.predict(encoder_input_data[:1], verbose=0)
token = np.zeros((1, 1, target_tokens), "float32")
token[0, 0, 0] = 1
predicted = []
for _ in range(5):
    output, *states = decoder_model.predict([token, *states], verbose=0)
    predicted.append(output)
    token = np.eye(target_tokens, dtype="float32")[output.argmax(-1)]
