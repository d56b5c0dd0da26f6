"""Classifier and regressor by a recurrent network that is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from rnnkit import losses
from rnnkit.arguments import positive_integer, real_number
from rnnkit.callbacks import EarlyStopping
from rnnkit.sklearn.base import SequenceClassifier, SequenceRegressor
from rnnkit.sklearn.network import network, optimizer
from rnnkit.sklearn.sequences import Scale, Sequences


class _Recurrent:
    """How a network is trained, and what it says of sequences."""

    def _train(self: Any, sequences, targets, weights, loss, strata=None):
        """Fit `model_` to ``targets (n, K)``."""
        rng = check_random_state(self.random_state)
        seeds = rng.randint(2**31 - 1, size=2)
        if not (self.warm_start and hasattr(self, "model_")):
            self.scale_ = Scale.of(sequences.steps) if self.standardize else None
            self.model_ = self._network(targets.shape[1], int(seeds[0]))
        x, y = self._inputs(sequences), targets.astype(np.float32)
        weights = (weights * (len(weights) / weights.sum())).astype(np.float32)
        rows, callbacks, held_out = np.arange(len(x)), [], None
        if self.early_stopping:
            rows, held = train_test_split(
                rows, test_size=self.validation_fraction, random_state=int(seeds[1]), stratify=strata
            )
            held_out = x[held], y[held], weights[held]
            callbacks = [EarlyStopping("val_loss", patience=self.patience, restore_best_weights=True)]
        batch_size = min(positive_integer(self.batch_size, "batch_size"), len(rows))
        updates = positive_integer(self.epochs, "epochs") * -(-len(rows) // batch_size)
        self.model_.compile(optimizer(self.optimizer, self.learning_rate, self.weight_decay, updates), loss)
        history = self.model_.fit(
            x[rows],
            y[rows],
            batch_size=batch_size,
            epochs=self.epochs,
            verbose=self.verbose,
            callbacks=callbacks,
            validation_data=held_out,
            sample_weight=weights[rows],
        )
        self.history_, self.n_iter_ = history.history, len(history.epoch)
        return self

    def _network(self: Any, outputs, seed):
        return network(
            outputs,
            self.cell,
            positive_integer(self.units, "units"),
            positive_integer(self.layers, "layers"),
            self.bidirectional,
            self.pooling,
            real_number(self.dropout, "dropout"),
            seed,
        )

    def _inputs(self: Any, sequences: Sequences) -> np.ndarray:
        steps = sequences.steps if self.scale_ is None else self.scale_.apply(sequences.steps)
        return Sequences(steps.astype(np.float32), sequences.lengths).padded()[0]

    def _outputs(self: Any, sequences: Sequences) -> np.ndarray:
        """What the network says of each sequence ``(n, K)``, in float64."""
        found = np.empty((len(sequences), self.model_.layers[-1].units))
        for rows in sequences.blocks(self.model_.layers[-1].units + sequences.features):
            found[rows] = self.model_.predict(self._inputs(sequences[rows]), verbose=0)
        return found


class RNNClassifier(_Recurrent, SequenceClassifier):
    """Classify sequences by a recurrent network."""

    def __init__(
        self,
        cell="gru",
        units=64,
        *,
        layers=1,
        bidirectional=True,
        pooling="mean",
        dropout=0.5,
        label_smoothing=0.1,
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.004,
        batch_size=16,
        epochs=60,
        early_stopping=False,
        validation_fraction=0.1,
        patience=20,
        class_weight=None,
        standardize=True,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.cell = cell
        self.units = units
        self.layers = layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Train the network."""
        before = getattr(self, "classes_", None) if self.warm_start else None
        sequences, codes, weights = self._read_classes(X, y, sample_weight)
        if before is not None and not np.array_equal(before, self.classes_):
            raise ValueError(f"warm_start needs the classes of the fit before, {before}; got {self.classes_}")
        loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.label_smoothing)
        return self._train(sequences, np.eye(len(self.classes_))[codes], weights, loss, strata=codes)

    def _scores(self, sequences):
        return self._outputs(sequences)


class RNNRegressor(_Recurrent, SequenceRegressor):
    """Predict numbers from sequences by a recurrent network."""

    def __init__(
        self,
        cell="gru",
        units=64,
        *,
        layers=1,
        bidirectional=True,
        pooling="mean",
        dropout=0.0,
        loss="mse",
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.004,
        batch_size=16,
        epochs=60,
        early_stopping=False,
        validation_fraction=0.1,
        patience=20,
        standardize=True,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.cell = cell
        self.units = units
        self.layers = layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.dropout = dropout
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Train the network."""
        sequences, targets, weights = self._read_targets(X, y, sample_weight)
        if not (self.warm_start and hasattr(self, "model_")):
            self._target_scale = Scale.of(targets, weights)
        return self._train(sequences, self._target_scale.apply(targets), weights, self.loss)

    def _values(self, sequences):
        return self._target_scale.undo(self._outputs(sequences))
