"""Classifier and regressor by a trained network: recurrent layers, pooling over time, a dense layer."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from rnnkit import losses, optimizers
from rnnkit.arguments import positive_integer, real_number
from rnnkit.callbacks import EarlyStopping
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.docstrings import described_as
from rnnkit.hints import Array, LearningRate, Seed
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.pooling import GlobalAveragePooling1D
from rnnkit.layers.rnn import RNN, unbuilt_copy
from rnnkit.models.sequential import Sequential
from rnnkit.optimizers import schedules
from rnnkit.sklearn.base import SequenceClassifier, SequenceEstimator, SequenceRegressor
from rnnkit.sklearn.sequences import Scale, Sequences

CELLS = {"lstm": LSTMCell, "gru": GRUCell, "simple_rnn": SimpleRNNCell}
POOLINGS = ("last", "mean")


def _cell(cell, units):
    if isinstance(cell, str):
        if cell not in CELLS:
            raise ValueError(f"expected cell to be one of {', '.join(CELLS)}, or a cell; got {cell!r}")
        return CELLS[cell](units)
    makes_cells = isinstance(cell, type) or not hasattr(cell, "state_size")
    return cell(units) if makes_cells and callable(cell) else copy.deepcopy(cell)


def optimizer(given, learning_rate, weight_decay: float, updates: int):
    """Return the optimizer of a fit: a copy of an object; for a name, a number is the peak rate of one cycle."""
    if not isinstance(given, str):
        return type(given).from_config(given.get_config())
    rate = learning_rate if callable(learning_rate) else schedules.OneCycle(learning_rate, max(updates, 2))
    found = optimizers.get(given)
    if isinstance(found, optimizers.LBFGS):
        return found
    return type(found)(rate, weight_decay=weight_decay, global_clipnorm=1.0)


@dataclass(eq=False, repr=False)
class _Recurrent:
    """Training and outputs of a network, with the parameters common to both estimators.

    Parameters
    ----------
    cell : {"gru", "lstm", "simple_rnn"}, callable or cell
        A callable, such as a declared cell, makes a cell of `units`. A cell is copied for each layer.
    units : int
        Size of the state, in each direction.
    layers : int
        The number of stacked recurrent layers.
    bidirectional : bool
        Read sequences in both directions.
    pooling : {"mean", "last"}
        Inputs of the last dense layer: the mean of the outputs over the steps of a sequence, or the last output
        of each direction.
    dropout : float in [0, 1]
        After each recurrent layer.
    optimizer : str or Optimizer
        A name, which gets `learning_rate` and `weight_decay`, and clips gradients to the length 1 ("lbfgs" has none of
        these); or an object, which is copied and has its own.
    learning_rate : float, Schedule or callable
        A number is the top of one cycle over all updates, which ends near 0; for a constant rate, pass
        ``rk.optimizers.schedules.Constant(0.001)``.
    weight_decay : float
    batch_size : int
    epochs : int or "auto"
        "auto" is 60, or more if that is less than 1200 updates.
    early_stopping : bool
        Hold sequences out, stop when the loss on them has stopped falling, and keep the best weights.
    validation_fraction : float
        The share of sequences held out.
    patience : int
        Epochs without a lower loss after which training stops.
    warm_start : bool
        Whether `fit` continues from the weights of the previous fit.
    verbose : {0, 1, 2}
        1 shows a bar, 2 a line per epoch.

    Attributes
    ----------
    history_ : dict of str to list
        ``loss``, ``learning_rate``, and with early stopping ``val_loss``, of each epoch.
    n_iter_ : int
        The number of epochs run.
    """

    cell: Any = "gru"
    units: int = 64
    _: KW_ONLY
    layers: Any = 1
    bidirectional: bool = True
    pooling: str = "mean"
    dropout: float = 0.0
    optimizer: Any = "adamw"
    learning_rate: LearningRate = 0.01
    weight_decay: float = 0.004
    batch_size: Any = 16
    epochs: Any = "auto"
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 20
    standardize: Any = True
    warm_start: Any = False
    random_state: Seed = None
    id: Any = None
    time: Any = None
    verbose: Any = 0

    history_: ClassVar[Any]
    n_iter_: ClassVar[Any]

    def _train(self: Any, sequences, targets, weights, loss, strata=None):
        """Fit `model_` to ``targets (n, K)``."""
        rng = check_random_state(self.random_state)
        seeds = rng.randint(2**31 - 1, size=2)
        if not self._goes_on():
            self._scale = sequences.scale(weights) if self.standardize else None
            self.model_: Any = self._network(targets.shape[1], int(seeds[0]))
        x, y = self._inputs(sequences), targets.astype(np.float32)
        weights = (weights * (len(weights) / weights.sum())).astype(np.float32)
        rows, callbacks, held_out = np.arange(len(x)), [], None
        if self.early_stopping:
            rows, held = train_test_split(
                rows, test_size=self.validation_fraction, random_state=int(seeds[1]), stratify=strata
            )
            held_out = [x[row] for row in held], y[held], weights[held]
            callbacks = [EarlyStopping("val_loss", patience=self.patience, restore_best_weights=True)]
        batch_size = min(positive_integer(self.batch_size, "batch_size"), len(rows))
        batches = -(-len(rows) // batch_size)
        automatic = isinstance(self.epochs, str) and self.epochs == "auto"
        epochs = max(60, -(-1200 // batches)) if automatic else positive_integer(self.epochs, "epochs")
        self.model_.compile(optimizer(self.optimizer, self.learning_rate, self.weight_decay, epochs * batches), loss)
        options = {"batch_size": batch_size, "epochs": epochs, "verbose": self.verbose, "callbacks": callbacks}
        options |= {"validation_data": held_out, "sample_weight": weights[rows]}
        history = self.model_.fit([x[row] for row in rows], y[rows], **options)
        self.history_, self.n_iter_ = history.history, len(history.epoch)
        return self

    def _network(self: Any, outputs: int, seed: int) -> Sequential:
        """Return an unbuilt model from sequences ``(T_i, F)`` to ``(B, outputs)``."""
        units, layers = positive_integer(self.units, "units"), positive_integer(self.layers, "layers")
        dropout = real_number(self.dropout, "dropout")
        if self.pooling not in POOLINGS:
            raise ValueError(f"expected pooling to be one of {', '.join(POOLINGS)}; got {self.pooling!r}")
        parts: list[Layer] = []
        for number in range(1, layers + 1):
            sequences = number < layers or self.pooling != "last"
            layer = unbuilt_copy(RNN(_cell(self.cell, units), return_sequences=sequences))
            parts += [Bidirectional(layer) if self.bidirectional else layer]
            parts += [GlobalAveragePooling1D()] * (number == layers and self.pooling == "mean")
            parts += [Dropout(dropout)] * bool(dropout)
        return Sequential([*parts, Dense(outputs)], dtype="float32", seed=seed)

    def _inputs(self: Any, sequences: Sequences) -> list[np.ndarray]:
        steps = sequences.steps if self._scale is None else self._scale.apply(sequences.steps)
        return Sequences(steps.astype(np.float32), sequences.lengths).listed()

    def _outputs(self: Any, sequences: Sequences) -> np.ndarray:
        """Return the network's output for each sequence ``(n, K)``, in float64."""
        return self.model_.predict(self._inputs(sequences), verbose=0).astype(np.float64)


