"""Writes the models of this folder: what PyTorch's exporter makes of small networks. Takes torch.

    python tests/onnx/data/make.py

Where onnxscript is installed, it also writes what PyTorch's newer exporter makes of two of them.
"""

import importlib.util
import io
import pathlib
import warnings

NAMES = ("tagger", "forecaster", "forecaster_fixed", "pooled", "stateful", "translator")


def networks() -> dict:
    """Name to class, example of the inputs, and open axes."""
    import torch
    from torch import nn

    class Tagger(nn.Module):
        """Ids to scores of every step: an embedding, a bidirectional LSTM of two layers, a dense layer."""

        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(11, 4)
            self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
            self.dense = nn.Linear(6, 5)

        def forward(self, ids):
            return torch.log_softmax(self.dense(self.lstm(self.embedding(ids))[0]), -1)

    class Forecaster(nn.Module):
        """A sequence to one number: a GRU, its last step, two dense layers."""

        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=True)
            self.dense = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1))

        def forward(self, x):
            return self.dense(self.gru(x)[0][:, -1])

    class Pooled(nn.Module):
        """A normalized sequence with the time axis first, an RNN with ReLU, the mean over time and its last state."""

        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(3)
            self.rnn = nn.RNN(3, 4, nonlinearity="relu", bias=False)

        def forward(self, x):
            y, h = self.rnn(self.norm(x))
            return y.mean(0), h

    class Stateful(nn.Module):
        """One call from given states to the next ones."""

        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, x, h, c):
            y, (h, c) = self.lstm(x, (h, c))
            return y, h, c

    class Translator(nn.Module):
        """The encoder's last states are the decoder's first."""

        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.GRU(3, 4, batch_first=True), nn.GRU(2, 4, batch_first=True)
            self.dense = nn.Linear(8, 2)

        def forward(self, source, target):
            encoded, h = self.encoder(source)
            decoded, _ = self.decoder(target, h)
            context = encoded.max(1, keepdim=True)[0].expand(-1, decoded.shape[1], -1)
            return self.dense(torch.cat([decoded, context], -1))

    BATCH_FIRST, TIME_FIRST, STATE = {0: "batch", 1: "time"}, {0: "time", 1: "batch"}, {1: "batch"}
    return {
        "tagger": (Tagger, (torch.randint(0, 11, (2, 5)),), {"ids": BATCH_FIRST}),
        "forecaster": (Forecaster, (torch.randn(2, 5, 3),), {"x": BATCH_FIRST}),
        "forecaster_fixed": (Forecaster, (torch.randn(1, 5, 3),), {"x": {}}),
        "pooled": (Pooled, (torch.randn(5, 2, 3),), {"x": TIME_FIRST}),
        "stateful": (
            Stateful,
            (torch.randn(5, 2, 3), torch.randn(1, 2, 4), torch.randn(1, 2, 4)),
            {"x": TIME_FIRST, "h": STATE, "c": STATE},
        ),
        "translator": (
            Translator,
            (torch.randn(2, 5, 3), torch.randn(2, 6, 2)),
            {"source": BATCH_FIRST, "target": {0: "batch", 1: "steps"}},
        ),
    }


def exported(name: str, seed: int = 0, newer: bool = False) -> bytes:
    """A model as one of PyTorch's exporters writes it."""
    import onnx
    import torch

    torch.manual_seed(seed)
    kind, example, axes = networks()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is deprecated, and needs no further package
        if newer:
            shapes = tuple(dict.fromkeys(one, torch.export.Dim.DYNAMIC) for one in axes.values())
            made = torch.onnx.export(kind().eval(), example, dynamo=True, dynamic_shapes=shapes, verbose=False)
            model = made.model_proto
        else:
            options = {"input_names": list(axes), "dynamic_axes": axes, "opset_version": 17}
            torch.onnx.export(kind().eval(), example, stream := io.BytesIO(), dynamo=False, **options)
            model = onnx.load_from_string(stream.getvalue())
    for texts in (model.graph.value_info, model.metadata_props, model.graph.metadata_props, model.functions):
        del texts[:]
    for one in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del one.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    model.producer_version = ""
    return model.SerializeToString()


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    for name in NAMES:
        (folder / f"{name}.onnx").write_bytes(exported(name))
    if importlib.util.find_spec("onnxscript"):
        for name in ("tagger", "forecaster"):
            (folder / f"{name}_newer.onnx").write_bytes(exported(name, newer=True))
