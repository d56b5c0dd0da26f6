"""As examples/babi_memnn.py of keras 2.3: a memory network, whose answer an LSTM reads."""

import numpy as np
from keras.layers import LSTM, Activation, Dense, Dropout, Embedding, Input, Permute, add, concatenate, dot
from keras.models import Model, Sequential

RATE = 0.0  # dropped values are drawn differently in every library
vocab_size, story_maxlen, query_maxlen = 20, 12, 4
rng = np.random.default_rng(7)
inputs_train = rng.integers(0, vocab_size, (24, story_maxlen))
queries_train = rng.integers(0, vocab_size, (24, query_maxlen))
answers_train = rng.integers(1, vocab_size, 24)

input_sequence = Input((story_maxlen,))
question = Input((query_maxlen,))
input_encoder_m = Sequential()
input_encoder_m.add(Embedding(input_dim=vocab_size, output_dim=16))
input_encoder_m.add(Dropout(RATE))
input_encoder_c = Sequential()
input_encoder_c.add(Embedding(input_dim=vocab_size, output_dim=query_maxlen))
input_encoder_c.add(Dropout(RATE))
question_encoder = Sequential()
question_encoder.add(Embedding(input_dim=vocab_size, output_dim=16))
question_encoder.add(Dropout(RATE))

input_encoded_m = input_encoder_m(input_sequence)
input_encoded_c = input_encoder_c(input_sequence)
question_encoded = question_encoder(question)
match = dot([input_encoded_m, question_encoded], axes=(2, 2))
match = Activation("softmax")(match)
response = add([match, input_encoded_c])
response = Permute((2, 1))(response)
answer = concatenate([response, question_encoded])
answer = LSTM(12)(answer)
answer = Dropout(RATE)(answer)
answer = Dense(vocab_size)(answer)
answer = Activation("softmax")(answer)
model = Model([input_sequence, question], answer)
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

history = model.fit([inputs_train[:16], queries_train[:16]], answers_train[:16], batch_size=32, epochs=3)
scores = model.evaluate([inputs_train[16:], queries_train[16:]], answers_train[16:], verbose=0)
predicted = model.predict([inputs_train[16:], queries_train[16:]], verbose=0)