@described_as(_Recurrent, SequenceEstimator, with_attributes=True)
@dataclass(eq=False, repr=False)
class RNNClassifier(_Recurrent, SequenceClassifier):
    """A classifier of sequences by a recurrent network.

    Features are standardized. The classifier equals::

        outputs = [layer(x_t) for each step]          # `layers` of them, in both directions
        scores = pool(outputs) @ kernel + bias        # predict_proba is their softmax

    The loss is the cross-entropy. X is a list of n arrays ``(T_i, F)`` of any lengths, or ``(T_i,)`` of one
    feature; an array ``(n, T, F)``; or an array ``(n, T)``, one feature over time. The prediction of a sequence does
    not depend on the others.

    Parameters
    ----------
    label_smoothing : float in [0, 1)
        This share of the target is spread over all classes, which keeps probabilities from 0 and 1.
    class_weight : dict or "balanced", optional
        A factor for the sequences of each class; "balanced" gives all classes the same weight.

    Attributes
    ----------
    classes_ : ndarray (classes,)
    model_ : Sequential
        The trained network, from lists of standardized sequences to a logit for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.sklearn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [np.sin(rng.uniform(0, 6) + rng.choice([0.5, 1.0]) * np.arange(rng.integers(10, 20))) for _ in range(80)]
    >>> y = ["fast" if np.abs(np.diff(wave)).max() > 0.6 else "slow" for wave in X]
    >>> classifier = RNNClassifier(units=8, epochs=30, random_state=0).fit(X[:40], y[:40])
    >>> bool(classifier.score(X[40:], y[40:]) > 0.9)
    True
    """

    _: KW_ONLY
    dropout: float = 0.5
    label_smoothing: float = 0.1
    class_weight: Any = None

    def fit(self, X: Array, y: Array, sample_weight: Array = None) -> Any:
        """Train the network.

        Parameters
        ----------
        X : list of array_like (T_i, F) or (T_i,), or array_like (n, T, F) or (n, T), or DataFrame with an `id`
        y : array_like (n,)
        sample_weight : array_like (n,), optional
            Of 0 or more; only their proportions matter.

        Returns
        -------
        estimator
            Itself.
        """
        before = self.classes_ if self._goes_on() else None
        sequences, codes, weights = self._read_classes(X, y, sample_weight)
        if before is not None and not np.array_equal(before, self.classes_):
            raise ValueError(f"warm_start needs the classes of the fit before, {before}; got {self.classes_}")
        loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.label_smoothing)
        return self._train(sequences, np.eye(len(self.classes_))[codes], weights, loss, strata=codes)


@described_as(_Recurrent, SequenceEstimator, with_attributes=True)
@dataclass(eq=False, repr=False)
class RNNRegressor(_Recurrent, SequenceRegressor):
    """A regressor that predicts numbers from sequences by a recurrent network, as `RNNClassifier` classifies them.

    Targets are standardized, and y may have several columns: several targets, or the steps ahead of a series.

    Parameters
    ----------
    loss : str or callable
        One of `rnnkit.losses`, its name, or a function ``(y_true, y_pred)``; it sees the standardized targets.

    Attributes
    ----------
    model_ : Sequential
        The trained network, from lists of standardized sequences to standardized targets.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnkit.sklearn import RNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(5, 15, size=80)]
    >>> y = [sequence[:, 0].mean() for sequence in X]
    >>> bool(RNNRegressor(units=8, epochs=40, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    _: KW_ONLY
    loss: Any = "mse"

    @described_as(RNNClassifier.fit)
    def fit(self, X: Array, y: Array, sample_weight: Array = None) -> Any:
        """Train the network.

        Parameters
        ----------
        y : array_like (n,) or (n, targets)
        """
        sequences, targets, weights = self._read_targets(X, y, sample_weight)
        if not self._goes_on():
            self._target_scale = Scale.of(targets, weights)
        elif len(self._target_scale.mean) != targets.shape[1]:
            before = len(self._target_scale.mean)
            raise ValueError(f"warm_start needs as many targets as the fit before, {before}; got {targets.shape[1]}")
        return self._train(sequences, self._target_scale.apply(targets), weights, self.loss)
