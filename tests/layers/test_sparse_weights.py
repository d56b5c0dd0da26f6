"""Sparse weights in a user's hands: how they come about, how long they stay, what the compiled step makes of them."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse

import rnnkit as rk

X = np.random.default_rng(0).normal(size=(3, 6, 5))
WEIGHTS = {
    "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
    "recurrent": rk.Weight(("units", "units"), "normal", density=0.1),
}


@rk.cell(states={"h": "units"}, weights=WEIGHTS)
def thin(x, states, weights):
    h = np.tanh(x @ weights.kernel + states[0] @ weights.recurrent)
    return h, h


@rk.cell(states={"h": "units"}, weights={name: rk.Weight(w.shape, w.initializer) for name, w in WEIGHTS.items()})
def thick(x, states, weights):
    h = np.tanh(x @ weights.kernel + states[0] @ weights.recurrent)
    return h, h


class Thin(rk.Cell):
    def __init__(self, units, density=0.1):
        super().__init__()
        self.units, self.state_size, self.density = units, units, density

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight((self.units, self.units), "normal", "recurrent", density=self.density)
        self.built = True

    def call(self, inputs, states):
        h = np.tanh(inputs @ self.kernel + states[0] @ self.recurrent)
        return h, h


def layer_of(cell, **options):
    options = {"dtype": "float64", "seed": 4, "return_sequences": True, **options}
    layer = rk.RNN(cell, **options)
    layer.build((None, None, 5))
    return layer


def is_sparse(layer):
    return "sparse product" in layer.explain()


def test_C13_a_density_makes_a_sparse_weight():
    for cell in (thin(units=70), Thin(70)):
        layer = layer_of(cell)
        recurrent = layer.weights["recurrent"]
        assert type(recurrent) is np.ndarray and not recurrent.flags.writeable
        np.testing.assert_array_equal((recurrent != 0).sum(axis=0), 7)
        assert "sparse product: state_0 times (70, 70) with 490 nonzeros" in layer.explain()
        assert layer.count_params() == 5 * 70 + 70 * 70


@pytest.mark.parametrize("density, count", [(1e-6, 1), (0.1, 3), (0.5, 13), (0.99, 26), (1.0, 26)])
def test_C13_each_column_has_its_share_of_the_rows(density, count):
    recurrent = layer_of(Thin(26, density)).weights["recurrent"]
    np.testing.assert_array_equal((recurrent != 0).sum(axis=0), count)
    values = layer_of(thick(units=26)).weights["recurrent"]
    assert np.isin(recurrent, np.append(values, 0)).all()  # the initializer's, not rescaled


def test_C13_connections_come_from_the_seed_and_lie_anywhere():
    first, again, other = (layer_of(thin(units=60), seed=s).weights["recurrent"] for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert ((first != 0) != (other != 0)).any()
    ever = sum(layer_of(thin(units=60), seed=s).weights["recurrent"] != 0 for s in range(80))
    assert (ever > 0).mean() > 0.99


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [1, 8, 33, 130])
def test_C13_results_have_the_bits_of_the_dense_weight(units, dtype):
    sparse, dense = layer_of(thin(units=units), dtype=dtype), layer_of(thick(units=units), dtype=dtype)
    dense.set_weights(sparse.get_weights())
    assert is_sparse(sparse) and not is_sparse(dense)
    np.testing.assert_array_equal(sparse(X), dense(X))
    with rk.eager():
        np.testing.assert_allclose(sparse(X), dense(X), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.coo_array])
def test_C13_a_scipy_array_makes_a_dense_weight_sparse(kind):
    layer, dense = layer_of(rk.LSTMCell(20)), layer_of(rk.LSTMCell(20))
    pruned = np.where(np.random.default_rng(1).random((20, 80)) < 0.2, layer.weights["recurrent_kernel"], 0)
    dense.weights["recurrent_kernel"] = pruned
    assert not is_sparse(dense)
    layer(X)
    layer.weights["recurrent_kernel"] = kind(pruned)
    assert is_sparse(layer)
    assert type(layer.weights["recurrent_kernel"]) is np.ndarray
    np.testing.assert_array_equal(layer.weights["recurrent_kernel"], pruned)
    np.testing.assert_array_equal(layer(X), dense(X))

    several = layer_of(rk.LSTMCell(20))
    kernel, _, bias = several.get_weights()
    several.set_weights([kernel, kind(pruned), bias])
    assert is_sparse(several)
    np.testing.assert_array_equal(several(X), dense(X))


def test_C13_a_scipy_array_reaches_a_part_by_its_path():
    stack = layer_of([thick(units=20), thick(units=30)])
    stack.weights["1/recurrent"] = scipy.sparse.csr_array(np.diag(np.ones(30)))
    assert stack.explain().count("sparse product") == 1
    assert "(30, 30) with 30 nonzeros" in stack.explain()
    both = rk.Bidirectional(rk.RNN(thick(units=20), return_sequences=True), dtype="float64", seed=0)
    both.build((None, None, 5))
    both.weights["backward/recurrent"] = scipy.sparse.csr_array(np.diag(np.ones(20)))
    forward, backward = (part.explain() for part in (both.forward_layer, both.backward_layer))
    assert "sparse product" in backward and "sparse product" not in forward
    dense = rk.Dense(40, dtype="float64", seed=0)
    before, kernel = dense(X), dense.weights["kernel"]
    dense.weights["kernel"] = scipy.sparse.csc_array(kernel)
    assert is_sparse(dense)
    np.testing.assert_array_equal(dense(X), before)


def test_C13_a_sparse_weight_stays_sparse_with_other_values_and_zeros():
    layer, dense = layer_of(thin(units=40)), layer_of(thick(units=40))
    layer(X)
    for density in (0.0, 0.3, 1.0, 0.02):
        values = np.where(np.random.default_rng(2).random((40, 40)) < density, 0.1, 0.0)
        layer.weights["recurrent"] = dense.weights["recurrent"] = values
        dense.weights["kernel"] = layer.weights["kernel"]
        assert is_sparse(layer) and not is_sparse(dense)
        np.testing.assert_array_equal(layer(X), dense(X))


def test_C13_copies_and_pickles_stay_sparse():
    layer = layer_of(thick(units=40))
    layer.weights["recurrent"] = scipy.sparse.csr_array(np.diag(np.arange(40.0)))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(X), layer(X))
        assert is_sparse(other)
    again = rk.RNN.from_config(layer_of(thin(units=40)).get_config())
    again.build((None, None, 5))
    assert is_sparse(again)


def test_C13_an_initializer_may_give_a_scipy_array():
    class Ring(Thin):
        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
            ring = lambda shape, rng: scipy.sparse.csr_array(np.roll(np.eye(*shape), 1, axis=1))
            self.recurrent = self.add_weight((self.units, self.units), ring, "recurrent")
            self.built = True

    layer = layer_of(Ring(12))
    np.testing.assert_array_equal(layer.weights["recurrent"], np.roll(np.eye(12), 1, axis=1))
    assert "with 12 nonzeros" in layer.explain()


def test_C13_a_part_a_turn_and_a_multiple_are_sparse_too():
    turns = [
        (lambda w, b: w.T, True),
        (lambda w, b: 2 * w, True),
        (lambda w, b: w / 3, True),
        (lambda w, b: -w, True),
        (lambda w, b: w[:, ::-1], True),
        (lambda w, b: w * w.T, True),
        (lambda w, b: b * w, True),
        (lambda w, b: w[:40].T[:40], True),
        (lambda w, b: w + 1, False),
        (lambda w, b: np.tanh(w), False),
        (lambda w, b: np.concatenate([w[:20], w[20:]]), True),  # the whole of it
        (lambda w, b: np.concatenate([w[20:], w[:20]]), False),
    ]
    for i, (turn, sparse) in enumerate(turns):

        class Turned(Thin):
            def call(self, inputs, states, turn=turn):
                h = np.tanh(inputs @ self.kernel + states[0] @ turn(self.recurrent, self.kernel[0]))
                return h, h

        layer = layer_of(Turned(40))
        assert is_sparse(layer) is sparse, i
        got = layer(X)
        with rk.eager():
            np.testing.assert_allclose(got, layer(X), atol=1e-13, err_msg=str(i))


def test_C13_rows_of_several_axes_and_input_that_no_state_touches():
    class Rows(Thin):
        def build(self, input_shape):
            super().build(input_shape)
            self.wide = self.add_weight((5, 20), "normal", "wide", density=0.3)

        def call(self, inputs, states):
            rows = np.stack([inputs, 2 * inputs, states[0][:, :5]], axis=1) @ self.wide
            h = np.tanh(rows[:, 0] + rows[:, 1] - rows[:, 2] + inputs @ self.wide + states[0] @ self.recurrent)
            return h, h

    layer = layer_of(Rows(20))
    assert layer.explain().count("sparse product") == 3
    got = layer(X)
    with rk.eager():
        np.testing.assert_allclose(got, layer(X), atol=1e-13)
    np.testing.assert_array_equal(layer(X[1:2]), got[1:2])


@pytest.mark.parametrize("batch", [1, 5])
def test_C13_threads_change_no_bit(batch):
    layer = layer_of(thin(units=520))
    x = np.random.default_rng(1).normal(size=(batch, 100, 5))
    before = rk.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 2):
            rk.set_num_threads(threads)
            results.append(layer(x))
    finally:
        rk.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_C13_what_is_not_finite_follows_connections_only():
    layer = layer_of(thin(units=50), return_state=True)
    recurrent = layer.weights["recurrent"]
    start = np.zeros((2, 50))
    start[1, 3] = np.nan
    outputs, _ = layer(X[:2, :1], initial_state=start)
    np.testing.assert_array_equal(np.isnan(outputs[1, 0]), recurrent[3] != 0)
    assert np.isfinite(outputs[0]).all()


def test_C13_what_cannot_be_sparse_is_refused():
    for density in (0, -0.1, 1.5, np.nan, True, "0.1"):
        with pytest.raises(ValueError, match="expected a density above 0 and at most 1, got"):
            rk.Weight(("units", "units"), density=density)
        with pytest.raises(ValueError, match="expected a density above 0 and at most 1, got"):
            layer_of(Thin(4, density))
    for shape in ("units", ("units",), (2, "units", 3), 4):
        with pytest.raises(ValueError, match="expected a shape of two axes for a weight with a density, got"):
            rk.Weight(shape, density=0.1)

    class Both(Thin):
        def build(self, input_shape):
            self.add_weight((3, 3), lambda shape, rng: scipy.sparse.csr_array(np.eye(*shape)), "w", density=0.5)

    with pytest.raises(ValueError, match=r"expected no density for 'w': its initializer's scipy\.sparse array says"):
        layer_of(Both(3))
    layer = layer_of(thin(units=6))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"expected weight 'kernel' of shape \(5, 6\), got \(6, 5\)"):
        layer.weights["kernel"] = scipy.sparse.csr_array((6, 5))
    with pytest.raises(TypeError, match="expected weight 'kernel' to hold real numbers, got dtype complex128"):
        layer.weights["kernel"] = scipy.sparse.csr_array((5, 6), dtype=complex)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_C13_a_build_taken_back_forgets_what_was_sparse():
    cell = Thin(8, density=2)
    with pytest.raises(ValueError, match="density"):
        layer_of(cell)
    cell.density = None
    assert not is_sparse(layer_of(cell))


def test_a_reservoir_is_sparse_up_to_a_quarter():
    for density, sparse in ((0.1, True), (0.25, True), (0.26, False), (1.0, False)):
        assert is_sparse(layer_of(rk.ESNCell(100, density=density))) is sparse
