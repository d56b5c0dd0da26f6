"""Classifier and regressor by an echo state network: fixed random reservoirs, and a ridge regression of their states."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from rnnkit.arguments import number_from_zero, positive_integer
from rnnkit.cells.echo_state import ESNCell
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense
from rnnkit.layers.masking import Masking
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import GlobalAveragePooling1D
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.functional import Model
from rnnkit.sklearn.base import SequenceClassifier, SequenceRegressor, softmax
from rnnkit.sklearn.ridge import Ridge, fitted
from rnnkit.sklearn.sequences import PADDING, Scale, Sequences

ALPHAS = tuple(10.0 ** (power / 2) for power in range(-6, 11))
POOLINGS = ("mean", "last", "std")
CANDIDATES = (("mean",), ("mean", "last"), ("mean", "std"), ("mean", "last", "std"))


class _Reservoir:
    """How reservoirs are made, and what is read of their states."""

    def _fit_readout(self: Any, sequences, targets, weights) -> Ridge:
        """Fit the readout to ``targets (n, K)``; a weight of 2 is the same row twice."""
        by_step = np.repeat(weights, sequences.lengths)
        self._scale = Scale.of(sequences.steps, by_step) if self.standardize else None
        self.model_ = self._reservoirs(sequences.features)
        alphas = np.atleast_1d(np.asarray(self.alphas, np.float64))
        if alphas.ndim > 1 or not alphas.size or not (alphas > 0).all():
            raise ValueError(f"expected alphas above 0; got {self.alphas!r}")
        candidates = [_poolings(self.pooling)] if self.pooling != "auto" else CANDIDATES
        pooled, best = self._pooled(sequences), None
        for poolings in candidates:
            features = _joined(pooled, poolings)
            scale = Scale.of(features, weights)
            ridge = fitted(scale.apply(features), targets, weights, alphas.tolist())
            if best is None or ridge.error < best[0].error:
                best = ridge, scale, poolings
        ridge, scale, self.pooling_ = best
        self.alpha_ = ridge.alpha
        kernel = ridge.coefficients / scale.spread[:, None]
        self.readout_ = Dense(targets.shape[1], dtype="float64")
        self.readout_.build((None, len(kernel)))
        self.readout_.set_weights([kernel, ridge.intercept - scale.mean @ kernel])
        return ridge

    def _reservoirs(self: Any, features: int) -> Model:
        leaks = np.atleast_1d(np.asarray(self.leak, np.float64)).tolist()
        scaling = number_from_zero(self.input_scaling, "input_scaling") / np.sqrt(features)
        inputs = Input((None, features), dtype="float64")
        masked = Masking(PADDING)(inputs)
        states, seeds = [], check_random_state(self.random_state).randint(2**31 - 1, size=len(leaks))
        for leak, seed in zip(leaks, seeds.tolist(), strict=True):
            cell = ESNCell(
                positive_integer(self.units, "units"),
                self.spectral_radius,
                leak,
                scaling,
                self.bias_scaling,
                self.density,
            )
            layer = RNN(cell, return_sequences=True, seed=seed)
            states.append((Bidirectional(layer) if self.bidirectional else layer)(masked))
        outputs = Concatenate()(states) if len(states) > 1 else states[0]
        return Model(inputs, outputs)

    def _pooled(self: Any, sequences: Sequences) -> dict[str, np.ndarray]:
        """The states of each sequence in one row ``(n, states)``, in each way there is."""
        if self._scale is not None:
            sequences = Sequences(self._scale.apply(sequences.steps), sequences.lengths)
        width = self.model_.compute_output_shape((None, None, sequences.features))[-1]
        found = {name: np.empty((len(sequences), width)) for name in POOLINGS}
        pool = GlobalAveragePooling1D()
        backwards = np.arange(width) // self.units % 2 == 1 if self.bidirectional else np.zeros(width, bool)
        for rows in sequences.blocks(width):
            x, mask = sequences[rows].padded()
            states = self.model_(x)
            mean = pool(states, mask=mask)
            found["mean"][rows] = mean
            found["std"][rows] = np.sqrt(pool((states - mean[:, None]) ** 2, mask=mask))
            found["last"][rows] = np.where(backwards, states[:, 0], states[np.arange(len(x)), mask.sum(axis=1) - 1])
        return found

    def _outputs(self: Any, sequences) -> np.ndarray:
        return self.readout_(_joined(self._pooled(sequences), self.pooling_))


def _poolings(given) -> tuple[str, ...]:
    poolings = (given,) if isinstance(given, str) else tuple(given)
    if not poolings or set(poolings) - set(POOLINGS):
        raise ValueError(f"expected pooling to be 'auto', or some of {', '.join(POOLINGS)}; got {given!r}")
    return poolings


def _joined(pooled, poolings) -> np.ndarray:
    return np.concatenate([pooled[name] for name in poolings], axis=1)


class ESNClassifier(_Reservoir, SequenceClassifier):
    """Classify sequences by an echo state network."""

    def __init__(
        self,
        units=100,
        *,
        leak=(1.0, 0.3, 0.1),
        spectral_radius=0.9,
        input_scaling=1.0,
        bias_scaling=0.2,
        density=0.1,
        bidirectional=True,
        pooling="auto",
        alphas=ALPHAS,
        class_weight=None,
        standardize=True,
        random_state=None,
    ):
        self.units = units
        self.leak = leak
        self.spectral_radius = spectral_radius
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.density = density
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.alphas = alphas
        self.class_weight = class_weight
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the readout."""
        sequences, codes, weights = self._read_classes(X, y, sample_weight)
        targets = 2.0 * np.eye(len(self.classes_))[codes] - 1.0
        ridge = self._fit_readout(sequences, targets, weights)
        self._slope = slope(ridge.left_out, codes, weights)
        return self

    def _scores(self, sequences):
        return self._slope * self._outputs(sequences)


