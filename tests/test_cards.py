"""What print and notebooks show: every public layer and cell, in text and in HTML that say the same."""

import re
import sys
import tracemalloc
from collections import Counter

import numpy as np
import processes
import pytest
from cells_under_test import CELLS
from layers_under_test import LAYERS as ROWS
from shown import Reader, words

import rnnkit as rk
from rnnkit import cards
from rnnkit.layers.base import Layer
from rnnkit.layers.support.display import shape_line
from rnnkit.steps.cell import as_cell

STEPS = (None, 6, 3)


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal", 0.5),
        "bias": rk.Weight(("units",), "zeros", trainable=False),
    },
)
def leaky(x, states, weights, *, leak=0.5):
    h = leak * states[0] + x @ weights.kernel + states[0] @ weights.recurrent_kernel + weights.bias
    return h, h


def graph(**more):
    x = rk.Input((6, 3))
    y = rk.LSTM(4, return_sequences=True, name="lower")(x)
    return rk.Model(x, rk.Dense(2)(rk.Add()([y, rk.GRU(4, return_sequences=True)(y)])), **more)


LAYERS = [
    *(pytest.param(row.make, row.shape(), id=name) for name, row in ROWS.items() if name != "Model"),
    pytest.param(lambda **more: rk.RNN([rk.LSTMCell(2), rk.GRUCell(3)], **more), STEPS, id="stacked"),
    pytest.param(graph, STEPS, id="Model"),
    pytest.param(lambda seed=None, **more: rk.Ensemble(rk.GRU(2, seed=seed), 3, **more), STEPS, id="Ensemble"),
]
every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS)


def public(base):
    kinds = {name: getattr(rk, name) for name in rk.__all__}
    return {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, base)}


def same(shown):
    """The HTML's reader, after a comparison with the text."""
    read = Reader(shown._repr_html_())
    text = words(str(shown))
    assert not (text - Counter(read.words)), "only the text says so"
    assert not (Counter(read.words) - text), "only the HTML says so"
    return read


def test_every_public_layer_is_here():
    assert {one.id for one in LAYERS} - {"stacked"} == public(Layer)


@every_layer
def test_text_and_html_say_the_same_of_a_layer(make, shape):
    layer = make(name="mine", seed=0) if make is not graph else make(name="mine")
    before = layer.built
    same(layer)
    assert layer.built is before, "it was built for it"
    with rk.eager():
        layer.build(shape)
    read = same(layer)
    assert "mine" in read.words and type(layer).__name__ in read.words
    for name, array in layer.weights.items():
        assert name.rpartition("/")[2] in " ".join(read.words) and str(array.shape) in " ".join(read.words)
    assert f"{layer.count_params():,}" in read.words


@pytest.mark.parametrize("case", CELLS, ids=str)
def test_text_and_html_say_the_same_of_a_cell(case):
    cell = as_cell(case.make(3))
    same(cell)
    assert not cell.built
    layer = rk.RNN(cell)
    with rk.eager():  # compiles nothing
        layer.build(STEPS)
    same(layer)
    read = same(layer.cell)
    for name in layer.weights:
        assert name.rpartition("/")[2] in read.words
    for shape in case.states(3, 3):
        assert str(tuple(shape)) in " ".join(read.words)


@pytest.mark.parametrize("cell", [rk.LSTMCell(4), rk.GRUCell(4), rk.SimpleRNNCell(4), rk.ESNCell(4)], ids=repr)
def test_built_in_cells(cell):
    assert type(cell).__name__ in same(cell).words
    stack = rk.StackedRNNCells([cell, leaky(2)])
    assert same(stack).tags["details"] == 2
    with rk.eager():
        rk.RNN(stack).build(STEPS)
    said = [word.rpartition("/")[2] for word in same(stack).words]
    assert said.count("recurrent_kernel") == 2, "each weight stands on one card"


def test_a_cell_shows_what_it_will_have():
    read = same(rk.RNN(leaky(4)))
    assert "(features, units)" in " ".join(read.words) and "orthogonal sparse" in " ".join(read.words)
    assert repr(rk.LSTMCell(4, activation="relu", dropout=0.5)) == "LSTMCell(4, activation='relu', dropout=0.5)"


