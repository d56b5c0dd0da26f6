"""What goes wrong on the way from other libraries: each mistake has one sentence that says what to write."""

import re

import numpy as np
import pytest

import rnnkit as rk

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 5, 3)).astype("float32")
Y = rng.normal(size=(6, 1)).astype("float32")
IDS = rng.integers(1, 9, size=(6, 5))
LABELS = np.array([0, 1, 2, 0, 1, 2])
LISTS = [X[0], X[1, :3]]
OBJECTS = np.empty(2, object)
OBJECTS[:] = LISTS


class Values:
    """What the mistakes are made with: layers and models, small and new."""

    def __init__(self):
        self.pd, self.pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
        self.frame = self.pd.DataFrame(X[0], columns=list("abc"))
        self.panel = self.pd.DataFrame({"id": ["a"] * 3 + ["b"] * 3, "v": np.arange(6.0), "w": np.arange(6.0)})

    def frames(self, **columns):
        return [self.pd.DataFrame(columns)]

    @property
    def gru(self):
        return rk.GRU(4, seed=0)

    @property
    def built(self):
        layer = self.gru
        layer(X)
        return layer

    def net(self, loss="mse", units=1, activation=None, steps=False, **options):
        layers = [rk.GRU(4, return_sequences=steps, **options), rk.Dense(units, activation)]
        model = rk.Sequential(layers, seed=0)
        model.compile("sgd", loss)
        return model

    def sparse(self):
        return self.net("sparse_categorical_crossentropy", 3, "softmax")

    def categorical(self):
        return self.net("categorical_crossentropy", 3, "softmax")

    def tagger(self):
        return rk.Sequential([rk.Embedding(10, 3), rk.GRU(4), rk.Dense(1)], seed=0)

    def two(self):
        a, b = rk.Input((None, 3), name="a"), rk.Input((None, 3), name="b")
        model = rk.Model([a, b], rk.Dense(1)(rk.Concatenate()([rk.GRU(2)(a), rk.GRU(2)(b)])))
        model.compile("sgd", "mse")
        return model

    def flat(self):
        model = rk.Sequential([rk.GRU(2, return_sequences=True), rk.Flatten(), rk.Dense(1)])
        model.compile("sgd", "mse")
        return model


