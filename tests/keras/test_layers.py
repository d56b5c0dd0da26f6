"""Names of layers make rnnkit's own; arguments are taken, ignored or refused."""

import collections.abc
import copy
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.interop.keras_kinds import IGNORED
from rnnkit.keras import layers, settings
from rnnkit.keras.arguments import TAKEN
from rnnkit.keras.layers import ALIASES, FUNCTIONS, NAMES

MADE = {
    "LSTM": (4,),
    "GRU": (4,),
    "SimpleRNN": (4,),
    "Dense": (2,),
    "Embedding": (5, 3),
    "Dropout": (0.5,),
    "Masking": (),
    "Activation": ("relu",),
    "Flatten": (),
    "Reshape": ((2, 2),),
    "RepeatVector": (3,),
    "Concatenate": (),
    "LayerNormalization": (),
    "BatchNormalization": (),
    "Conv1D": (2, 3),
    "GaussianNoise": (0.1,),
    "LSTMCell": (4,),
}


@pytest.fixture(autouse=True)
def fresh():
    keras.backend.clear_session()
    yield
    keras.backend.clear_session()
    settings._Settings.seeds = None
    settings.set_floatx("float32")


@pytest.mark.parametrize("name", MADE)
def test_a_name_makes_an_object_of_rnnkits_class(name):
    made = getattr(layers, name)(*MADE[name])
    kind = getattr(rk, name)
    assert type(made) is kind and isinstance(made, getattr(layers, name))
    assert isinstance(kind(*MADE[name]), getattr(layers, name)) and issubclass(kind, getattr(layers, name))
    assert not isinstance(rk.Subtract(), getattr(layers, name))
    assert name.endswith("Cell") or isinstance(made, keras.Layer)


def test_a_class_derives_from_a_name_and_from_an_abstract_class():
    class Sized(layers.Dense, collections.abc.Sized):
        def __len__(self):
            return self.units

    class Twice(Sized):
        def __init__(self, units, **keywords):
            super().__init__(2 * units, **keywords)

    made = Twice(3)
    assert type(made) is Twice and len(made) == 6 and isinstance(made, (Sized, rk.Dense)) and made.name == "twice"
    assert isinstance(made, layers.Dense) and issubclass(Twice, layers.Dense) and not issubclass(Twice, layers.LSTM)
    assert not isinstance(rk.Dense(3), Sized) and not issubclass(rk.Dense, Sized)


@pytest.mark.parametrize("name", ["LSTM", "Dense", "Bidirectional"])
def test_configurations_copies_and_pickles_are_those_of_rnnkits_classes(name):
    made = layers.Bidirectional(layers.GRU(3)) if name == "Bidirectional" else getattr(layers, name)(3)
    described = layers.serialize(made)
    assert (described["module"], described["class_name"]) == ("rnnkit", name)
    again = layers.deserialize(described)
    assert type(again) is type(made) and again.get_config() == made.get_config()
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    y = made(x)
    assert np.array_equal(pickle.loads(pickle.dumps(made))(x), y)
    assert np.array_equal(copy.deepcopy(made)(x), y)


def test_a_class_that_is_derived_from_a_name_takes_the_same_arguments():
    class Own(layers.LSTM):
        def __init__(self, units, **keywords):
            super().__init__(units, implementation=2, **keywords)
            self.doubled = True

        def get_config(self):
            return super().get_config()

    own = Own(4, input_shape=(5, 3), trainable=False)
    assert (own.name, own.dtype, own.trainable, own.doubled) == ("own", np.float32, False, True)
    assert isinstance(own, layers.LSTM) and isinstance(own, rk.LSTM) and not isinstance(rk.LSTM(4), Own)
    assert keras.Sequential([own]).output_shape == (None, 4)


@pytest.mark.parametrize("argument", sorted(IGNORED))
def test_an_ignored_argument_changes_nothing_and_another_value_is_refused(argument):
    if argument in ("optional", "ragged", "sparse", "tensor"):
        make = lambda **given: layers.Input((3,), **given)
    elif argument == "synchronized":
        make = lambda **given: layers.BatchNormalization(**given)
    elif argument == "noise_shape":
        make = lambda **given: layers.Dropout(0.5, **given)
    elif argument == "activity_regularizer":
        make = lambda **given: layers.TimeDistributed(layers.Dense(3), **given)
    elif argument == "unroll":
        make = lambda **given: layers.Dense(3, **given)
    else:
        make = lambda **given: layers.LSTM(3, **given)
    harmless = IGNORED[argument].harmless
    for value in (0, 1, 2, True) if harmless is None else harmless:
        make(**{argument: value})
    if harmless is not None:
        with pytest.raises(ValueError, match=f"expected no {argument} of .*, got 'other'; .{{10,}}"):
            make(**{argument: "other"})


