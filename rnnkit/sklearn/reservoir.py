"""Classifier and regressor by an echo state network: fixed reservoirs, and a ridge regression on their states."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state

from rnnkit.arguments import number_from_zero, positive_integer
from rnnkit.cells.echo_state import ESNCell
from rnnkit.docstrings import described_as
from rnnkit.hints import Array, Seed
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.functional import Model
from rnnkit.sklearn.base import SequenceClassifier, SequenceEstimator, SequenceRegressor
from rnnkit.sklearn.recurrent import RNNClassifier
from rnnkit.sklearn.ridge import Ridge, fitted, slope
from rnnkit.sklearn.sequences import Scale, Sequences

ALPHAS = tuple(10.0 ** (power / 2) for power in range(-6, 11))
POOLINGS = ("mean", "last", "std")
CANDIDATES = (("mean",), ("mean", "last"), ("mean", "std"), ("mean", "last", "std"))


@dataclass(eq=False, repr=False)
class _Reservoir:
    """Reservoirs and the pooling of their states, with the parameters common to both estimators.

    Parameters
    ----------
    units : int
        Size of each reservoir, in each direction.
    leak : float or sequence of float
        A reservoir for each: 1 for fast units, less for slow ones.
    spectral_radius, bias_scaling, density : float
        As of `rnnkit.ESNCell`.
    input_scaling : float
        The inputs' weights are uniform between minus and plus this over the square root of their number.
    bidirectional : bool
        Have reservoirs that read sequences from the end, too.
    pooling : "auto", or some of "mean", "last" and "std"
        Inputs of the readout: the states' mean and standard deviation over the steps of a sequence, and
        the last states of each direction. "auto" takes those with the least leave-one-out error.
    alphas : float or sequence of float
        Strengths of the ridge to choose from.
    random_state : int, RandomState or None
        Of the reservoirs: the same number gives the same bits.

    Attributes
    ----------
    model_ : Model
        The reservoirs, from lists of standardized sequences to the states of all steps.
    alpha_ : float
        The strength chosen.
    pooling_ : tuple of str
        Inputs of the readout.
    """

    units: int = 100
    _: KW_ONLY
    leak: Any = (1.0, 0.3, 0.1)
    spectral_radius: float = 0.9
    input_scaling: float = 1.0
    bias_scaling: float = 0.2
    density: float = 0.1
    bidirectional: bool = True
    pooling: str = "auto"
    alphas: Any = ALPHAS
    standardize: Any = True
    random_state: Seed = None
    id: Any = None
    time: Any = None

    pooling_: ClassVar[Any]

    def _fit_readout(self: Any, sequences, targets, weights) -> Ridge:
        """Fit the readout to ``targets (n, K)``; a weight of 2 equals a repeated row."""
        self._scale = sequences.scale(weights) if self.standardize else None
        self.model_: Any = self._reservoirs(sequences.features)
        alphas = np.atleast_1d(np.asarray(self.alphas, np.float64))
        if alphas.ndim > 1 or not alphas.size or not (alphas > 0).all():
            raise ValueError(f"expected alphas above 0; got {self.alphas!r}")
        candidates = [_poolings(self.pooling)] if self.pooling != "auto" else CANDIDATES
        pooled, tried = self._pooled(sequences), []
        for poolings in candidates:
            features = _joined(pooled, poolings)
            scale = Scale.of(features, weights)
            tried.append((fitted(scale.apply(features), targets, weights, alphas.tolist()), scale, poolings))
        ridge, scale, self.pooling_ = min(tried, key=lambda one: one[0].error)
        self.alpha_: Any = ridge.alpha
        kernel = ridge.coefficients / scale.spread[:, None]
        self.readout_: Any = Dense(targets.shape[1], dtype="float64")
        self.readout_.build((None, len(kernel)))
        self.readout_.set_weights([kernel, ridge.intercept - scale.mean @ kernel])
        return ridge

    def _reservoirs(self: Any, features: int) -> Model:
        leaks = np.atleast_1d(np.asarray(self.leak, np.float64)).tolist()
        scaling = number_from_zero(self.input_scaling, "input_scaling") / np.sqrt(features)
        inputs = Input((None, features), dtype="float64")
        states, seeds = [], check_random_state(self.random_state).randint(2**31 - 1, size=len(leaks))
        for leak, seed in zip(leaks, seeds.tolist(), strict=True):
            settings = self.spectral_radius, leak, scaling, self.bias_scaling, self.density
            cell = ESNCell(positive_integer(self.units, "units"), *settings)
            layer = RNN(cell, return_sequences=True, seed=seed)
            states.append((Bidirectional(layer) if self.bidirectional else layer)(inputs))
        outputs = Concatenate()(states) if len(states) > 1 else states[0]
        return Model(inputs, outputs)

    def _pooled(self: Any, sequences: Sequences) -> dict[str, np.ndarray]:
        """Return the pooled states of each sequence ``(n, states)``, by the kind of pooling."""
        if self._scale is not None:
            sequences = Sequences(self._scale.apply(sequences.steps), sequences.lengths)
        width, each = self.model_.compute_output_shape((None, None, sequences.features))[-1], sequences.listed()
        found = {name: np.empty((len(sequences), width)) for name in POOLINGS}
        backwards = np.arange(width) // self.units % 2 == 1 if self.bidirectional else np.zeros(width, bool)
        for rows in sequences.blocks(width):
            for row, states in zip(range(rows.start, rows.stop), self.model_(each[rows]), strict=True):
                found["mean"][row] = states.mean(axis=0)
                found["std"][row] = states.std(axis=0)
                found["last"][row] = np.where(backwards, states[0], states[-1])
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


@described_as(_Reservoir, SequenceEstimator, with_attributes=True)
@dataclass(eq=False, repr=False)
class ESNClassifier(_Reservoir, SequenceClassifier):
    """A classifier of sequences by an echo state network: random reservoirs, and a ridge regression of their states.

    Reservoirs of several speeds read a sequence in both directions; their states, pooled over time, go to a readout
    that is fitted to -1 and 1 for each class::

        state_t = (1 - leak) * state_{t-1} + leak * tanh(x_t @ kernel + state_{t-1} @ recurrent_kernel + bias)
        scores = [mean(states), last(states), std(states)] @ readout + intercept

    The ridge's strength and the pooling are those with the least error on each sequence by a fit to the others
    (leave-one-out), and these errors calibrate `predict_proba`. A `sample_weight` of 2 equals a repeated
    sequence. X is as that of `RNNClassifier`. Nothing is trained by gradients, so that a fit takes about as long
    as a prediction. (Jaeger 2001, "The echo state approach to analysing and training recurrent neural networks";
    Lukoševičius 2012, "A practical guide to applying echo state networks", sections 3.2 and 4.)

    Parameters
    ----------
    class_weight : dict or "balanced", optional
        A factor for the sequences of each class; "balanced" lets all classes count the same.

    Attributes
    ----------
    classes_ : ndarray (classes,)
    readout_ : Dense
        From pooled states to a score for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.sklearn import ESNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [np.sin(rng.uniform(0, 6) + rng.choice([0.5, 0.8]) * np.arange(rng.integers(20, 40))) for _ in range(80)]
    >>> y = [int(np.abs(np.diff(wave)).mean() > 0.4) for wave in X]
    >>> classifier = ESNClassifier(units=20, random_state=0).fit(X[:40], y[:40])
    >>> bool(classifier.score(X[40:], y[40:]) > 0.9)
    True
    """

    _: KW_ONLY
    class_weight: Any = None

    @described_as(RNNClassifier.fit)
    def fit(self, X: Array, y: Array, sample_weight: Array = None) -> Any:
        """Fit the readout.

        Parameters
        ----------
        sample_weight : array_like (n,), optional
            Of 0 or more.
        """
        sequences, codes, weights = self._read_classes(X, y, sample_weight)
        targets = 2.0 * np.eye(len(self.classes_))[codes] - 1.0
        ridge = self._fit_readout(sequences, targets, weights)
        self._slope = slope(ridge.left_out, codes, weights)
        return self

    def _scores(self, sequences) -> np.ndarray:
        return self._slope * self._outputs(sequences)


@described_as(_Reservoir, SequenceEstimator, with_attributes=True)
@dataclass(eq=False, repr=False)
class ESNRegressor(_Reservoir, SequenceRegressor):
    """A regressor that predicts numbers from sequences by an echo state network, as `ESNClassifier` classifies them.

    Targets are standardized, and y may have several columns, which share the strength of the ridge.

    Attributes
    ----------
    readout_ : Dense
        From pooled states to standardized targets.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.sklearn import ESNRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(5, 15, size=80)]
    >>> y = [sequence[:, 0].mean() for sequence in X]
    >>> bool(ESNRegressor(units=20, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    @described_as(ESNClassifier.fit)
    def fit(self, X: Array, y: Array, sample_weight: Array = None) -> Any:
        """Fit the readout.

        Parameters
        ----------
        y : array_like (n,) or (n, targets)
        """
        sequences, targets, weights = self._read_targets(X, y, sample_weight)
        self._target_scale = Scale.of(targets, weights)
        self._fit_readout(sequences, self._target_scale.apply(targets), weights)
        return self
