"""The derivative of every operation of a graph: right, linear, the same on symbols, as decided where there is none."""

import functools
import math

import mpmath
import numpy as np
import pytest
from operations_under_test import CONDITION, DOMAINS, FLAT, ROWS
from scipy import special

import rnnkit as rk
from rnnkit import activations
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS, flat
from rnnkit.compiler.tracing import numpy_functions  # noqa: F401  # what functions do to symbols
from rnnkit.compiler.tracing.broadcasting import lift, pointwise
from rnnkit.compiler.tracing.symbol import Symbol

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

NEAR_ONE = {name for name, row in ROWS.items() if row.near_one}
ACTIVATIONS = sorted({function.__name__ for function in activations.ACTIVATIONS.values()})


def draw(domain, shape, rng):
    return rng.random(shape) < 0.5 if domain == CONDITION else rng.uniform(*domain, shape)


def rule(name, g, *args):
    """The cotangents of an operation's operands."""
    y = np.asarray(OPERATIONS[name].evaluate(*args), np.asarray(g).dtype)
    return OPERATIONS[name].gradient(g, y, *args)


def slope(function, x, h=1e-3):
    """Central differences of fourth order."""
    near, far = function(x + h) - function(x - h), function(x + 2 * h) - function(x - 2 * h)
    return (8 * near - far) / (12 * h)


def test_every_operation_has_a_derivative_or_says_that_it_is_flat():
    assert {*OPERATIONS} == {*ROWS}, "tests/support/operations_under_test.py has a row for each"
    assert {name for name, operation in OPERATIONS.items() if operation.gradient is flat} == FLAT
    assert flat(1.0, 2.0, 3.0, 4.0) == (None, None)
    assert {*REDUCTIONS} == {"sum", "prod", "max", "min"}


@pytest.mark.parametrize("name", DOMAINS)
def test_rule_is_the_slope(name, rng):
    args = [draw(domain, 500, rng) for domain in DOMAINS[name]]
    g = rng.normal(size=500)
    for i, c in enumerate(rule(name, g, *args)):
        if c is None:
            assert DOMAINS[name][i] == CONDITION or (name, i) in [("copysign", 1), ("zeta", 0)]
            continue
        f = lambda a, i=i: OPERATIONS[name].evaluate(*args[:i], a, *args[i + 1 :])
        smooth = np.abs(slope(f, args[i]) - slope(f, args[i], 1.5e-3)) < 1e-3  # no jump or corner within the stencil
        assert smooth.mean() > 0.95
        np.testing.assert_allclose(c[smooth], (g * slope(f, args[i]))[smooth], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, domains in DOMAINS.items() if len(domains) > 1])
def test_shapes_may_be_mixed(name, rng):
    shapes = [(2, 3, 4), (3, 1), (4,)]
    for _ in range(3):
        shapes = shapes[1:] + shapes[:1]
        args = [draw(domain, shape, rng) for domain, shape in zip(DOMAINS[name], shapes, strict=False)]
        g = rng.normal(size=np.broadcast_shapes(*(a.shape for a in args)))
        whole = rule(name, g, *np.broadcast_arrays(*args))
        for c, expected in zip(rule(name, g, *args), whole, strict=True):
            assert (c is None) == (expected is None)
            if c is not None:
                np.testing.assert_array_equal(np.broadcast_to(c, g.shape), expected)


@pytest.mark.parametrize("name", DOMAINS)
def test_float32_stays_and_is_as_good_as_it_can_be(name, rng):
    args = [draw(domain, 500, rng) for domain in DOMAINS[name]]
    args = [a if a.dtype == bool else a.astype(np.float32) for a in args]
    g = rng.normal(size=500).astype(np.float32)
    wide = [a if a.dtype == bool else a.astype(float) for a in args]
    for c, expected in zip(rule(name, g, *args), rule(name, g.astype(float), *wide), strict=True):
        if c is not None:
            assert c.dtype == np.float32
            atol = 4e-7 if name in NEAR_ONE else 1e-12
            np.testing.assert_allclose(c, expected, rtol=4e-6, atol=atol)


@pytest.mark.parametrize("name", DOMAINS)
def test_rule_is_linear_in_the_cotangent(name, rng):
    args = [draw(domain, 100, rng) for domain in DOMAINS[name]]
    first, second = rng.normal(size=(2, 100))
    found = (rule(name, g, *args) for g in (2.0 * first - second, first, second))
    for both, a, b in zip(*found, strict=True):
        if both is not None:
            np.testing.assert_allclose(both, 2.0 * a - b, rtol=1e-12, atol=1e-14)
    for c in rule(name, np.zeros(100), *args):
        assert c is None or not np.any(c)