def test_an_unknown_argument_is_an_error():
    with pytest.raises(TypeError, match="unknown"):
        layers.LSTM(3, unknown=1)
    with pytest.raises(TypeError, match="positional"):
        layers.Dropout(0.1, None, 3, 4)
    with pytest.raises(TypeError, match="twice"):
        layers.Embedding(3, 4, input_dim=3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: layers.LSTM(4, input_shape=(10, 3)), (None, 10, 3)),
        (lambda: layers.LSTM(4, batch_input_shape=(8, None, 3)), (8, None, 3)),
        (lambda: layers.LSTM(4, input_dim=3, input_length=10), (None, 10, 3)),
        (lambda: layers.GRU(4, input_dim=3), (None, None, 3)),
        (lambda: layers.Dense(4, input_dim=3), (None, 3)),
        (lambda: layers.Dense(4, input_shape=(3,), batch_size=2), (2, 3)),
        (lambda: layers.Embedding(9, 4, input_length=7), (None, 7)),
        (lambda: layers.Bidirectional(layers.LSTM(4), input_shape=(10, 3)), (None, 10, 3)),
        (lambda: layers.InputLayer(input_shape=(10, 3)), (None, 10, 3)),
        (lambda: layers.Input((10, 3)), (None, 10, 3)),
    ],
)
def test_a_first_layer_may_say_the_shape_of_the_input(layer, shape):
    model = keras.Sequential([layer()])
    assert model.inputs[0].shape == shape if model.built else model._input.shape == shape


def test_arguments_that_are_taken():
    assert set(TAKEN) >= {"dtype", "name", "seed", "trainable", "weights", "input_shape"}
    table = np.arange(10.0).reshape(5, 2)
    layer = layers.Embedding(5, 2, weights=[table], trainable=False, mask_zero=True)
    assert np.array_equal(layer([[3]])[0, 0], table[3]) and not layer.trainable
    with pytest.raises(ValueError, match="set_weights"):
        layers.Dense(2, weights=[table])
    assert [layers.GRU(2).name, layers.GRU(2).name, layers.GRU(2, name="own").name] == ["gru", "gru_1", "own"]
    assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1


def test_precision():
    x = np.ones((2, 3, 2))
    assert layers.GRU(2)(x).dtype == np.float32
    assert layers.GRU(2, dtype="float64")(x).dtype == np.float64
    assert layers.GRU(2, dtype=keras.DTypePolicy("float64"))(x).dtype == np.float64
    keras.backend.set_floatx("float64")
    assert layers.GRU(2)(x).dtype == np.float64 and keras.Input((3,)).dtype == np.float64
    for make in (
        lambda: layers.GRU(2, dtype="mixed_float16"),
        lambda: keras.mixed_precision.set_global_policy("mixed_bfloat16"),
        lambda: keras.DTypePolicy("float16"),
    ):
        with pytest.raises(ValueError, match=r"float32.*float64"):
            make()


def test_seeds_are_drawn_from_the_programs():
    def weights():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4, 2)), layers.LSTM(3, dropout=0.5), layers.Dense(1)])
        x = np.random.default_rng(0).normal(size=(16, 4, 2)).astype("float32")
        model.compile("adam", "mse")
        model.fit(x, x[:, 0, :1], epochs=2, verbose=0, batch_size=4)
        return [*model.get_weights(), np.random.uniform(size=2)]  # noqa: NPY002

    first, second = weights(), weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    two = layers.Dense(3), layers.Dense(3)
    for one in two:
        one.build((None, 3))
    assert not np.array_equal(two[0].get_weights()[0], two[1].get_weights()[0])