# Mistake, kind of the error, words in it.
MISTAKES = [
    # tables
    (lambda v: v.gru(v.frame), ValueError, "got a DataFrame of shape (5, 3); of one sequence pass [x]"),
    (lambda v: v.gru(v.pl.from_pandas(v.frame)), ValueError, "rk.windows(x, length) cuts windows"),
    (lambda v: v.net().fit(v.frame, np.ones(5)), ValueError, "rk.sequences_from_frame(x, id)"),
    (lambda v: v.gru(v.frame["a"]), ValueError, "got (5,); one sequence of numbers is x[None, :, None]"),
    (lambda v: v.gru(v.panel.groupby("id")), TypeError, "rk.sequences_from_frame(frame, id) takes a frame apart"),
    (lambda v: v.net().fit(v.panel.groupby("id")), TypeError, "got pandas's DataFrameGroupBy"),
    (lambda v: v.net().fit(v.panel.groupby("id"), np.ones(2)), TypeError, "got pandas's DataFrameGroupBy"),
    (lambda v: v.net().fit(v.panel.groupby("id")["v"], np.ones(2)), TypeError, "got pandas's SeriesGroupBy"),
    (lambda v: v.gru([g for _, g in v.panel.groupby("id")]), TypeError, "x[0] to hold real numbers, got a column 'id'"),
    (lambda v: v.gru(list(v.panel.groupby("id"))), ValueError, "[frame for _, frame in x]"),
    (lambda v: v.gru(v.frames(c=v.pd.Categorical(["a"]))), TypeError, "a column 'c' of dtype category; leave it out"),
    (lambda v: v.gru(v.frames(v=[1.0], c=["a"])), TypeError, "a column 'c' of dtype"),
    (
        lambda v: v.gru(v.frames(t=v.pd.to_datetime(["2020-01-01"]), v=[1.0])),
        TypeError,
        "a column 't' of dtype datetime64",
    ),
    (lambda v: v.gru([v.pl.DataFrame({"v": [1.0], "c": ["a"]})]), TypeError, "a column 'c' of dtype String"),
    (lambda v: v.gru(v.pl.from_pandas(v.frame).lazy()), TypeError, "x.collect()"),
    (lambda v: rk.windows(v.panel, 2), TypeError, "data to hold real numbers, got a column 'id'"),
    # axes
    (lambda v: v.gru(X[0]), ValueError, "got (5, 3); one sequence is x[None], sequences of one number per step are"),
    (lambda v: v.built(X[0]), ValueError, "(batch, time, 3), got (5, 3); one sequence is x[None]"),
    (lambda v: v.gru(X[:, :, 0]), ValueError, "x[:, :, None]"),
    (lambda v: v.gru(X[0, :, 0]), ValueError, "x[None, :, None]"),
    (lambda v: v.built(X.swapaxes(1, 2)), ValueError, "x.swapaxes(1, 2) has the features last"),
    (lambda v: v.built(X[:, :, :2]), ValueError, "(batch, time, 3), got (6, 5, 2)"),
    (lambda v: v.built(X[None]), ValueError, "(batch, time, 3), got (1, 6, 5, 3)"),
    (lambda v: v.gru(IDS), ValueError, "got (6, 5)"),
    (lambda v: v.net().fit(X.swapaxes(0, 1), Y), ValueError, "y with 5 rows, as x has; got 6"),
    (lambda v: v.gru(3.0), ValueError, "(batch, time, features), got ()"),
    (lambda v: v.gru([]), ValueError, "(batch, time, features), got (0,)"),
    # what is no array
    (lambda v: v.gru(None), TypeError, "got None"),
    (lambda v: v.gru("words"), TypeError, "got text"),
    (lambda v: v.gru({1, 2}), TypeError, "set, which has no order; pass a list"),
    (lambda v: v.gru({"x": X}), TypeError, "dict, which models of several inputs take, and cells that are classes"),
    (lambda v: v.net().fit({"input": X}, Y), ValueError, "by the names x; got 'input'"),
    (lambda v: v.gru(x for x in X), TypeError, "a layer takes list(x)"),
    (lambda v: v.net().fit((x for x in X), Y), ValueError, "y within the batches"),
    (lambda v: v.net().fit(x for x in X), ValueError, "expected batches (x, y)"),
    (lambda v: v.net().fit(list(zip(X, Y, strict=True))), ValueError, "an item is a batch of rows, not one row"),
    (lambda v: v.net().fit((X, Y)), ValueError, "arrays of the shapes (6, 5, 3) and (6, 1)"),
    (lambda v: v.gru(rk.windows(X[0], 2)), TypeError, "batches of windows, which fit, evaluate and predict take"),
    (lambda v: v.net().fit(rk.windows(X[0], 2), Y), TypeError, "windows.x and windows.y"),
    (lambda v: v.gru(X + 1j), TypeError, "pass x.real"),
    (lambda v: v.gru(X.astype("float16")), TypeError, "convert with astype(np.float32)"),
    (lambda v: v.gru(np.array([[["2020-01-01"]]], "M8[D]")), TypeError, "np.timedelta64(1, 'D')"),
    (lambda v: v.gru(np.ma.masked_less(X, 0)), TypeError, "mask=~x.mask.any(axis=-1)"),
    # lists
    (lambda v: v.gru(OBJECTS), TypeError, "an array of arrays; a list of sequences is list(x)"),
    (lambda v: v.net().fit(OBJECTS, np.ones(2)), TypeError, "a list of sequences is list(x)"),
    (lambda v: v.gru([X[0], None]), TypeError, "x[1] to be a sequence, an array or a list; got None"),
    (lambda v: v.gru([X[0], 3.0]), TypeError, "x[1] to be a sequence, an array or a list; got 3.0"),
    (lambda v: v.gru([X[0], X[0, :, 0]]), ValueError, "arrays of the shapes (5, 3) and (5,)"),
    (lambda v: v.gru([X[0], X[1, :, :2]]), ValueError, "of shape (T, 3), as the first is; got (5, 2) at 1"),
    (lambda v: v.built([x[:, :2] for x in LISTS]), ValueError, "(batch, time, 3), got (2, 5, 2)"),
    (lambda v: v.gru([[[1.0, 2.0], [3.0]], [[1.0, 2.0]] * 3]), ValueError, "which are no steps of one sequence"),
    (lambda v: v.gru([["a", "b"], ["c"]]), TypeError, "x[0] to hold real numbers, got text"),
    (lambda v: v.gru(LISTS, mask=np.ones((2, 5))), ValueError, "no mask beside a list of sequences"),
    (lambda v: v.gru(LISTS, initial_state=[np.ones((3, 4))]), ValueError, "2 rows, one for each sequence"),
    (lambda v: v.gru.vjp(LISTS), ValueError, "rk.pad_sequences makes one array of sequences"),
    (lambda v: v.net(stateful=True).fit(LISTS, Y[:2]), ValueError, "an array for the stateful model"),
    (lambda v: v.flat().fit(LISTS, Y[:2]), ValueError, "layers that leave out masked steps"),
    (lambda v: v.two().predict([*LISTS, X[2]]), ValueError, "a list of 2 (a, b), got 3; sequences of several inputs"),
    (lambda v: v.two().fit(X, Y), ValueError, "a list of 2 (a, b), got one ndarray"),
    (lambda v: v.two().fit([X, X[:5]], Y), ValueError, "6 rows, as the first has; got 5"),
    (lambda v: v.net().predict(rk.pad_sequences(LISTS, return_mask=True)), ValueError, "shapes (2, 5, 3) and (2, 5)"),
    # ids
    (lambda v: v.tagger()(["some words", "more"]), TypeError, "np.unique(x, return_inverse=True)[1] numbers words"),
    (lambda v: v.tagger()([["a", "b"], ["c"]]), TypeError, "x[0] to hold real numbers, got text"),
    (
        lambda v: v.tagger()([[1, 2], [3, None, 4]]),
        TypeError,
        "x[1] to hold real numbers, got dtype object with None at [1]",
    ),
    (lambda v: v.tagger()(IDS + 0.5), ValueError, "ids to be integers, got fractions"),
    (lambda v: v.tagger()(IDS - 9), ValueError, "ids from 0 to 9, got -"),
    (lambda v: v.tagger()(IDS + 5), ValueError, "input_dim has to be above the largest id"),
    (lambda v: v.tagger()([[1, 2], [30]]), ValueError, "ids from 0 to 9, got 30"),
    (lambda v: v.tagger()(np.eye(10)[IDS]), ValueError, "(batch, time, features)"),
    # masks and lengths
    (lambda v: v.gru(X, mask=np.ones((6, 4))), ValueError, "mask of shape (6, 5), one value per step; got (6, 4)"),
    (lambda v: v.gru(X, mask=np.ones(5)), ValueError, "got (5,)"),
    (lambda v: v.gru(X, mask=np.ones(X.shape)), ValueError, "mask.any(axis=-1) uses steps with any feature"),
    (lambda v: v.gru(X, mask=np.arange(6)), ValueError, "rk.sequence_mask(lengths, 5) makes a mask"),
    (
        lambda v: v.gru(X, mask=[[1, 0, None, 1, 1]] * 6),
        TypeError,
        "mask to hold real numbers, got dtype object with None at [0, 2]",
    ),
    (lambda v: v.gru(X, mask=np.full((6, 5), "a")), TypeError, "mask to hold real numbers, got text"),
    (lambda v: rk.sequence_mask([3, 9], 5), ValueError, "lengths from 0 to 5, the number of steps; got 9"),
    (lambda v: rk.sequence_mask([3.0]), TypeError, "lengths as integers"),
    # targets
    (lambda v: v.net().fit(X, Y[:5]), ValueError, "y with 6 rows, as x has; got 5"),
    (lambda v: v.net().fit(X), ValueError, "a target for the output"),
    (lambda v: v.net().fit(X, np.ones((6, 2))), ValueError, "as many units as y has values"),
    (lambda v: v.net().fit(X, np.ones((6, 5))), ValueError, "return_sequences=True for values of steps"),
    (lambda v: v.net().fit(X, np.ones((6, 5, 1))), ValueError, "return_sequences=True gives an output for each step"),
    (lambda v: v.net(steps=True).fit(X, Y), ValueError, "return_sequences=False gives the last one alone"),
    (lambda v: v.net(steps=True).fit(X, Y[:, 0]), ValueError, "return_sequences=False gives the last one alone"),
    (lambda v: v.sparse().fit(X, np.array(list("abcabc"))), TypeError, "np.unique(y, return_inverse=True)[1]"),
    (lambda v: v.sparse().fit(X, v.pd.Series(list("abcabc"))), TypeError, "got text such as 'a'"),
    (
        lambda v: v.sparse().fit(X, v.pd.Series(list("abcabc"), dtype="category")),
        TypeError,
        "numbers words and classes",
    ),
    (lambda v: v.sparse().fit(X, np.eye(3)[LABELS]), ValueError, "y.argmax(axis=-1) makes numbers of one-hot rows"),
    (
        lambda v: v.sparse().fit(X, LABELS + 1),
        ValueError,
        "classes from 0 to 2 in y_true, got 3; y - 1 counts them from 0",
    ),
    (lambda v: v.sparse().fit(X, LABELS - 1), ValueError, "classes from 0 to 2 in y_true, got -1"),
    (lambda v: v.sparse().fit(X, LABELS / 2), ValueError, "classes from 0 to 2 in y_true, got 0.5"),
    (
        lambda v: v.categorical().fit(X, LABELS),
        ValueError,
        "numbers of classes are for sparse_categorical_crossentropy",
    ),
    (
        lambda v: v.net().fit(X, [1, 2, None, 4, 5, 6]),
        TypeError,
        "y to hold real numbers, got dtype object with None at [2]",
    ),
    (lambda v: v.net().fit(X, np.arange(6).astype(object)), TypeError, "np.asarray(y, np.float64)"),
    (lambda v: v.net().fit(X, np.full((6, 1), np.nan)), FloatingPointError, "y has 6 values of 6 that are not finite"),
    (lambda v: v.net().fit(np.where(X > 0, np.nan, X), Y), FloatingPointError, "x has"),
    (lambda v: v.net().fit(LISTS, [np.ones(5), np.ones(3)]), ValueError, "got a list by steps; return_sequences=True"),
    (lambda v: v.net().fit(LISTS, np.ones(3)), ValueError, "y with 2 rows, as x has; got 3"),
    (lambda v: v.net(steps=True).fit(LISTS, np.ones((2, 5, 1))), ValueError, "got an array of shape (2, 5, 1)"),
    (lambda v: v.net(steps=True).fit(LISTS, [np.ones(5), np.ones(4)]), ValueError, "got 4 steps for 3 at 1"),
    (lambda v: v.net(steps=True).fit(LISTS, [1.0, 2.0]), ValueError, "got a number at 0"),
    (lambda v: v.net(steps=True).fit(LISTS, [np.ones(5)]), ValueError, "got 1 for 2 sequences"),
    (lambda v: v.net(steps=True).fit(X[:2], [x[:, :1] for x in LISTS]), ValueError, "rk.pad_sequences makes one array"),
    # weights and validation
    (lambda v: v.net().fit(X, Y, sample_weight=np.ones(5)), ValueError, "sample_weight with 6 rows, as x has; got 5"),
    (lambda v: v.net().fit(X, Y, sample_weight=np.ones((6, 5))), ValueError, "sample_weight of shape (6,), got (6, 5)"),
    (lambda v: v.net().fit(X, Y, sample_weight=-np.ones(6)), ValueError, "at least 0"),
    (lambda v: v.sparse().fit(X, LABELS, class_weight={"a": 1}), ValueError, "a dict of classes' numbers"),
    (lambda v: v.net().fit(X, Y, validation_data=X), ValueError, "validation_data as (x, y)"),
]


