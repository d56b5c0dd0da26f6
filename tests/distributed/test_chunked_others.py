"""Every other layer, layers and models as classes, and labelled arrays in chunks."""

import inspect

import numpy as np
import pytest
from chunked_runs import SCHEDULERS, chunked, da, same_as_whole

import rnnkit as rk
from rnnkit.layers.base import Layer
from rnnkit.layers.merging import Merge
from rnnkit.models.subclassed import SubclassedLayer, SubclassedModel

# Arguments of those that need some; of several layers that are left out, other tests say more.
GIVEN = {
    "Activation": ("tanh",),
    "AlphaDropout": (0.3,),
    "Bidirectional": (rk.GRU(3),),
    "Conv1D": (3, 2),
    "ConvLSTM1D": (2, 3),
    "ConvLSTM2D": (2, 3),
    "ConvLSTM3D": (2, 3),
    "Cropping1D": (1,),
    "Dense": (3,),
    "Dot": (2,),
    "Dropout": (0.3,),
    "Embedding": (9, 3),
    "GRU": (3,),
    "GaussianDropout": (0.1,),
    "GroupNormalization": (2,),
    "GaussianNoise": (0.1,),
    "LSTM": (3,),
    "Lambda": (np.tanh,),
    "Permute": ((2, 1),),
    "RNN": (rk.GRUCell(3),),
    "RepeatVector": (2,),
    "Reshape": ((-1, 2),),
    "SimpleRNN": (3,),
    "SpatialDropout1D": (0.1,),
    "TimeDistributed": (rk.Dense(2),),
    "UpSampling1D": (2,),
    "ZeroPadding1D": (1,),
}
ELSEWHERE = {"ArrayFunction", "Ensemble", "Model", "MultiHeadAttention", "Operation", "Sequential"}
LAYERS = [
    name
    for name in sorted(rk.__all__)
    if inspect.isclass(found := getattr(rk, name)) and issubclass(found, Layer) and name not in ELSEWHERE
]


def inputs(name, rng):
    x = rng.normal(size=(5, 12, 4)).astype("float32")
    if name == "Embedding":
        return rng.integers(0, 9, (5, 12))
    if name.startswith("ConvLSTM"):
        return rng.normal(size=(5, 6, *(4,) * int(name[-2]), 2)).astype("float32")
    if name == "RepeatVector":
        return x[:, 0]
    several = issubclass(getattr(rk, name), Merge) or "Attention" in name
    return [x, x[:, ::-1].copy()] if several else x


def lazily(x, rng):
    return [chunked(one, rng) for one in x] if isinstance(x, list) else chunked(x, rng)


@pytest.mark.parametrize("name", LAYERS)
def test_L2_a_layer_has_the_bits_of_the_whole(name):
    rng = np.random.default_rng(0)
    layer, x = getattr(rk, name)(*GIVEN.get(name, ())), inputs(name, rng)
    whole = layer(x)
    same_as_whole(layer(lazily(x, rng)), whole, SCHEDULERS[len(name) % 2])


@pytest.mark.parametrize("name", ["LayerNormalization", "BatchNormalization", "ReLU", "Dense", "Add"])
def test_steps_that_are_apart_stay_in_their_chunks(name):
    layer, x = getattr(rk, name)(*GIVEN.get(name, ())), da.ones((4, 12, 3), chunks=(2, 5, 3))
    assert layer([x, x] if name == "Add" else x).chunks[:2] == ((2, 2), (5, 5, 2))


@pytest.mark.parametrize("name", ["Conv1D", "AveragePooling1D", "Flatten"])
def test_layers_along_time_see_whole_rows(name):
    layer, x = getattr(rk, name)(*GIVEN.get(name, ())), da.ones((4, 12, 3), chunks=(2, 5, 3))
    assert [len(sizes) for sizes in layer(x).chunks[:2]] == [2, 1]


def test_arguments_of_a_call_in_a_model_go_along():
    rng, x = np.random.default_rng(0), rk.Input((None, 4))
    causal = rk.MultiHeadAttention(2, 3, seed=0)(x, x, use_causal_mask=True)
    model = rk.Model(x, [causal, x[:, ::-1] * 2 + causal])
    given = rng.normal(size=(5, 12, 4)).astype("float32")
    same_as_whole(model(chunked(given, rng)), model(given))


class Gated(SubclassedLayer):
    def __init__(self, units):
        super().__init__()
        self.gate, self.recurrent = rk.Dense(units, seed=0), rk.GRU(units, return_sequences=True, seed=1)

    def call(self, inputs):
        return self.recurrent(inputs) * self.gate(inputs)


class Regressor(SubclassedModel):
    def __init__(self):
        super().__init__()
        self.gated, self.last, self.head = Gated(4), rk.LSTM(3, seed=2), rk.Dense(1, seed=3)

    def call(self, inputs, training=False):
        return self.head(self.last(self.gated(inputs), training=training))


@pytest.mark.parametrize("make", [lambda: rk.Sequential([Gated(3), rk.GRU(2, seed=4)]), Regressor])
def test_layers_and_models_that_are_classes(make):
    rng, model = np.random.default_rng(0), make()
    x = rng.normal(size=(5, 12, 4)).astype("float32")
    whole = model(x)
    same_as_whole(model(chunked(x, rng)), whole)
    same_as_whole(model.predict(chunked(x, rng)), whole)


def test_labelled_arrays_in_chunks_stay_lazy():
    xarray = pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    x = xarray.DataArray(
        rng.normal(size=(5, 12, 3)).astype("float32"),
        dims=("station", "time", "feature"),
        coords={"station": list("abcde"), "time": np.arange(12)},
    )
    mask = xarray.DataArray(rng.random((5, 12)) < 0.7, dims=("station", "time"))
    layer = rk.GRU(3, return_sequences=True, seed=0)
    model = rk.Sequential([layer, rk.Dense(2, seed=1)])
    lazy = x.chunk({"station": 2, "time": 5})
    for got, whole in (
        (model(lazy), model(x)),
        (model.predict(lazy.transpose("time", "feature", "station")), model.predict(x)),
        (layer(lazy, mask=mask), layer(x, mask=mask)),
        (layer(lazy, mask=mask.chunk({"time": 7})), layer(x, mask=mask)),
    ):
        assert got.chunks == ((2, 2, 1), (5, 5, 2), got.shape[2:])
        assert got.identical(whole) and got.dims == ("station", "time", "unit")
