"""As examples/nlp/imdb_lstm_sentiment.py of keras-io: words become ids by their rank, then an LSTM reads them."""

from collections import Counter

import numpy as np
from keras.layers import LSTM, Dense, Embedding
from keras.models import Sequential
from keras.utils import pad_sequences

rng = np.random.default_rng(13)
words = [f"word{i}" for i in range(80)]
reviews = [" ".join(rng.choice(words, rng.integers(4, 15))) for _ in range(40)]
labels = rng.integers(0, 2, 40)
ranked = [word for word, _ in Counter(" ".join(reviews).split()).most_common(49)]
ids = {word: i + 1 for i, word in enumerate(ranked)}
x = pad_sequences([[ids[word] for word in review.split() if word in ids] for review in reviews], maxlen=12)

model = Sequential()
model.add(Embedding(input_dim=50, output_dim=12, input_shape=(12,)))
model.add(LSTM(12, dropout=0.0))
model.add(Dense(1, activation="sigmoid"))
model.summary()
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])

history = model.fit(x, labels, epochs=3, batch_size=64, validation_split=0.2)
scores = model.evaluate(x, labels, verbose=0)
predicted = model.predict(x[:4], verbose=0)