@pytest.fixture(scope="module")
def values():
    return Values()


@pytest.mark.parametrize("mistake, kind, words", MISTAKES, ids=[words for _, _, words in MISTAKES])
def test_one_sentence_says_what_to_write(values, mistake, kind, words):
    with pytest.raises(kind, match=re.escape(words)) as caught:
        mistake(values)
    message = str(caught.value)
    assert len(message) < 420 and "\n" not in message
    assert message.startswith(("expected", "the loss", "epoch 0"))


def test_what_the_messages_say_to_write(values):
    v = values
    assert v.gru([v.frame]).shape == (1, 4)
    assert v.gru(list(rk.sequences_from_frame(v.panel, "id").values())).shape == (2, 4)
    assert len(rk.windows(v.frame, 3).x) == 2
    assert v.gru(X[0][None]).shape == (1, 4) and v.gru(X[:, :, 0][:, :, None]).shape == (6, 4)
    assert v.gru(X[0, :, 0][None, :, None]).shape == (1, 4)
    assert v.gru([frame for _, frame in v.panel.drop(columns="id").groupby(v.panel["id"])]).shape == (2, 4)
    assert v.gru(list(OBJECTS)).shape == (2, 4) and v.gru(list(X)).shape == (6, 4)
    assert v.gru(X, mask=rk.sequence_mask([5, 4, 3, 2, 1, 0], 5)).shape == (6, 4)
    assert v.tagger()([[1, 2], [3]]).shape == (2, 1)
    classes = np.unique(v.pd.Series(list("abcabc")), return_inverse=True)[1]
    assert v.sparse().fit(X, classes).history["loss"]
    assert v.sparse().fit(X, np.eye(3)[LABELS].argmax(axis=-1)).history["loss"]
    assert v.net(steps=True).fit(LISTS, [x[:, :1] for x in LISTS]).history["loss"]
