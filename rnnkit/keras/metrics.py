"""Keras's metrics: names for rnnkit's, and the base of one's own."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

from rnnkit import losses as plain_losses
from rnnkit import metrics as plain
from rnnkit import targets
from rnnkit.free_names import snake_case
from rnnkit.keras import losses, settings
from rnnkit.keras.naming import by_order, deserializer, named, namespace
from rnnkit.keras.overriding import check
from rnnkit.keras.variables import Variable
from rnnkit.metrics.metric import Measure

_NAMELESS = "AUC FalseNegatives FalsePositives Precision Recall TrueNegatives TruePositives".split()
_ORDERS = {
    "AUC": "num_thresholds curve summation_method name dtype thresholds multi_label num_labels label_weights "
    "from_logits",
    "BinaryAccuracy": "name dtype threshold",
    "BinaryCrossentropy": "name dtype from_logits label_smoothing",
    "CategoricalCrossentropy": "name dtype from_logits label_smoothing axis",
    "CosineSimilarity": "name dtype axis",
    "F1Score": "average threshold name dtype",
    "FBetaScore": "average beta threshold name dtype",
    "Precision": "thresholds top_k class_id name dtype",
    "R2Score": "class_aggregation num_regressors name dtype",
    "Recall": "thresholds top_k class_id name dtype",
    "SparseCategoricalCrossentropy": "name dtype from_logits ignore_class axis",
    "SparseTopKCategoricalAccuracy": "k name dtype from_sorted_ids",
    "TopKCategoricalAccuracy": "k name dtype",
} | dict.fromkeys(("FalseNegatives", "FalsePositives", "TrueNegatives", "TruePositives"), "thresholds name dtype")
_DEFAULTS = {"Accuracy": {"kind": "equal"}}
_SAME_SETTINGS = {"axis": (-1,), "from_sorted_ids": (False,)}
_FUNCTIONS = {
    name: plain_losses.LOSSES[name]
    for name in (
        "binary_crossentropy categorical_crossentropy categorical_hinge hinge huber kl_divergence log_cosh "
        "mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson "
        "sparse_categorical_crossentropy squared_hinge"
    ).split()
} | plain.FUNCTIONS
ALIASES = {name: plain_losses.ALIASES[name] for name in ("MAE", "MSE", "mae", "mse", "mape", "msle")}


class Metric(Measure):
    """Base of metrics of one's own: `update_state`, `result`, and `reset_state` where 0 isn't the start.

    Parameters
    ----------
    dtype : optional
        Nothing.
    name : str, optional

    Examples
    --------
    >>> from rnnkit import keras
    >>> class Count(keras.metrics.Metric):
    ...     def __init__(self, name="count"):
    ...         super().__init__(name=name)
    ...         self.rows = self.add_weight(name="rows", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.rows.assign_add(len(y_true))
    ...     def result(self):
    ...         return self.rows
    >>> float(Count()([1, 2], [1, 3]))
    2.0
    """

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        check(cls, "Metric")

    def __init__(self, dtype=None, name=None):
        self._variables: list[Variable] = []
        self.dtype = settings.floatx() if dtype is None else getattr(dtype, "name", dtype)
        self.name = name or settings.auto_name(type(self).__name__)

    def add_weight(self, shape=(), initializer="zeros", dtype=None, name=None, aggregation=None) -> Variable:
        """Add a number, or an array of numbers, that `update_state` changes."""
        if isinstance(shape, str):
            shape, name = (), shape
        self._variables.append(Variable(initializer, shape, dtype, name=name))
        return self._variables[-1]

    add_variable = add_weight

    @property
    def variables(self) -> list[Variable]:
        """All variables that `add_weight` made."""
        return list(self._variables)

    def reset_state(self) -> None:
        """Set all variables to 0."""
        for variable in self._variables:
            variable.assign(np.zeros_like(variable.numpy()))

    def reset(self) -> None:
        """Forget all batches, as `reset_state`."""
        self.reset_state()

    def update(self, y_true, y_pred, mask=None, sample_weight=None) -> None:
        """Add a batch, targets and outputs with equally many axes; a mask becomes weights of 0."""
        y_true, y_pred = targets.aligned(y_true, y_pred)
        if mask is not None:
            own = np.asarray(mask) != 0
            sample_weight = own.astype(np.float64) if sample_weight is None else (own.T * np.asarray(sample_weight).T).T
        self.update_state(y_true, y_pred, sample_weight)

    def __copy__(self):
        made = object.__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__))
        return made


def get(identifier) -> Any:
    """Return the metric or the function that an argument stands for; None for None."""
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    name = plain_losses.ALIASES.get(identifier, identifier) if isinstance(identifier, str) else None
    kinds = [kind for kind in plain.CLASSES if name in (kind, snake_case(kind))]
    return __getattr__(kinds[0])() if kinds else plain.get(identifier)


serialize = plain.config_of
deserialize = deserializer(plain.get)


def for_training(given) -> Any:
    """Return a metric as rnnkit's `compile` takes it."""
    if isinstance(given, losses.Loss):
        return plain.Metric(given._in_training(), given.name)
    if isinstance(given, str) and given in ("cosine_similarity", "cosine_proximity"):
        return plain.CosineSimilarity(given)
    if isinstance(given, type) and issubclass(given, Measure):
        return given()  # type: ignore[call-arg]
    return given


def _arguments(name, kind, arguments, keywords):
    keywords = by_order(_ORDERS.get(name, "name dtype"), kind, arguments, keywords)
    dtype = keywords.pop("dtype", None)
    keywords.pop("num_labels", None)
    _check(name, keywords)
    for one, harmless in _SAME_SETTINGS.items():
        if one in keywords and keywords.pop(one) not in harmless:
            raise ValueError(f"expected no {one} of {name}; write a function of (y_true, y_pred)")
    if keywords.get("name", "") is None or (name in _NAMELESS and "name" not in keywords):
        keywords.pop("name", None)
        if name in _NAMELESS:
            keywords["name"] = settings.auto_name(name)
    keep = lambda made: setattr(made, "dtype", settings.floatx() if dtype is None else getattr(dtype, "name", dtype))
    return (), _DEFAULTS.get(name, {}) | keywords, keep


def _check(name, keywords) -> None:
    """Refuse values that Keras refuses, too."""
    given = keywords.get("thresholds") if name in _NAMELESS else None
    several = given if isinstance(given, (list, tuple)) else [0 if given is None else given]
    if not all(one is not None and 0 <= one <= 1 for one in several):
        raise ValueError(f"expected thresholds of {name} between 0 and 1, got {given!r}")
    for one in ("beta", "threshold") if name in ("F1Score", "FBetaScore") else ():
        if not isinstance(value := keywords.get(one), (float, type(None))) or value == 0:
            raise ValueError(f"expected {one} of {name} as a float above 0, got {value!r}")


def _wrapper_arguments(kind, arguments, keywords):
    keywords = by_order("fn name dtype", kind, arguments, keywords)
    keywords.pop("dtype", None)
    return (keywords.pop("fn"),), keywords, lambda made: None


def _make(name: str):
    name = ALIASES.get(name, name)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    if name == "MeanMetricWrapper":
        return named(name, __name__, plain.Metric, _wrapper_arguments)
    return named(name, __name__, plain.CLASSES[name], partial(_arguments, name))


__getattr__, __dir__ = namespace("metrics", _make, [*plain.CLASSES, *_FUNCTIONS, *ALIASES, "MeanMetricWrapper"])
