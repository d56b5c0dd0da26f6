"""Layers, which check, normalize, run and shape."""

# The public layers, by module. Their names in `rnnkit`, `rnnkit.keras.layers` and the reference follow from these;
# `Operation` is imported by rnnkit itself, since symbolic tensors make it.
PUBLIC = {
    name: f"rnnkit.layers.{module}"
    for module, names in {
        "activation_layers": "ELU LeakyReLU ReLU Softmax",
        "array_function": "ArrayFunction",
        "attention": "AdditiveAttention Attention",
        "batch_normalization": "BatchNormalization",
        "bidirectional": "Bidirectional",
        "conv_lstm": "ConvLSTM1D ConvLSTM2D ConvLSTM3D",
        "convolution": "Conv1D",
        "dense": "Dense Dropout",
        "dot": "Dot",
        "embedding": "Embedding",
        "masking": "Masking",
        "memoryless": "Activation Lambda",
        "merging": "Add Average Concatenate Maximum Minimum Multiply Subtract",
        "moving_steps": "Cropping1D Permute UpSampling1D ZeroPadding1D",
        "multi_head_attention": "MultiHeadAttention",
        "noise": "AlphaDropout GaussianDropout GaussianNoise SpatialDropout1D",
        "normalization": "GroupNormalization LayerNormalization UnitNormalization",
        "parametric_relu": "PReLU",
        "pooling": "AveragePooling1D GlobalAveragePooling1D GlobalMaxPooling1D MaxPooling1D",
        "recurrent": "GRU LSTM SimpleRNN",
        "rnn": "RNN",
        "shaping": "Flatten RepeatVector Reshape",
        "time_distributed": "TimeDistributed",
    }.items()
    for name in names.split()
}