def on_symbols(function, dtype=np.float64, **arrays):
    """What a function of symbols gives for arrays ``(B, …)``, or for weights, whose names start with ``w``."""
    graph = Graph()
    inputs, symbols = {}, []
    for name, array in arrays.items():
        op, shape = ("weight", array.shape) if name.startswith("w") else ("constant", array.shape[1:])
        inputs[op, name] = array
        node = graph.add(op, (), shape, name)
        symbol = Symbol(graph, node, None if op == "weight" else 0, np.dtype(dtype))
        symbols.append(symbol > 0.5 if array.dtype == bool else symbol)
    results = [None if r is None else lift(symbols[0], r).node for r in function(*symbols)]
    values = evaluate([r for r in results if r is not None], inputs, dtype)
    return [None if r is None else values[r.id] for r in results]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", DOMAINS)
def test_rule_is_the_same_on_symbols(name, dtype, rng):
    args = [draw(domain, (5, 2, 3), rng) for domain in DOMAINS[name]]
    args = [a if a.dtype == bool else a.astype(dtype) for a in args]
    g = rng.normal(size=(5, 2, 3)).astype(dtype)

    def traced(g, *args):
        return OPERATIONS[name].gradient(g, pointwise(name, *args), *args)

    names = "abc"
    for batched in ("abc", "a", "bc"):  # the others are weights, the same for all rows
        shown = [a if n in batched else a[0] for n, a in zip(names, args, strict=False)]
        keys = [n if n in batched else f"w{n}" for n in names]
        found = on_symbols(traced, dtype, g=g, **dict(zip(keys, shown, strict=False)))
        for c, expected in zip(found, rule(name, g, *shown), strict=True):
            assert (c is None) == (expected is None)
            if c is not None:
                np.testing.assert_array_equal(np.broadcast_to(c, g.shape), np.broadcast_to(expected, g.shape))


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e-4, -1e4, 1e20, -1e20])
GROUPS = [list(DOMAINS)[i::4] for i in range(4)]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_a_kernel_gives_what_the_operation_and_its_rule_give(names, rng):
    """Inside the domain, outside it, and where the rules decide."""
    width, domains = 24, [domain for name in names for domain in ("cotangent", *DOMAINS[name])]

    @rk.cell(states={"h": "units"})
    def cotangents(x, states, weights):
        parts = iter(np.split(x, len(domains), axis=1))
        found = []
        for name in names:
            g, *args = (next(parts) for _ in range(1 + len(DOMAINS[name])))
            if DOMAINS[name][0] == CONDITION:
                args[0] = args[0] > 0.5
            y = OPERATIONS[name].evaluate(*args)
            found += [y, *(c for c in OPERATIONS[name].gradient(g, y, *args) if c is not None)]
        return np.concatenate(found, axis=1), states

    x = [rng.normal(size=(5, 1, width)) if d == "cotangent" else draw(d, (5, 1, width), rng) for d in domains]
    for part, domain in zip(x, domains, strict=True):
        if domain not in ("cotangent", CONDITION):
            part[3:] = rng.choice(SPECIAL, (2, 1, width))
    x = np.concatenate(x, axis=2).astype(np.float32)
    layer = rk.RNN(cotangents(1), dtype="float32")
    found = layer(x)
    assert "traced" in layer.explain()
    with rk.eager():
        expected = rk.RNN(cotangents(1), dtype="float32")(x)
    np.testing.assert_allclose(found, expected, rtol=4e-6, atol=4e-7)


EXTREMES = {name: row.extremes for name, row in ROWS.items() if row.extremes}


def exact_slope(name, args, i):
    """The derivative by operand `i`, to all digits of a float."""
    f = ROWS[name].exact
    with mpmath.workdps(700):  # more digits than 1e-300 has zeros
        args = [mpmath.mpf(a) for a in args]
        return float(mpmath.re(mpmath.diff(lambda a: f(*args[:i], a, *args[i + 1 :]), args[i])))