def test_initializers():
    x = np.ones((1, 2))
    seeded = layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    again = layers.Dense(3, kernel_initializer=keras.initializers.glorot_uniform(seed=1))
    assert np.array_equal(seeded(x), again(x))
    copied = rk.Dense.from_config(seeded.get_config())
    assert np.array_equal(copied(x.astype("float32")), seeded(x))
    assert keras.initializers.Ones()((2, 1), dtype="float32").tolist() == [[1.0], [1.0]]
    assert keras.initializers.Constant(3.0)(shape=(1,)).tolist() == [3.0]
    assert keras.initializers.RandomNormal(0.0, 0.1) == rk.initializers.Normal(0.0, 0.1)

    def twos(shape, dtype=None):
        return 2 * keras.ops.ones(shape, dtype=dtype)

    class Threes(keras.initializers.Initializer):
        def __init__(self):
            self.value = 3.0

        def __call__(self, shape, dtype=None):
            return keras.ops.full(shape, self.value, dtype)

    assert layers.Dense(1, kernel_initializer=twos)(x).tolist() == [[4.0]]
    assert layers.LSTM(1, kernel_initializer=Threes(), bias_initializer=twos).cell.kernel_initializer.value == 3.0
    assert layers.Embedding(2, 1, embeddings_initializer=Threes())([[0]]).tolist() == [[[3.0]]]


def test_functions_merge():
    a, b = np.ones((2, 3), "float32"), np.full((2, 3), 3.0, "float32")
    assert set(FUNCTIONS) <= {*dir(layers)} and set(ALIASES) <= {*dir(layers)} and set(NAMES) <= {*dir(layers)}
    expected = {
        "add": a + b,
        "subtract": a - b,
        "multiply": a * b,
        "average": (a + b) / 2,
        "maximum": b,
        "minimum": a,
        "concatenate": np.concatenate([a, b], -1),
        "dot": np.full((2, 1), 9.0),
    }
    for name, value in expected.items():
        more = {"axes": 1} if name == "dot" else {}
        assert np.array_equal(getattr(layers, name)([a, b], **more), value), name
    x = keras.Input((3,))
    assert layers.concatenate([x, x], axis=-1).shape == (None, 6)
    assert layers.concatenate([a[None], b[None]], 1).shape == (1, 4, 3) and layers.dot([a, b], 1).shape == (2, 1)


def test_activations_regularizers_and_constraints():
    layer = layers.LSTM(
        2,
        activation=keras.activations.get("gelu"),
        kernel_regularizer=keras.regularizers.l1_l2(l1=0.1, l2=0.2),
        recurrent_regularizer=keras.regularizers.L2(0.3),
        kernel_constraint=keras.constraints.max_norm(2.0),
        bias_constraint=keras.constraints.NonNeg(),
    )
    assert layer.cell.kernel_regularizer == rk.regularizers.L1L2(0.1, 0.2)
    assert layer.cell.recurrent_regularizer.get_config() == {"l2": 0.3}
    assert layer.cell.kernel_constraint == rk.constraints.MaxNorm(2.0)
    assert isinstance(rk.regularizers.L1L2(), keras.regularizers.Regularizer)
    assert keras.regularizers.get("l2") == rk.regularizers.L2() and keras.constraints.get(None) is None
    x = np.linspace(-2, 2, 30).reshape(5, 6)
    found = keras.activations.sparsemax(x)
    assert np.allclose(found.sum(-1), 1) and (found >= 0).all() and (found == 0).any()


@pytest.mark.parametrize("given", ["float32", "float64", "int32"])
@pytest.mark.parametrize("precision", [None, "float32", "float64"])
def test_a_layer_of_ones_own_has_its_precision_whatever_it_is_given(given, precision):
    class Own(layers.Layer):
        def __init__(self, function, **keywords):
            super().__init__(**keywords)
            self.function = function

        def call(self, x):
            return self.function(x)

    keras.backend.clear_session()
    for i, function in enumerate((lambda x: x * 1.0, lambda x: 2.0 * x, lambda x: x / 2 + x)):
        layer = Own(function, dtype=precision)
        assert layer(np.ones((2, 3), given)).dtype == (precision or "float32")
        assert layer.name == (f"own_{i}" if i else "own")


def test_ids_lose_their_fractions_under_keras_names(tmp_path):
    layer, ids = layers.Embedding(4, 2), np.array([[1.7, 3.2, -0.4]])
    whole = np.array([[1, 3, 0]])
    assert np.array_equal(layer(ids), layer(whole))
    model = keras.Sequential([keras.Input((3,)), layer])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one in (again, keras.models.clone_model(model)):
        assert np.array_equal(one.predict(ids, verbose=0), one.predict(whole, verbose=0))
    with pytest.raises(ValueError, match="fractions"):
        rk.Embedding(4, 2)(ids)
