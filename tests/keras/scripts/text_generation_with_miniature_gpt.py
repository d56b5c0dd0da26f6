"""As examples/generative/text_generation_with_miniature_gpt.py of keras-io: causal attention, and only one loss."""

import keras
import numpy as np
from keras import layers, ops

vocab_size, maxlen, embed_dim, num_heads, feed_forward_dim = 30, 10, 8, 2, 8
rng = np.random.default_rng(24)
text = rng.integers(0, vocab_size, (20, maxlen + 1))
x, y = text[:, :-1], text[:, 1:]


def causal_attention_mask(n_dest, n_src, dtype):
    i = ops.arange(n_dest)[:, None]
    j = ops.arange(n_src)
    m = i >= j - n_src + n_dest
    return ops.reshape(ops.cast(m, dtype), [1, n_dest, n_src])


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.0):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads, embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        seq_len = ops.shape(inputs)[1]
        causal_mask = causal_attention_mask(seq_len, seq_len, "bool")
        attention_output = self.dropout1(self.att(inputs, inputs, attention_mask=causal_mask))
        out1 = self.layernorm1(inputs + attention_output)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = self.pos_emb(ops.arange(0, ops.shape(x)[-1], 1))
        return self.token_emb(x) + positions


inputs = layers.Input(shape=(maxlen,), dtype="int32")
h = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)(inputs)
h = TransformerBlock(embed_dim, num_heads, feed_forward_dim)(h)
outputs = layers.Dense(vocab_size)(h)
model = keras.Model(inputs=inputs, outputs=[outputs, h])
model.compile("adam", loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True), None])


class TextGenerator(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.written = []

    def on_epoch_end(self, epoch, logs=None):
        y, _ = self.model.predict(x[:1], verbose=0)
        self.written.append(int(ops.convert_to_numpy(ops.argmax(y[0, -1]))))


history = model.fit(x, y, batch_size=32, epochs=3, callbacks=[TextGenerator()])
scores = []
predicted = model.predict(x[:4], verbose=0)
