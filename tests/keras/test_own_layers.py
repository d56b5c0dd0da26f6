"""Layers of one's own under Keras's names: shapes for `build`, inputs that aren't given, variables, metrics, paths."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers, ops

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


class TwoShapes(layers.Layer):
    def build(self, scale_shape, inputs_shape, mask_shape=None):
        self.shapes = scale_shape, inputs_shape, mask_shape
        self.kernel = self.add_weight(shape=(inputs_shape[-1], scale_shape[-1]), initializer="ones", name="kernel")

    def call(self, inputs, scale, mask=None):
        return ops.matmul(inputs, self.kernel) * scale


def test_build_takes_the_shapes_of_the_arguments_of_call():
    layer, symbolic, direct = TwoShapes(), TwoShapes(), TwoShapes()
    y = layer(X, scale=X[:, :2], mask=np.ones((4, 3), bool))
    assert layer.shapes == ((4, 2), (4, 3), (4, 3))
    assert np.allclose(y, X.sum(1, keepdims=True) * X[:, :2], atol=1e-6)
    symbolic(keras.Input((3,)), scale=keras.Input((2,)))
    assert symbolic.shapes == ((None, 2), (None, 3), None)
    direct.build((4, 2), inputs_shape=(4, 3))
    assert direct.shapes == ((4, 2), (4, 3), None)


def test_parameters_of_build_that_no_argument_of_call_has_are_errors():
    class Wrong(layers.Layer):
        def build(self, inputs_shape, other_shape):
            pass

        def call(self, inputs, scale):
            return inputs * scale

    with pytest.raises(ValueError, match="expected parameters of build named after.*'other_shape' in Wrong"):
        Wrong()(X, X)
    with pytest.raises(NotImplementedError, match="to define call"):
        layers.Layer().call(X)
    with pytest.raises(NotImplementedError, match="to define call"):
        layers.Layer()(X)
    with pytest.raises(
        ValueError, match="expected arrays as positional arguments, and others by their names; got True"
    ):
        TwoShapes()(X, True)


def test_layers_whose_weights_need_no_shape_are_built_for_none():
    class Inner(layers.Layer):
        def __init__(self):
            super().__init__()
            self.w = self.add_weight(shape=(2,), name="w")

        def call(self, inputs):
            return inputs * self.w

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def build(self, input_shape):
            assert input_shape is None
            self.b = self.add_weight(shape=(), initializer="ones", trainable=False, name="b")

        def call(self, inputs):
            return self.inner(inputs) + self.b

    layer = Outer()
    layer.build(None)
    assert [one.name for one in layer.variables] == ["b", "w"]
    assert np.allclose(layer(X[:, :2]), X[:, :2] * layer.inner.w.numpy() + 1)
    with pytest.raises(ValueError, match="expected a shape to compute"):
        layer.compute_output_shape(None)


@pytest.mark.parametrize("nested", [list, dict])
def test_arrays_in_nested_inputs_may_be_none(nested):
    class Optional(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            a, b = inputs if nested is list else (inputs["a"], inputs["b"])
            return self.dense(a) if b is None else self.dense(a) + self.dense(b)

    def given(a, b):
        return [a, b] if nested is list else {"a": a, "b": b}

    layer = Optional()
    alone, both = layer(given(X, None)), layer(given(X, X))
    assert np.allclose(2 * alone, both, atol=1e-6)
    assert layer(given(keras.Input((3,)), None)).shape == (None, 2)
    _, pullback = layer.vjp(given(X, None))
    found = pullback(np.ones((4, 2)))
    first, second = found.x if nested is list else found.x.values()
    assert np.allclose(first, np.ones((4, 2)) @ layer.dense.kernel.numpy().T, atol=1e-6) and second is None


def test_variables_as_attributes_are_weights():
    class Scaled(layers.Layer):
        def __init__(self):
            self.scale = keras.Variable(np.full(3, 2.0), name="scale")  # before the base's own
            super().__init__()
            self.shift = keras.Variable(1.0, trainable=False)
            self.count = keras.Variable(0, dtype="int32")  # no weight: layers compute in floats

        def call(self, inputs):
            return inputs * self.scale + self.shift

    layer = Scaled()
    assert np.array_equal(layer(X), X * np.float32(2) + np.float32(1))
    assert list(layer.weights) == ["scale", "shift"] and layer.scale.dtype == "float32"
    layer.scale.assign(np.ones(3))
    assert np.array_equal(layer(X), X + np.float32(1))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(1)(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, X[:, :1], verbose=0)
    assert not np.array_equal(layer.scale.numpy(), np.ones(3)) and float(layer.shift) == 1
    assert np.array_equal(Scaled.from_config(layer.get_config())(X), X * np.float32(2) + np.float32(1))


def test_layers_have_the_metrics_of_layers_inside():
    class Watched(layers.Layer):
        def __init__(self, inside=None):
            super().__init__()
            self.inside, self.several = inside, {"error": [keras.metrics.MeanSquaredError(name="error")]}

        def call(self, inputs):
            return inputs if self.inside is None else self.inside(inputs)

    layer = Watched(Watched(Watched()))
    assert [one.name for one in layer.metrics] == ["error"] * 3
    assert len(layer.metrics_variables) == 6
    layer.inside.several["more"] = keras.metrics.Mean(name="more")
    assert [one.name for one in layer.metrics] == ["error", "error", "more", "error"]


def test_paths_begin_with_the_layers_that_built_a_weight():
    class Inner(layers.Layer):
        def __init__(self):
            super().__init__()
            self.early, self.dense = self.add_weight(shape=(), name="early"), layers.Dense(3)

        def build(self, input_shape):
            self.late = self.add_weight(shape=(), name="late")

        def call(self, inputs):
            return self.dense(inputs) * self.late + self.early

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__(name="outer")
            self.inner = Inner()

        def call(self, inputs):
            return self.inner(inputs)

    keras.backend.clear_session()
    layer = Outer()
    layer(X)
    paths = {one.path for one in layer.variables}
    assert paths == {"inner/early", "outer/inner/late", "outer/inner/dense/kernel", "outer/inner/dense/bias"}


def test_a_call_may_return_nothing():
    seen = []

    class Looks(layers.Layer):
        def call(self, inputs):
            seen.append([one.dtype.name for one in inputs])

    assert Looks()([np.zeros(1), np.zeros(1, "int32")]) is None
    assert seen == [["float32", "int32"]]

    class Adds(layers.Layer):
        def call(self, inputs):
            self.add_loss(ops.mean(inputs))

    with pytest.raises(ValueError, match="to return an array, got an empty list"):
        Adds()(X)


def test_cells_keep_the_seeds_of_the_program_in_their_configuration():
    keras.utils.set_random_seed(3)
    cell = layers.SimpleRNNCell(3, dropout=0.5)
    again = type(cell).from_config(cell.get_config())
    assert again.get_config() == cell.get_config() and again.seed.spawn_key == cell.seed.spawn_key


SEQUENCES = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")


class Weighted(layers.Layer):
    """Weights of its own: alone, changed before they meet the input, and through a loop."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, 3), name="kernel")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.query = self.add_weight(shape=(1, 3), name="query")
        self.loop = layers.GRU(3, return_sequences=True)

    def call(self, x):
        h = ops.tanh(self.scale * ops.matmul(x, ops.softmax(self.kernel, axis=0))) + ops.sum(self.kernel)
        return self.loop(h) * self.query - ops.mean(h, axis=1, keepdims=True)