def test_what_is_special_about_weights():
    layer = rk.RNN(leaky(4))
    layer.build(STEPS)
    layer.trainable = False
    text = str(layer)
    assert re.search(r"recurrent_kernel +\(4, 4\) +float32 +sparse\n", text)
    assert re.search(r"bias +\(4,\) +float32 +not trained$", text) and "training    not trained" in text


def test_no_weight_is_copied_and_nothing_compiled():
    layer = rk.LSTM(512)
    layer.build((None, None, 512))
    executors = dict(layer._execution.executors)
    str(layer), layer._repr_html_()
    tracemalloc.start()
    try:
        str(layer), layer._repr_html_(), repr(layer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sum(array.nbytes for array in layer.weights.values()) / 40
    assert layer._execution.executors == executors


def nested(levels):
    layer = rk.Sequential([rk.Dense(2) for _ in range(30)])
    for _ in range(levels):
        layer = rk.Sequential([layer, *(rk.Dense(2) for _ in range(30))])
    return layer


@pytest.mark.parametrize("model", [nested(0), nested(6), rk.Sequential([rk.Dense(2) for _ in range(1000)])])
def test_huge_models_are_cut(model):
    with rk.eager():
        model.build((None, 2))
    same(model)
    html, text, code = model._repr_html_(), str(model), repr(model)
    assert len(html) < 200_000 and len(text) < 100_000 and "more" in text
    assert len(model.layers) <= 40 or len(code) < 1000


class Failing(rk.Cell):
    """A cell whose author made mistakes."""

    @property
    def state_size(self):
        raise RuntimeError("no")

    def get_config(self):
        raise RuntimeError("no")

    def call(self, inputs, states):
        return states[0], states[0]


class FailingLayer(rk.Dense):
    def get_config(self):
        raise RuntimeError("no")

    def compute_output_shape(self, input_shape):
        raise RuntimeError("no")


def test_showing_never_raises():
    assert "Failing" in same(Failing()).words
    layer = FailingLayer(2)
    assert repr(layer) == "FailingLayer()"
    same(layer)
    layer.build((None, 3))
    assert "kernel" in same(layer).words


def test_names_are_escaped():
    name = "<script>alert('&')</script>"
    for shown in (rk.GRU(2, name=name), rk.Sequential([rk.GRU(2, name=name)], name=name), rk.LSTM(2, name=name)):
        shown.build(STEPS)
        summary = shown.summary() if isinstance(shown, rk.Sequential) else shown
        for html in (shown._repr_html_(), summary._repr_html_()):
            assert Reader(html).tags["script"] == 0 and "&lt;script&gt;" in html


def test_a_plan_says_the_same():
    layer = rk.RNN(leaky(4))
    layer.build(STEPS)
    for plan in (layer.explain(), layer.explain(source=True), layer.explain(graph=True), rk.LSTM(2).explain()):
        assert Reader(plan._repr_html_()).words == plan.split()


def test_a_summary_is_a_table_with_a_drawing():
    model = graph()
    summary = model.summary()
    read = Reader(summary._repr_html_())
    assert read.tags["svg"] == 1 and read.tags["tr"] == 7
    assert sorted(read.words) == sorted(words(str(summary).replace(" 'model", " 'model")).elements())


@pytest.mark.parametrize(
    "make", [rk.ESN, rk.forecast.Theta, rk.forecast.Auto, rk.forecast.TrainedForecaster, rk.forecast.GlobalRNN]
)
def test_forecasters_before_a_fit(make):
    assert "nothing yet" in " ".join(same(make()).words)


def test_forecasters_after_a_fit():
    waves = [50 + 10 * np.sin(np.arange(steps) * np.pi / 6) for steps in (60, 72)]
    auto = rk.forecast.Auto(season=12).fit(waves)
    assert "fitted to  2 series" in str(auto) and "steps      60 to 72" in str(auto) and "theta" in same(auto).words
    network = rk.ESN(4, 20, season=12, seed=0).fit(waves[0])
    assert {"reservoir", "recurrent_kernel", "leads"} <= set(same(network).words)


def test_a_forecaster_names_its_series():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    months = pandas.date_range("2021-01-01", periods=24, freq="MS")
    table = pandas.concat(
        pandas.DataFrame({"unique_id": f"<{i}>", "ds": months, "y": np.arange(24.0)}) for i in range(7)
    )
    model = rk.forecast.Theta().fit(table)
    text = str(model)
    assert "7 series: <0>, <1>, <2>, <3>, <4>, …" in text
    assert "times      2021-01-01 to 2022-12-01, each 1 month" in text
    same(model)


def history(epochs, **more):
    found = rk.callbacks.History()
    for epoch in range(epochs):
        found.on_epoch_end(epoch, {"loss": 2.0 / (1 + epoch), "val_loss": 1 + 1 / (1 + epoch), **more})
    return found


@pytest.mark.parametrize("epochs", [0, 1, 2, 5, 40])
def test_histories(epochs):
    shown = history(epochs, mae=np.nan)
    shown.interrupted = True
    read = same(shown)
    assert read.tags["svg"] == (epochs > 1) and read.tags["tr"] <= 14
    assert f"{epochs} epoch" in " ".join(read.words)


@pytest.mark.parametrize(
    "losses", [[np.nan, 1.0, 2.0], [1.0, np.nan, np.inf, 3.0], [1.0, 1.0], [-1.0, 1.0], [9.0, 0.01]]
)
def test_curves_stay_inside(losses):
    from rnnkit.callbacks.curves import curves

    drawn = curves({"loss": losses, "val_loss": losses[::-1]}, first=8)
    assert "nan" not in drawn and "inf" not in drawn
    assert drawn.count("stroke:var(--mark)") == drawn.count("stroke:var(--second)") == 1
    known = [one for one in losses if np.isfinite(one)]
    told = re.findall(r'text-anchor="end"[^>]*>([^<]+)<', drawn)  # the axes: highest, middle, lowest, and the epochs
    assert told[0] == f"{max(known):.3g}" and told[-2] == f"{min(known):.3g}"
    assert "epoch 8<" in drawn and told[-1] == str(7 + len(losses))
    if losses == [9.0, 0.01]:
        assert told[1] == "0.3"  # a logarithmic axis, which its middle tells
    numbers = [float(one) for one in re.findall(r"[ML][\d.]+ (-?[\d.]+)", drawn)]
    assert numbers and min(numbers) >= 0 and max(numbers) <= 90
    names = [float(one) for one in re.findall(r'<text x="316" y="([\d.]+)"', drawn)]
    assert abs(names[0] - names[1]) >= 13 and min(names) >= 8 and max(names) <= 90


def test_gradcheck_is_a_table():
    read = Reader(rk.gradcheck(leaky(2))._repr_html_())
    assert {"kernel", "ok", "tolerance"} <= set(read.words) and read.tags["tr"] == 6


def test_cards_of_arguments():
    assert cards.ends(range(10), 10, 8) == ([0, 1, 2, 3, 4, 5], 2, [8, 9])
    assert cards.ends(range(8), 8, 8) == (list(range(8)), 0, [])
    assert cards.table_of(("a",), []) is None
    assert cards.text_or_empty(lambda: 1 / 0) == ""
    long = cards.Card("X", code="x" * 999)
    assert len(long.shown_code) == 240 and cards.Card("X", code="X()").shown_code == ""


def test_importing_rnnkit_imports_no_cards():
    names = "'rnnkit.cards', 'rnnkit.cards_html', 'rnnkit.steps.display', 'rnnkit.callbacks.curves'"
    code = f"import sys, rnnkit; print([name for name in ({names}) if name in sys.modules])"
    assert processes.run([sys.executable, "-c", code], check=True).stdout.strip() == "[]"


def test_the_card_of_a_layer_over_time_shows_no_length():
    """For it takes others."""
    for layer in (rk.GlobalAveragePooling1D(), rk.GlobalMaxPooling1D(), rk.MaxPooling1D(2), rk.UpSampling1D(2)):
        layer(np.ones((2, 6, 3)))
        layer(np.ones((2, 8, 3)))
        assert "(–, –, 3) → (–, " in str(layer) and "6" not in shape_line(layer)
