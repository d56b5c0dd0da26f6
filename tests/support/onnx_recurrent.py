"""ONNX's LSTM, GRU and RNN as their specification has them, in slow, plain NumPy, in layout 0.

A second witness beside onnxruntime.
"""

import numpy as np

FUNCTIONS = {
    "Relu": lambda x, a, b: np.maximum(x, 0),
    "Tanh": lambda x, a, b: np.tanh(x),
    "Sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "Affine": lambda x, a, b: a * x + b,
    "LeakyRelu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "ThresholdedRelu": lambda x, a, b: np.where(x >= a, x, 0),
    "ScaledTanh": lambda x, a, b: a * np.tanh(b * x),
    "HardSigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "Elu": lambda x, a, b: np.where(x >= 0, x, a * (np.exp(x) - 1)),
    "Softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "Softplus": lambda x, a, b: np.log(1 + np.exp(x)),
}
ALPHA = {"Affine": 1.0, "LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "ScaledTanh": 1.0, "HardSigmoid": 0.2, "Elu": 1.0}
BETA = {"Affine": 0.0, "ScaledTanh": 1.0, "HardSigmoid": 0.5}
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def functions(op, directions, said):
    """The activations of every direction."""
    names = said.get("activations", USUAL[op] * directions)
    alphas, betas = list(said.get("activation_alpha", [])), list(said.get("activation_beta", []))
    clip, found = said.get("clip"), []
    for place, name in enumerate(names):
        a = alphas.pop(0) if name in ALPHA and alphas else ALPHA.get(name)
        b = betas.pop(0) if name in BETA and betas else BETA.get(name)
        bound = clip if clip and place % len(USUAL[op]) < 2 else np.inf  # as onnxruntime, which leaves c as it is
        found.append(lambda x, n=name, a=a, b=b, bound=bound: FUNCTIONS[n](np.clip(x, -bound, bound), a, b))
    per = len(USUAL[op])
    return [found[i : i + per] for i in range(0, len(found), per)]


def step(op, x, states, w, r, b, p, fs, said):
    """One step: the new states, h first."""
    units = r.shape[1]
    part = lambda array, k: array[k * units : (k + 1) * units]
    wb, rb = b[: len(b) // 2], b[len(b) // 2 :]
    h = states[0]
    from_x, from_h = x @ w.T + wb, h @ r.T + rb
    z = lambda k: part(from_x.T, k).T + part(from_h.T, k).T
    if op == "RNN":
        return [fs[0](z(0))]
    if op == "GRU":
        update, reset = fs[0](z(0)), fs[0](z(1))
        if said.get("linear_before_reset"):
            n = fs[1](part(from_x.T, 2).T + reset * part(from_h.T, 2).T)
        else:
            n = fs[1](part(from_x.T, 2).T + (reset * h) @ part(r, 2).T + part(rb, 2))
        return [(1 - update) * n + update * h]
    c = states[1]
    i = fs[0](z(0) + part(p, 0) * c)
    f = 1 - i if said.get("input_forget") else fs[0](z(2) + part(p, 2) * c)
    new = f * c + i * fs[1](z(3))
    return [fs[0](z(1) + part(p, 1) * new) * fs[2](new), new]


def run(op, said, X, W, R, B=None, L=None, H=None, C=None, P=None):
    """Y and the last states; `said` are the node's attributes."""
    time, batch, _ = X.shape
    directions, units = len(W), R.shape[2]
    B = np.zeros((directions, 2 * W.shape[1])) if B is None else B
    P = np.zeros((directions, 3 * units)) if P is None else P
    zeros = np.zeros((directions, batch, units))
    starts = [zeros if s is None else s for s in ([H, C] if op == "LSTM" else [H])]
    lengths = np.full(batch, time) if L is None else L
    y, last = np.zeros((time, directions, batch, units)), [np.array(s, float) for s in starts]
    for d, fs in enumerate(functions(op, directions, said)):
        backwards = said.get("direction") == "reverse" or d == 1
        for row in range(batch):
            states = [s[d, row : row + 1] for s in starts]
            steps = range(lengths[row])
            for t in reversed(steps) if backwards else steps:
                states = step(op, X[t, row : row + 1], states, W[d], R[d], B[d], P[d], fs, said)
                y[t, d, row] = states[0]
            for s, state in zip(last, states, strict=True):
                s[d, row] = state[0]
    return [y, *last]