class First(layers.Layer):
    """A learned first step."""

    def build(self, shape):
        self.step = self.add_weight(shape=(1, 1, 4), initializer="ones", name="step")

    def call(self, x):
        return ops.concatenate([self.repeated(ops.shape(x)[0]), x], axis=1)


REPEATED = {
    "broadcast_to": lambda self, rows: ops.broadcast_to(self.step, (rows, 1, 4)),
    "tile": lambda self, rows: ops.tile(self.step, (rows, 1, 1)),
    "repeat": lambda self, rows: ops.repeat(self.step, rows, axis=0),
    "ones": lambda self, rows: ops.ones((rows, 1, 4)),
    "full": lambda self, rows: ops.full((rows, 1, 4), 1.0),
    "zeros": lambda self, rows: ops.zeros((rows, 1, 4)) + self.step,
}


@pytest.mark.parametrize("name", REPEATED)
def test_arrays_of_the_batch_size_have_a_row_for_each(name):
    layer = type("First", (First,), {"repeated": REPEATED[name]})()
    expected = np.concatenate([np.ones((3, 1, 4), "float32"), SEQUENCES], axis=1)
    np.testing.assert_array_equal(layer(SEQUENCES), expected)
    alone = type("Alone", (First,), {"call": lambda self, x: REPEATED[name](self, ops.shape(x)[0])})()
    np.testing.assert_array_equal(alone(SEQUENCES), np.ones((3, 1, 4)))
    inputs = keras.Input((5, 4))
    np.testing.assert_array_equal(keras.Model(inputs, layer(inputs))(SEQUENCES), expected)


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("kind", [Weighted, type("First", (First,), {"repeated": REPEATED["tile"]})])
def test_layers_with_weights_of_their_own_in_onnx(kind, length):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx_runs import Exported, near

    inputs = keras.Input((length, 4))
    for model in (keras.Model(inputs, kind()(inputs)), keras.Sequential([inputs, kind(), layers.Dense(2)])):
        exported = Exported(model)
        for x in [SEQUENCES] if length else [SEQUENCES, SEQUENCES[:, :2], np.repeat(SEQUENCES, 8, axis=1)]:
            near(exported(x), model(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x / ops.shape(x)[1],
        lambda x: x * np.arange(x.shape[1], dtype="float32")[:, None],
        lambda x: ops.tanh(x) if x.shape[1] > 30 else x,
    ],
)
def test_a_layer_whose_call_goes_by_lengths_is_exported_for_one(call, tmp_path):
    pytest.importorskip("onnxruntime")
    from onnx_runs import Exported, near

    own = type("Own", (layers.Layer,), {"call": lambda self, x: call(x)})
    fixed, open_ = keras.Input((5, 4)), keras.Input((None, 4))
    with pytest.raises(ValueError, match="its call goes by lengths: expected inputs of known sizes"):
        rk.onnx.export(keras.Model(open_, layers.Activation("tanh")(own()(open_))), tmp_path / "open.onnx")
    model = keras.Model(fixed, own()(fixed))
    near(Exported(model)(SEQUENCES), model(SEQUENCES))


def test_comparisons_are_element_by_element_in_call():
    class Replaced(layers.Layer):
        def build(self, shape):
            self.limit = self.add_weight(shape=(3,), initializer="zeros", trainable=False)

        def call(self, x):
            return ops.where(x == 0, 7.0, x), ops.where(x != self.limit, x, 5.0), ops.where(self.limit == 0, 1.0, x)

    x = np.array([[0, 1, -2]], "float32")
    layer = Replaced()
    zeros, limits, ones = layer(x)
    np.testing.assert_array_equal([zeros[0], limits[0], ones[0]], [[7, 1, -2], [5, 1, -2], [1, 1, 1]])
    inputs = keras.Input((3,))
    np.testing.assert_array_equal(keras.Model(inputs, ops.where(inputs == 0, 7.0, inputs))(x), zeros)
    np.testing.assert_array_equal(layer.limit == np.zeros(3), [True] * 3)
    np.testing.assert_array_equal(layer.limit != 0, [False] * 3)
    assert (layer.limit == None) is False and layer.limit != "limit" and layer.limit in {layer.limit}  # noqa: E711
