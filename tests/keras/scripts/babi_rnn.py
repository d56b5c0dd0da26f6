"""As examples/babi_rnn.py of keras 2.3: a story and a question, read by two LSTMs."""

import numpy as np
from keras import layers
from keras.models import Model
from keras.utils import pad_sequences

vocab_size, story_maxlen, query_maxlen = 30, 14, 5
rng = np.random.default_rng(6)
stories = [rng.integers(1, vocab_size, rng.integers(5, story_maxlen)).tolist() for _ in range(30)]
queries = [rng.integers(1, vocab_size, rng.integers(2, query_maxlen)).tolist() for _ in range(30)]
x, xq = pad_sequences(stories, maxlen=story_maxlen), pad_sequences(queries, maxlen=query_maxlen)
y = np.zeros((30, vocab_size), "float32")
y[np.arange(30), rng.integers(1, vocab_size, 30)] = 1

sentence = layers.Input(shape=(story_maxlen,), dtype="int32")
encoded_sentence = layers.Embedding(vocab_size, 10)(sentence)
encoded_sentence = layers.LSTM(12)(encoded_sentence)
question = layers.Input(shape=(query_maxlen,), dtype="int32")
encoded_question = layers.Embedding(vocab_size, 10)(question)
encoded_question = layers.LSTM(8)(encoded_question)
merged = layers.concatenate([encoded_sentence, encoded_question])
preds = layers.Dense(vocab_size, activation="softmax")(merged)
model = Model([sentence, question], preds)
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])

history = model.fit([x, xq], y, batch_size=32, epochs=3, validation_split=0.05)
scores = model.evaluate([x, xq], y, batch_size=32, verbose=0)
predicted = model.predict([x, xq], verbose=0)