SLOW = ("k0e", "k1e")  # with so many digits


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.sweep) if n in SLOW else n for n in EXTREMES])
def test_rule_has_its_digits_at_the_extremes(name):
    for args in EXTREMES[name]:
        args = args if isinstance(args, tuple) else (args,)
        found = rule(name, np.ones(1), *(np.array([a]) for a in args))
        for i, c in enumerate(found):
            atol = 3e-16 if name in NEAR_ONE else 0.0
            np.testing.assert_allclose(c, exact_slope(name, args, i), rtol=1e-12, atol=atol, err_msg=f"{args}, {i}")


# Where a function has no derivative


def slopes(name, *args):
    """The slopes at one point, of arrays."""
    found = rule(name, np.ones(1), *(np.array([float(a)]) for a in args))
    return tuple(None if c is None else float(c[0]) for c in found)


def test_rules_at_the_edges_of_their_functions():
    """Where a sign, a logarithm or a quotient has no value of its own."""
    copysign, xlogy = OPERATIONS["copysign"].gradient, OPERATIONS["xlogy"].gradient
    by_magnitude, by_sign = copysign(1.0, None, np.array([2.0, -2.0]), np.array([-0.0, 0.0]))
    np.testing.assert_array_equal(by_magnitude, [-1.0, -1.0])
    assert by_sign is None
    with np.errstate(all="raise"):
        found = xlogy(1.0, None, np.zeros(3), np.array([0.0, -1.0, 2.0]))
    np.testing.assert_array_equal(found, [[0.0, 0.0, np.log(2.0)], [0.0, 0.0, 0.0]])


def test_a_tie_of_arrays_is_split_evenly():
    for name in ("maximum", "minimum"):
        assert slopes(name, 2.0, 2.0) == (0.5, 0.5)
        assert slopes(name, np.inf, np.inf) == (0.5, 0.5)
    assert slopes("maximum", 3.0, 2.0) == slopes("minimum", 2.0, 3.0) == (1.0, 0.0)
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    g = np.array([[6.0], [6.0]])
    for name, expected in (("max", [[0, 3, 3], [2, 2, 2]]), ("min", [[6, 0, 0], [2, 2, 2]])):
        y = REDUCTIONS[name].evaluate(x, 1, keepdims=True)
        np.testing.assert_array_equal(REDUCTIONS[name].gradient(g, y, x, (-1,)), expected)


RELUS = {
    "np.maximum(x, 0)": lambda x: np.maximum(x, 0),
    "np.maximum(0, x)": lambda x: np.maximum(0.0, x),
    "an array of zeros": lambda x: np.maximum(x, np.zeros(1)),
    "computed of numbers": lambda x: np.maximum(x, np.sum(0.0 * x.made(x.graph.literal(np.ones(3))))),
    "rk.relu": activations.relu,
    "np.where": lambda x: np.where(x > 0, x, 0),
    "x * (x > 0)": lambda x: x * (x > 0),
    "np.clip": lambda x: np.clip(x, 0, None),
    "np.where, the other way": lambda x: np.where(x <= 0, 0, x),
}


@pytest.mark.parametrize("written", RELUS)
def test_relu_has_slope_0_at_0_however_it_is_written(written):
    np.testing.assert_array_equal(gradient_of(RELUS[written], [-1.0, 0.0, 2.0]), [0.0, 0.0, 1.0])


def test_the_part_below_a_number_has_the_rest_of_the_slope():
    for low in (lambda x: np.minimum(x, 0.0), lambda x: np.minimum(0, x), lambda x: np.where(x > 0, 0, x)):
        np.testing.assert_array_equal(gradient_of(low, [-1.0, 0.0, 2.0]), [1.0, 1.0, 0.0])
    np.testing.assert_array_equal(gradient_of(lambda x: np.maximum(x, 1) + np.minimum(x, 1), [0.0, 1.0, 2.0]), [1] * 3)
    np.testing.assert_array_equal(gradient_of(activations.elu, [0.0]), [1.0])
    np.testing.assert_array_equal(gradient_of(activations.leaky_relu, [0.0]), [0.2])
    found = gradient_of(lambda x: np.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 0])


def test_a_tie_with_a_weight_is_split():
    found = on_symbols(
        lambda g, x, w: OPERATIONS["maximum"].gradient(g, np.maximum(x, w), x, w),
        g=np.ones((1, 1)),
        x=np.ones((1, 1)),
        w=np.ones(1),
    )
    assert [float(c[0, 0]) for c in found] == [0.5, 0.5]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.corners])
def test_corners_and_poles(name):
    for args, decided in ROWS[name].corners:
        assert slopes(name, *args) == decided, args


