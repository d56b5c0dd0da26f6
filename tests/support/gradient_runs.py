"""Calls whose gradients are looked at: a layer, its arguments, cotangents of all that it returns."""

from types import SimpleNamespace

import numpy as np
from adjoint_in_numpy import Reference, has_corner, slope
from cells_under_test import CELLS
from matrix import flat, layer_of, make_mask
from on_device import by_device
from paper_cells import PAPER_CELLS
from recorded_runs import check_repeated

import rnnkit as rk

# States that stay as the cell starts them, and along which no slope is taken: counts of steps, sums over none so far,
# shares of attention.
COUNTERS = {
    "clockwork": (1,),
    "ClockworkRNNCell": (1,),
    "RunningMomentsCell": (0, 2),
    "TuringMachineCell": (2,),
}
DTYPES = ("float64", "float32")
TRACED = tuple(case for case in CELLS if case.how == "traced")
TYPED = {"lstm", "gru_before", "gru_after"}  # what a user typed of the built-in cells: the same operations once more
PRECISION = {case.name: DTYPES[i % 2] for i, case in enumerate((*TRACED, *PAPER_CELLS))}  # by turns
BOUNDS = {"float64": 1e-12, "float32": 2e-5}  # of an array's norm, from an exact gradient
LAW_7 = 1e-7
UNITS, FEATURES = by_device((17, 5), (4, 3))


def layer_for(case, units=UNITS, features=FEATURES, dtype=None, **options):
    """``(layer, the shape of a step's input)``."""
    if hasattr(case, "paper"):
        return paper_layer(case, dtype, **options), case.features
    return layer_of(case.name, units, features, dtype or PRECISION[case.name], **options), (features,)


def paper_layer(case, dtype=None, **options):
    options = {"return_sequences": True, "return_state": True, "seed": 7, **options}
    layer = rk.RNN(case.make(), dtype=dtype or PRECISION[case.name], **options)
    layer.build((None, None, *case.features))
    return layer


