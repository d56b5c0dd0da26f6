"""As examples/nlp/text_classification_with_transformer.py of keras-io: a block of attention as a layer of one's own."""

import keras
import numpy as np
from keras import layers, ops

vocab_size, maxlen, embed_dim, num_heads, ff_dim = 40, 12, 8, 2, 10
rng = np.random.default_rng(23)
x = keras.utils.pad_sequences([rng.integers(1, vocab_size, n) for n in rng.integers(4, 16, 24)], maxlen=maxlen)
y = rng.integers(0, 2, 24)


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.0):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        attn_output = self.att(inputs, inputs)
        attn_output = self.dropout1(attn_output)
        out1 = self.layernorm1(inputs + attn_output)
        ffn_output = self.ffn(out1)
        ffn_output = self.dropout2(ffn_output)
        return self.layernorm2(out1 + ffn_output)


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = ops.arange(start=0, stop=ops.shape(x)[-1], step=1)
        return self.token_emb(x) + self.pos_emb(positions)


inputs = layers.Input(shape=(maxlen,))
h = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)(inputs)
h = TransformerBlock(embed_dim, num_heads, ff_dim)(h)
h = layers.GlobalAveragePooling1D()(h)
h = layers.Dropout(0.0)(h)
h = layers.Dense(10, activation="relu")(h)
outputs = layers.Dense(2, activation="softmax")(h)
model = keras.Model(inputs=inputs, outputs=outputs)

model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x[:16], y[:16], batch_size=32, epochs=3, validation_data=(x[16:], y[16:]))
scores = model.evaluate(x[16:], y[16:], verbose=0)
predicted = model.predict(x[16:], verbose=0)