def test_powers_are_sane_where_the_logarithm_is_not():
    assert slopes("power", 0.0, 2.0) == (0.0, 0.0)
    assert slopes("power", 0.0, 1.0) == (1.0, 0.0)
    assert slopes("power", 0.0, 0.0) == (0.0, 0.0)
    assert slopes("power", 0.0, 0.5) == (np.inf, 0.0)
    assert slopes("power", 5.0, 0.0) == (0.0, math.log(5.0))
    assert slopes("power", -2.0, 3.0) == (12.0, 0.0)
    assert slopes("power", -2.0, -1.0) == (-0.25, 0.0)
    assert slopes("power", 0.0, -1.0) == (-np.inf, 0.0)
    for exponent in (0, 1, 2, 3, 4, 5, 2.5):
        np.testing.assert_array_equal(gradient_of(lambda x, e=exponent: x**e, [0.0]), [float(exponent == 1)])


# Reductions


@pytest.mark.parametrize("axes", [(-1,), (-2,), (-2, -1), (-3, -1), (-3, -2, -1)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_is_the_slope(name, axes, rng):
    x = rng.uniform(0.5, 2.0, (2, 3, 4)) * rng.choice([-1.0, 1.0], (2, 3, 4))
    f = functools.partial(REDUCTIONS[name].evaluate, axis=axes, keepdims=True)
    y = f(x)
    g, t = rng.normal(size=y.shape), rng.normal(size=x.shape)
    c = np.broadcast_to(REDUCTIONS[name].gradient(g, y, x, axes), x.shape)
    np.testing.assert_allclose(np.sum(c * t), slope(lambda s: np.sum(g * f(x + s * t)), 0.0, 1e-4), rtol=1e-8)
    narrow = REDUCTIONS[name].gradient(g.astype(np.float32), y.astype(np.float32), x.astype(np.float32), axes)
    if name in ("sum", "prod"):  # others have other ties
        assert narrow.dtype == np.float32
        np.testing.assert_allclose(np.broadcast_to(narrow, x.shape), c, rtol=1e-5)
    (found,) = on_symbols(
        lambda g, x: (REDUCTIONS[name].gradient(g, getattr(np, name)(x, axes, keepdims=True), x, axes),),
        g=np.stack([g] * 3),
        x=np.stack([x] * 3),
    )
    np.testing.assert_allclose(np.broadcast_to(found[1], x.shape), c, rtol=1e-12)


def test_a_product_with_zeros_has_the_slopes_of_the_others():
    x = np.array([[2.0, 3.0, 4.0], [0.0, 3.0, 4.0], [0.0, 3.0, -0.0], [0.0, 0.0, 0.0]])
    c = REDUCTIONS["prod"].gradient(np.full((4, 1), 2.0), x.prod(1, keepdims=True), x, (-1,))
    np.testing.assert_array_equal(c, [[24, 16, 12], [24, 0, 0], [0, 0, 0], [0, 0, 0]])
    one = np.array([[5.0]])
    np.testing.assert_array_equal(REDUCTIONS["prod"].gradient(np.ones((1, 1)), one, one, (-1,)), [[1.0]])


# Whole functions, by the rules


def gradient_of(function, x, dtype=np.float64, g=None):
    """The gradient of the sum of what a function of a symbol gives for one row."""
    graph = Graph()
    x = np.asarray(x, dtype)[None]
    node = graph.add("x", (), x.shape[1:])
    result = function(Symbol(graph, node, 0, np.dtype(dtype))).node
    values = evaluate([result], {("x", None): x}, dtype)
    shape = (1, *result.shape)
    cotangents = {result.id: np.broadcast_to(np.ones(shape, dtype) if g is None else np.asarray(g, dtype), shape)}
    for n in reversed([n for n in graph.nodes if n.id in values]):
        if n.id in cotangents and n.kind == "float":
            for arg, c in zip(n.args, backward(graph, n, values, cotangents[n.id], dtype), strict=True):
                if c is not None and arg.batched:
                    cotangents[arg.id] = cotangents.get(arg.id, 0) + c
    return cotangents.get(node.id, np.zeros_like(x))[0]


def backward(graph, node, values, g, dtype):
    """The cotangents of a node's operands, in their shapes."""
    args = [values[a.id] for a in node.args]
    if node.op == "view":
        (arg,) = node.args
        c = np.zeros((1, arg.size), dtype)
        np.add.at(c[0], node.attr.index(arg.shape).reshape(-1), g.reshape(-1))
        return (c.reshape(1, *arg.shape),)
    if node.op in REDUCTIONS:
        kept = (1, *(1 if i in node.attr else n for i, n in enumerate(node.args[0].shape)))
        axes = tuple(i - len(node.args[0].shape) for i in node.attr)
        c = REDUCTIONS[node.op].gradient(g.reshape(kept), values[node.id].reshape(kept), args[0], axes)
        return (np.broadcast_to(c, args[0].shape),)
    if not node.args:
        return ()
    # A rule tells numbers from arrays by the symbol: the operands stay symbols, with values of their own.
    symbols = [Symbol(graph, n, 0 if n.batched else None, np.dtype(dtype)) for n in (node, *node.args)]
    stand_in = Symbol(graph, graph.add("constant", (), node.shape, f"g{node.id}"), 0, np.dtype(dtype))
    results = OPERATIONS[node.op].gradient(stand_in, *symbols)
    found = []
    for a, arg, c in zip(args, node.args, results, strict=True):
        if c is None or not arg.batched:
            found.append(None)
            continue
        inputs = {("x", None): values[graph.nodes[0].id], ("constant", f"g{node.id}"): g}
        c = lift(stand_in, c).node
        c = np.broadcast_to(evaluate([c], inputs, dtype)[c.id], (1, *node.shape))
        lead = c.reshape(-1, *c.shape[c.ndim - len(arg.shape) :]).sum(0) if arg.shape != node.shape else c[0]
        stretched = tuple(i for i, n in enumerate(arg.shape) if n == 1 and lead.shape[i] != 1)
        found.append(lead.sum(stretched, keepdims=True).reshape(a.shape))
    return found


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_has_its_slope(name, rng):
    function = getattr(activations, name)
    x, g = rng.uniform(-4.0, 4.0, 8), rng.normal(size=8)
    expected = [slope(lambda s, i=i: np.sum(g * function(x + s * np.eye(8)[i])), 0.0) for i in range(8)]
    np.testing.assert_allclose(gradient_of(function, x, g=g), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_has_a_finite_slope_everywhere(name, dtype):
    large = [80.0] if name == "exponential" else [30.0, 100.0, 1e4, 1e10, 1e30]
    x = np.array([*(-v for v in large[::-1]), -1e4, -1.0, 0.0, 1e-30, 1.0, *large])
    found = gradient_of(getattr(activations, name), x, dtype, g=np.linspace(-1, 2, len(x)))
    assert np.all(np.isfinite(found))
    for row in (np.zeros(4), np.full(4, 1e30), np.full(4, -1e4)):
        row = np.minimum(row, large[-1])
        assert np.all(np.isfinite(gradient_of(getattr(activations, name), row, dtype)))


COMPOSED = {
    "np.clip": lambda x: np.clip(x, -1, 1),
    "np.var": lambda x: np.var(x, -1),
    "np.std": lambda x: np.std(x, -1),
    "np.linalg.norm": lambda x: np.linalg.norm(x, axis=-1),
    "np.logaddexp.reduce": lambda x: np.logaddexp.reduce(x, -1),
    "np.sinc": np.sinc,
    "np.ptp": lambda x: np.ptp(x, -1),
    "np.fmax": lambda x: np.fmax(x, 0.3),
    "np.prod": lambda x: np.prod(x, -1),
    "np.logaddexp2": lambda x: np.logaddexp2(x, 0.3),
    "np.reciprocal": np.reciprocal,
    "scipy.special.entr": lambda x: special.entr(np.abs(x)),
    "x ** 3": lambda x: x**3,
    "2 ** x": lambda x: 2.0**x,
    "layer norm": lambda x: (x - np.mean(x, -1, keepdims=True)) / np.sqrt(np.var(x, -1, keepdims=True) + 1e-5),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_functions_composed_of_operations_have_their_slope(name, rng):
    function = COMPOSED[name]
    x = rng.uniform(0.3, 0.9, 6) * [1, -1, 1, -1, 1, -1]
    g = rng.normal(size=np.shape(function(x)))
    expected = [slope(lambda s, i=i: np.sum(g * function(x + s * np.eye(6)[i])), 0.0) for i in range(6)]
    np.testing.assert_allclose(gradient_of(function, x, g=g), expected, rtol=1e-7, atol=1e-9)
