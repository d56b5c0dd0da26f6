"""Cells and loops of complex numbers, each beside a slow loop over its steps in complex128."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from paper_steps import WIDE

import rnnkit as rk


def normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


lru, s5, unitary = (WIDE[name].cell for name in ("LRU", "S5", "unitary RNN"))
for cell in (lru, s5, unitary):
    cell.__module__ = __name__  # where pickle finds it


def lru_loop(x, w, mask):
    h, held, outputs = np.zeros(len(w["lam"]), complex), np.zeros(len(w["D"])), []
    for x_t, used in zip(x, mask, strict=True):
        if used:
            h = np.array(
                [l * s + np.sqrt(1 - abs(l) ** 2) * (x_t @ b) for l, s, b in zip(w["lam"], h, w["B"].T, strict=True)]
            )
            held = np.array([sum(h * c).real + d * v for c, d, v in zip(w["C"].T, w["D"], x_t, strict=True)])
        outputs.append(held)
    return np.array(outputs), [h]


def s5_loop(x, w, mask):
    turned = np.array([np.exp(l * np.exp(s)) for l, s in zip(w["lam"], w["log_step"], strict=True)])
    h, held, outputs = np.zeros(len(turned), complex), np.zeros(len(w["B"])), []
    for x_t, used in zip(x, mask, strict=True):
        if used:
            h = turned * h + (turned - 1) / w["lam"] * (x_t @ w["B"])
            held = 2 * (h @ w["C"]).real
        outputs.append(held)
    return np.array(outputs), [h]


def unitary_loop(x, w, mask):
    h = held = np.zeros(5, complex)
    outputs = []
    for x_t, used in zip(x, mask, strict=True):
        if used:
            z = np.fft.fft(np.exp(1j * w["d1"]) * h) / np.sqrt(5)
            z = (z - 2 * np.vdot(w["r1"], z) * w["r1"] / np.vdot(w["r1"], w["r1"]).real)[[0, 3, 1, 4, 2]]
            z = np.fft.ifft(np.exp(1j * w["d2"]) * z) * np.sqrt(5)
            z = np.exp(1j * w["d3"]) * (z - 2 * np.vdot(w["r2"], z) * w["r2"] / np.vdot(w["r2"], w["r2"]).real)
            z = z + x_t @ w["V"]
            h = held = np.array([a / abs(a) * max(abs(a) + b, 0) for a, b in zip(z, w["bias"], strict=True)])
        outputs.append(held)
    return np.array(outputs), [h]


class LockedLoop(rk.Cell):
    """A phase-locked loop, row by row: an oscillator that follows the phase of its input, and its frequency."""

    per_row = True
    state_size = (rk.State((), "complex"), ())

    def build(self, input_shape):
        self.gains = self.add_weight((2,), lambda shape, rng: np.array([0.3, 0.05]), "gains")
        self.built = True

    def get_initial_state(self, batch_size):
        return [np.full(batch_size, 1.0 + 0j), np.full(batch_size, 0.1)]

    def call(self, inputs, states):
        oscillator, frequency = states
        product = inputs[0] * oscillator.conjugate()
        error = np.angle(product) if abs(product) > 1e-3 else 0.0
        frequency = frequency + self.gains[1] * error
        turned = oscillator * np.exp(1j * (frequency + self.gains[0] * error))
        return turned, [turned, frequency]


def locked_loop(x, w, mask):
    z, f, held, outputs = 1.0 + 0j, 0.1, 0j, []
    for (x_t,), used in zip(x, mask, strict=True):
        if used:
            p = x_t * np.conj(z)
            e = np.arctan2(p.imag, p.real) if abs(p) > 1e-3 else 0.0
            f += w["gains"][1] * e
            held = z = z * np.exp(1j * (f + w["gains"][0] * e))
        outputs.append(held)
    return np.array(outputs), [z, f]


@dataclass(frozen=True)
class Case:
    """A cell, and its loop ``(x of a row, weights, mask of a row) -> (outputs, states)``."""

    make: Any
    loop: Any
    features: int
    complex_x: bool = False

    def layer(self, dtype="float64", **options):
        kind = str(np.result_type(dtype, np.complex64)) if self.complex_x else dtype
        made = rk.RNN(self.make(), dtype=kind, seed=3, **{"return_sequences": True, "return_state": True, **options})
        made.build((None, None, self.features))
        return made

    def x(self, batch=3, time=9, dtype="float64", seed=0):
        rng = np.random.default_rng(seed)
        shape = batch, time, self.features
        x = normal(rng, *shape) if self.complex_x else rng.normal(size=shape)
        return x.astype(np.result_type(dtype, np.complex64) if self.complex_x else dtype)


CASES = {
    "lru": Case(lambda: lru(6), lru_loop, 4),
    "s5": Case(lambda: s5(6), s5_loop, 4),
    "unitary": Case(lambda: unitary(5), unitary_loop, 3, True),
    "locked": Case(LockedLoop, locked_loop, 1, True),
}


def ces_loop(x, state, a):
    F = np.array([[1, a.imag - 1], [1, 1 - a.real]])
    g = np.array([a.real - a.imag, a.real + a.imag])
    v, outputs = np.array([state.real, state.imag]), []
    for x_t in x:
        outputs.append(v[0])
        v = F @ v + g * (x_t - v[0])
    return np.array(outputs), complex(*v)
