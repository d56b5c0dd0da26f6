"""What the benchmarks run over: built-in cells, and some that a user might write. Only public names are used."""

import numpy as np

import rnnkit as rk


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
        "bias": rk.Weight(("units",), "zeros"),
    },
)
def leaky(x, states, weights, *, leak=0.3):
    """The README's cell."""
    (h,) = states
    h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias)
    return h, (h,)


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "2*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "2*units"), "orthogonal"),
        "bias": rk.Weight(("2*units",), "zeros"),
    },
)
def gated(x, states, weights):
    """A cell of one's own: one gate z decides between the state and a candidate n."""
    (h,) = states
    z, n = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 2, axis=1)
    z = rk.sigmoid(z)
    h = (1 - z) * h + z * np.tanh(n)
    return h, (h,)


def _normalise(z):
    z = z - z.mean(axis=-1, keepdims=True)
    return z / np.sqrt((z * z).mean(axis=-1, keepdims=True) + 1e-5)


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={
        "kernel": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "4*units"), "orthogonal"),
        "bias": rk.Weight(("4*units",), "zeros"),
        "scale": rk.Weight(("4*units",), "ones"),
    },
)
def normalised_lstm(x, states, weights):
    """An LSTM with layer normalization of what goes into its gates and out of its cell."""
    h, c = states
    z = weights.scale * _normalise(x @ weights.kernel + h @ weights.recurrent_kernel) + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(_normalise(c))
    return h, (h, c)


@rk.cell(
    states={"memory": "units", "shown": "units"},
    weights={
        "inward": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "back": rk.Weight(("units", "4*units"), "orthogonal"),
        "shift": rk.Weight(("4*units",), "zeros"),
    },
)
def typed_lstm(x, states, weights):
    """An LSTM as somebody else would type it: other names, and states, gates and lines in another order."""
    memory, shown = states
    to_show, to_write, to_keep, new = np.split(weights.shift + shown @ weights.back + x @ weights.inward, 4, axis=-1)
    new = np.tanh(new)
    memory = new * rk.sigmoid(to_write) + memory * rk.sigmoid(to_keep)
    shown = np.tanh(memory) * rk.sigmoid(to_show)
    return shown, (memory, shown)


class TypedLSTMCell(rk.Cell):
    """The same as a class, with the gates and their weights in yet another order."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape):
        self.back = self.add_weight((self.units, 4 * self.units), "orthogonal", "back")
        self.inward = self.add_weight((input_shape[-1], 4 * self.units), "glorot_uniform", "inward")
        self.shift = self.add_weight((4 * self.units,), "zeros", "shift")
        self.built = True

    def call(self, inputs, states):
        memory, shown = states
        sums = shown @ self.back + self.shift + inputs @ self.inward
        new, keep, write, show = (sums[:, k * self.units : (k + 1) * self.units] for k in range(4))
        kept = rk.sigmoid(keep) * memory
        memory = kept + rk.sigmoid(write) * np.tanh(new)
        shown = rk.sigmoid(show) * np.tanh(memory)
        return shown, [memory, shown]


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"), "glorot_uniform")})
def jitted(x, states, weights):
    """A step that can't be traced, since it looks at values: numba compiles it."""
    (h,) = states
    h = 0.5 * h + x @ weights.kernel
    while np.any(np.abs(h) > 1):
        h = np.where(np.abs(h) > 1, h / 2, h)
    return h, (h,)


def own_vjp(units):
    """A step whose gradient is written by hand; as many features as units."""

    def back(x, states, weights, d_output, d_states):
        dz = (d_output + d_states[0]) * (1 - np.tanh(states[0] + x) ** 2)
        return dz, (dz,), {}

    @rk.cell(states={"h": "units"}, vjp=back)  # when it is asked for: older commits may not know vjp
    def step(x, states, weights):
        h = np.tanh(states[0] + x)
        return h, (h,)

    return step(units=units)


OWN = {made.__name__: made for made in (leaky, gated, normalised_lstm, typed_lstm, TypedLSTMCell, jitted, own_vjp)}


def cell(name: str, units: int) -> rk.Cell:
    """Return a cell by its name: one of these, or one of rnnkit's."""
    return (OWN.get(name) or getattr(rk, name))(units=units)


def layer(name: str, units: int, **options) -> rk.RNN:
    """Return an `RNN` around the cell of this name."""
    return rk.RNN(cell(name, units), seed=0, **options)


def sequences(batch: int, time: int, features: int, dtype: str = "float32") -> np.ndarray:
    """Return an input of shape (batch, time, features), drawn."""
    return np.random.default_rng(0).standard_normal((batch, time, features)).astype(dtype)