class ESNRegressor(_Reservoir, SequenceRegressor):
    """Predict numbers from sequences by an echo state network."""

    def __init__(
        self,
        units=100,
        *,
        leak=(1.0, 0.3, 0.1),
        spectral_radius=0.9,
        input_scaling=1.0,
        bias_scaling=0.2,
        density=0.1,
        bidirectional=True,
        pooling="auto",
        alphas=ALPHAS,
        standardize=True,
        random_state=None,
    ):
        self.units = units
        self.leak = leak
        self.spectral_radius = spectral_radius
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.density = density
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.alphas = alphas
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the readout."""
        sequences, targets, weights = self._read_targets(X, y, sample_weight)
        self._target_scale = Scale.of(targets, weights)
        self._fit_readout(sequences, self._target_scale.apply(targets), weights)
        return self

    def _values(self, sequences):
        return self._target_scale.undo(self._outputs(sequences))


def slope(scores, codes, weights) -> float:
    """The factor of scores whose softmax is most likely, each class counted as if it had come once more.

    The scores are those of rows that were left out, so that probabilities are as sure as predictions are good. (Platt
    1999, "Probabilistic outputs for support vector machines", section 2.2, has such targets.)

    Parameters
    ----------
    scores : ndarray (rows, classes)
    codes : ndarray (rows,) of int
    weights : ndarray (rows,)
    """
    from scipy.optimize import brentq

    count, classes = weights.sum(), scores.shape[1]
    targets = (np.eye(classes)[codes] * count + 1.0) / (count + classes)

    def downhill(factor):
        return float(weights @ ((softmax(factor * scores) - targets) * scores).sum(axis=1))

    least, most = 1e-3, 1e3
    if downhill(least) >= 0:
        return least
    return most if downhill(most) <= 0 else brentq(downhill, least, most, xtol=1e-12)