class Run:
    """A layer with the arguments of a call; its parts are replaced by keyword, in `call`, `vjp` and `gradient`."""

    def __init__(self, layer, features, batch, time, mask="none", constants=(), counters=(), seed=0, training=False):
        rng = np.random.default_rng(seed)
        self.layer, self.dtype, self.training = layer, np.dtype(layer.dtype), training
        normal = lambda *shape: rng.normal(0, 0.7, (batch, *shape)).astype(self.dtype)
        self.counters = counters
        start = flat(list(layer.get_initial_state(batch)))
        self.given = {
            "x": normal(time, *features),
            "mask": make_mask(mask, batch, time, np.random.default_rng(5)),
            "start": [s if i in counters else s + 0.5 * normal(*s.shape[1:]) for i, s in enumerate(start)],
            "constants": [normal(*shape) for shape in constants] or None,
        }
        outputs = self.call()
        self.d = [rng.normal(size=a.shape).astype(self.dtype) for a in outputs]

    @classmethod
    def of(cls, case, batch=5, time=6, mask="none", units=UNITS, features=FEATURES, dtype=None, seed=0, **options):
        layer, features = layer_for(case, units, features, dtype, **options)
        return cls(layer, features, batch, time, mask, case.constants, COUNTERS.get(case.name, ()), seed)

    def arguments(self, changed):
        given = {**self.given, **changed}
        return {
            "sequences": given["x"],
            "mask": given["mask"],
            "initial_state": self.layer._spec.pack(tuple(given["start"])),
            "constants": given["constants"],
            "training": self.training,
        }

    def call(self, **changed):
        """Everything that a call returns, flat."""
        found = self.layer(**self.arguments(changed))
        return flat([found]) if isinstance(found, np.ndarray) else flat(list(found))

    def vjp(self, checkpoint=None, truncate=None, **changed):
        """``(outputs, pull)``, both flat: from a list of cotangents to a dict of arrays by name."""
        found, pullback = self.layer.vjp(**self.arguments(changed), checkpoint=checkpoint, truncate=truncate)

        def pull(d):
            return by_name(pullback((d[0], *self.layer._spec.pack(tuple(d[1:])))))

        return flat(list(found)), pull

    def gradient(self, d=None, **changed):
        return self.vjp(**changed)[1](self.d if d is None else d)

    def weights(self):
        return dict(self.layer.weights)

    def check_repeated(self):
        """The call and its gradient, recorded, give the same bits for other arguments, masks among them."""
        rng, mask = np.random.default_rng(11), self.given["mask"]
        masks = [mask] * 4
        if mask is not None:
            masks = [mask, np.ones_like(mask), rng.random(mask.shape) < 0.5, np.zeros_like(mask)]
        other = lambda array: (array + rng.normal(0, 0.2, array.shape)).astype(array.dtype)
        calls, cotangents = [], []
        for changed in masks:
            start = [s if i in self.counters else other(s) for i, s in enumerate(self.given["start"])]
            constants = self.given["constants"] and [other(one) for one in self.given["constants"]]
            calls.append(self.arguments({"x": other(self.given["x"]), "start": start, "constants": constants}))
            calls[-1]["mask"] = changed
            cotangents.append([other(d) for d in self.d])
        check_repeated(self.layer, calls, cotangents)

    # The same in plain NumPy

    @property
    def reference(self):
        return Reference(self.layer, self.given["constants"], self.training)

    def plain(self, draws=None, **changed):
        """The call for a `Reference`, in processing order."""
        given, way = {**self.given, "weights": self.weights(), **changed}, slice(None, None, self.way)
        mask = None if given["mask"] is None else given["mask"][:, way]
        parts = {key: given[key] for key in ("start", "constants", "weights")}
        return SimpleNamespace(
            x=given["x"][:, way], mask=mask, draws=draws, zero=self.layer.zero_output_for_mask, **parts
        )

    @property
    def way(self):
        return -1 if self.layer.go_backwards else 1

    def cotangents(self):
        """Of every output, of the last, and of the states."""
        output, *states = self.d
        return (output, None, states) if self.layer.return_sequences else (None, output, states)

    def expected(self, draws=None, reference=None):
        """The gradient by the reference, by name."""
        found = (reference or self.reference).gradient(self.plain(draws), *self.cotangents())
        return named(found.x[:, :: self.way], found.states, found.constants, found.weights)

    def plain_loss(self, reference, **changed):
        outputs, last, states, _ = reference.run(self.plain(**changed))
        output = outputs if self.layer.return_sequences else last
        return sum(float(np.vdot(d.astype(float), a)) for d, a in zip(self.d, (output, *states), strict=True))

    def loss(self, **changed):
        return sum(float(np.vdot(d, a)) for d, a in zip(self.d, self.call(**changed), strict=True))

    # Slopes

    def moved(self, name, step):
        """The arguments of a call with one array moved."""
        if name == "x":
            return {"x": self.given["x"] + step}
        kind, _, number = name.rpartition(" ")
        key = {"state": "start", "constant": "constants"}[kind]
        return {key: [a + step if i == int(number) else a for i, a in enumerate(self.given[key])]}

    def direction(self, name, array, rng):
        """A random direction of length 1, on the pattern of a sparse weight."""
        v = rng.normal(size=array.shape)
        if name in getattr(self.reference.graph, "sparse", ()):
            v = np.where(self.layer.weights[name] != 0, v, 0.0)
        return v / max(np.linalg.norm(v), 1e-300)

    def check_slopes(self, gradient, loss, weight_loss, rng, count=2, corners=False):
        """Law 7 along random directions: `loss` takes moved arguments, `weight_loss` a name and a step.

        With `corners` nothing is asked where the slopes to both sides differ.
        """
        weights = self.weights()
        for name, g in gradient.items():
            if not g.size or name in [f"state {i}" for i in self.counters]:
                continue
            for _ in range(count):
                v = self.direction(name, g, rng)
                if name in weights:
                    along = lambda h, n=name, v=v: weight_loss(n, h * v)
                else:
                    along = lambda h, n=name, v=v: loss(**self.moved(n, h * v))
                wanted = np.vdot(g, v)
                found = slope(along, wanted)
                if abs(found - wanted) <= LAW_7 * max(np.linalg.norm(g), 1e-3) or (corners and has_corner(along)):
                    continue
                raise AssertionError(f"{name}: slope {found}, not {wanted}")

    def loss_with_weight(self, name, step):
        """The loss by the layer itself with one weight moved, which is put back."""
        before = self.layer.weights[name]
        try:
            self.layer.weights[name] = before + step
            return self.loss()
        finally:
            self.layer.weights[name] = before

    def plain_loss_with_weight(self, reference):
        weights = self.weights()
        return lambda name, step: self.plain_loss(reference, weights={**weights, name: weights[name] + step})


def by_name(gradients):
    """A pullback's result as one dict."""
    states = flat([gradients.initial_state]) if gradients.initial_state is not None else []
    return named(gradients.x, states, gradients.constants or [], gradients.weights)


def named(x, states, constants, weights):
    found = {"x": x} | {f"state {i}": s for i, s in enumerate(states)}
    return found | {f"constant {i}": c for i, c in enumerate(constants)} | dict(weights)


def near(got, expected, bound):
    """Every array to this part of its norm, or of 1 where it is small beside the others."""
    assert got.keys() == expected.keys()
    for name, array in got.items():
        assert array.shape == expected[name].shape, name
        allowed = bound * max(np.linalg.norm(expected[name]), 1e-3)
        error = np.abs(array - expected[name]).max(initial=0.0)
        assert error <= allowed, f"{name}: off by {error}, {allowed} allowed"


def same(got, expected, names=None):
    """Bit for bit, of these names or of all."""
    assert got.keys() == expected.keys()
    for name in got if names is None else names:
        a, b = got[name], expected[name]
        assert a.shape == b.shape and a.dtype == b.dtype, name
        assert np.array_equal(a, b, equal_nan=True), f"{name}: {np.argwhere(a != b)[:1].tolist()} of {a.shape}"


def of_rows(gradient):
    """The names of what belongs to rows: all but the weights."""
    return [name for name in gradient if name == "x" or name.startswith(("state ", "constant "))]
