"""Small programs that give numbers with Keras and with rnnkit's names for it: each takes the library."""

import json
from pathlib import Path

import numpy as np

FIGURES = Path(__file__).parents[1] / "keras" / "data" / "figures.json"
NAMES = Path(__file__).parents[1] / "keras" / "data" / "names.json"

LOSSES = {
    "MeanSquaredError": {},
    "MeanAbsoluteError": {},
    "MeanAbsolutePercentageError": {},
    "MeanSquaredLogarithmicError": {},
    "Huber": {"delta": 0.3},
    "LogCosh": {},
    "Poisson": {},
    "KLDivergence": {},
    "CosineSimilarity": {},
    "Hinge": {},
    "SquaredHinge": {},
    "CategoricalHinge": {},
    "BinaryCrossentropy": {"label_smoothing": 0.1},
    "CategoricalCrossentropy": {"label_smoothing": 0.1},
    "SparseCategoricalCrossentropy": {},
}
LABELS = ("Hinge", "SquaredHinge")  # losses whose targets are -1 and 1
METRICS = {
    "BinaryAccuracy": {"threshold": 0.4},
    "CategoricalAccuracy": {},
    "TopKCategoricalAccuracy": {"k": 2},
    "BinaryCrossentropy": {},
    "CategoricalCrossentropy": {},
    "CategoricalHinge": {},
    "CosineSimilarity": {},
    "Hinge": {},
    "KLDivergence": {},
    "LogCoshError": {},
    "MeanAbsoluteError": {},
    "MeanAbsolutePercentageError": {},
    "MeanSquaredError": {},
    "MeanSquaredLogarithmicError": {},
    "Poisson": {},
    "RootMeanSquaredError": {},
    "SquaredHinge": {},
    "Precision": {},
    "Recall": {"thresholds": [0.7, 0.2]},
    "TruePositives": {},
    "FalsePositives": {"thresholds": 0.3},
    "TrueNegatives": {},
    "FalseNegatives": {"thresholds": [0.3, 0.6]},
    "AUC": {},
    "F1Score": {},
    "FBetaScore": {"average": "weighted", "beta": 2.0, "threshold": 0.4},
    "R2Score": {},
}
MORE_METRICS = {
    "Precision, the two largest": ("Precision", {"top_k": 2}),
    "Recall of a class": ("Recall", {"class_id": 1}),
    "AUC of precision and recall": ("AUC", {"curve": "PR"}),
    "AUC, lower sums": ("AUC", {"num_thresholds": 11, "summation_method": "minoring"}),
    "AUC, upper sums": ("AUC", {"curve": "PR", "num_thresholds": 11, "summation_method": "majoring"}),
    "AUC by labels": ("AUC", {"multi_label": True, "num_labels": 3, "label_weights": [1.0, 2.0, 3.0]}),
    "AUC at thresholds": ("AUC", {"thresholds": [0.2, 0.3, 0.7]}),
    "AUC of logits": ("AUC", {"from_logits": True}),
    "F1, macro": ("F1Score", {"average": "macro"}),
    "F1, micro": ("F1Score", {"average": "micro"}),
    "R2 by variation": ("R2Score", {"class_aggregation": "variance_weighted_average"}),
    "R2, adjusted": ("R2Score", {"num_regressors": 2}),
}
SCHEDULES = {
    "ExponentialDecay": (0.1, 10, 0.5),
    "CosineDecay": (0.1, 20),
    "CosineDecayRestarts": (0.1, 7, 2.0, 0.9, 0.1),
    "InverseTimeDecay": (0.1, 10, 0.5),
    "PolynomialDecay": (0.1, 20, 0.01, 2.0),
    "PiecewiseConstantDecay": ([5, 10], [0.1, 0.05, 0.01]),
}
OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "RMSprop": {"rho": 0.8},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "Nadam": {},
    "Lion": {},
    "Adagrad": {},
    "Adadelta": {"learning_rate": 1.0},
    "Adamax": {"clipnorm": 0.5},
}
ACTIVATIONS = (
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear "
    "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
    "sparse_sigmoid squareplus swish tanh tanh_shrink"
)
OPS = {
    "gelu": lambda ops, x: ops.gelu(x),
    "one_hot": lambda ops, x: ops.one_hot(ops.argmax(x, axis=-1), 6),
    "logsumexp": lambda ops, x: ops.logsumexp(x, axis=1, keepdims=True),
    "moments": lambda ops, x: ops.concatenate(ops.moments(x, axes=[1], keepdims=True), axis=1),
    "normalize": lambda ops, x: ops.normalize(x, axis=0),
    "norm": lambda ops, x: ops.norm(x, axis=-1),
    "divide_no_nan": lambda ops, x: ops.divide_no_nan(x, ops.relu(x)),
    "top_k": lambda ops, x: ops.top_k(x, 2)[0],
    "unstack": lambda ops, x: ops.unstack(x, axis=1)[2],
    "split": lambda ops, x: ops.split(x, 3, axis=1)[1],
    "rsqrt": lambda ops, x: ops.rsqrt(ops.abs(x)),
    "slice": lambda ops, x: ops.slice(x, [1, 2], [2, 3]),
    "cast": lambda ops, x: ops.cast(x > 0, "float32"),
    "where": lambda ops, x: ops.where(x > 0, x, ops.zeros_like(x)),
    "clip": lambda ops, x: ops.clip(x, -0.5, 0.5),
    "repeat": lambda ops, x: ops.repeat(x, 2, axis=1),
    "tile": lambda ops, x: ops.tile(x, (2, 1)),
    "linspace": lambda ops, x: ops.linspace(0.0, 1.0, 5),
    "in_top_k": lambda ops, x: ops.cast(ops.in_top_k(ops.argmin(x, axis=-1), x, 2), "float32"),
    "multi_hot": lambda ops, x: ops.multi_hot(ops.cast([[0, 2], [1, 1]], "int32"), 4),
    "erf": lambda ops, x: ops.erf(x),
    "take": lambda ops, x: ops.take(x, [2, 0], axis=1),
    "einsum": lambda ops, x: ops.einsum("ij,kj->ik", x, x),
    "cumsum": lambda ops, x: ops.cumsum(x, axis=1),
}


def arrays(name: str, labels: bool = False):
    """Targets, probabilities and weights for a loss or a metric."""
    rng = np.random.default_rng(0)
    y_pred = rng.uniform(0.02, 0.98, (12, 3)).astype("float32")
    if name.startswith("Sparse"):
        y_true = rng.integers(0, 3, 12)
    elif labels:
        y_true = rng.choice([-1.0, 1.0], (12, 3)).astype("float32")
    elif name in ("MeanSquaredError", "R2Score", "Huber", "LogCosh", "Poisson", "CosineSimilarity"):
        y_true = rng.uniform(0, 1, (12, 3)).astype("float32")
    else:
        y_true = np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]
    return y_true, y_pred, rng.uniform(0.5, 2, 12).astype("float32")


def losses(keras) -> dict:
    """The loss of each class, with weights, as a sum, and each row's."""
    found = {}
    for name, settings in LOSSES.items():
        y_true, y_pred, weight = arrays(name, name in LABELS)
        kind = getattr(keras.losses, name)
        rows = kind(**settings, reduction="none")(y_true, y_pred)
        found[name] = [
            float(kind(**settings)(y_true, y_pred)),
            float(kind(**settings)(y_true, y_pred, sample_weight=weight)),
            float(kind(**settings, reduction="sum")(y_true, y_pred)),
            *np.asarray(rows, float).ravel().tolist(),
        ]
    return found


def metrics(keras) -> dict:
    """The result of each metric after a batch, and after another one with weights."""
    found = {}
    cases = {name: (name, settings) for name, settings in METRICS.items()} | MORE_METRICS
    for case, (name, settings) in cases.items():
        y_true, y_pred, weight = arrays(name, name in LABELS)
        metric = getattr(keras.metrics, name)(**settings)
        metric.update_state(y_true[:5], y_pred[:5])
        first = np.asarray(metric.result(), float).ravel().tolist()
        metric.update_state(y_true[5:], y_pred[5:], sample_weight=weight[5:])
        second = np.asarray(metric.result(), float).ravel().tolist()
        metric.reset_state()
        again = np.asarray(metric(y_true[:5], y_pred[:5]), float).ravel().tolist()
        assert np.allclose(first, again)
        found[case] = [*first, *second]
    return found


def schedules(keras) -> dict:
    """The rates at some steps."""
    return {
        name: [float(getattr(keras.optimizers.schedules, name)(*given)(step)) for step in range(0, 60, 3)]
        for name, given in SCHEDULES.items()
    }


def activations(keras) -> dict:
    """Each activation function's values."""
    x = np.random.default_rng(1).normal(size=(3, 6)).astype("float32") * 2
    found = {name: getattr(keras.activations, name)(x) for name in ACTIVATIONS.split()}
    found |= {
        "gelu, approximate": keras.activations.gelu(x, approximate=True),
        "relu with settings": keras.activations.relu(x, negative_slope=0.1, max_value=1.0, threshold=0.5),
        "threshold": keras.activations.threshold(x, 0.3, -1.0),
    }
    return {name: np.asarray(value, float).ravel().tolist() for name, value in found.items()}


def operations(keras) -> dict:
    """Values of some operations that aren't NumPy's."""
    x = np.random.default_rng(2).normal(size=(4, 6)).astype("float32")
    return {name: np.asarray(f(keras.ops, x), float).ravel().tolist() for name, f in OPS.items()}


def _model(keras, *outputs):
    x = keras.Input((5, 2))
    h = keras.layers.SimpleRNN(3, kernel_initializer="ones", recurrent_initializer="identity")(x)
    heads = [keras.layers.Dense(1, kernel_initializer="ones", name=name)(h) for name in outputs or ("out",)]
    return keras.Model(x, heads if outputs else heads[0])


def _data():
    x = np.random.default_rng(3).uniform(0, 0.3, (40, 5, 2)).astype("float32")
    return x, x.sum((1, 2))[:, None]


def fits(keras) -> dict:
    """Histories and evaluations of small models, by optimizer and loss."""
    x, y = _data()
    found = {}

    def told(model, history, y):
        values = np.asarray(model.evaluate(x, y, batch_size=8, verbose=0)).ravel().tolist()
        return {
            "keys": list(history.history),
            "values": [*(float(one) for row in history.history.values() for one in row), *values],
        }

    for name, settings in OPTIMIZERS.items():
        model = _model(keras)
        model.compile(getattr(keras.optimizers, name)(**({"learning_rate": 0.01} | settings)), "mse", metrics=["mae"])
        found[name] = told(model, model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0), y)

    def root_of_mean(y_true, y_pred):
        return keras.ops.sqrt(keras.ops.mean(keras.ops.square(y_pred - y_true)))

    class Own(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)

    for name, loss in {"one number": root_of_mean, "own class": Own(), "mape": "mape", "log_cosh": "log_cosh"}.items():
        model = _model(keras)
        model.compile(keras.optimizers.SGD(0.01), loss, metrics=[root_of_mean, "mse"])
        history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, validation_data=(x, y))
        found[name] = told(model, history, y)
    model = _model(keras, "first", "second")
    model.compile("sgd", ["mse", "mae"], loss_weights=[1.0, 0.5], metrics=[["mae"], ["mse"]])
    found["two outputs"] = told(model, model.fit(x, [y, y], batch_size=8, epochs=2, shuffle=False, verbose=0), [y, y])
    model = _model(keras)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
        keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1.0),
    ]
    history = model.fit(x, y, batch_size=8, epochs=5, shuffle=False, verbose=0, callbacks=callbacks)
    found["callbacks"] = told(model, history, y)
    return found


CASES = {function.__name__: function for function in (losses, metrics, schedules, activations, operations, fits)}


def recorded() -> dict:
    """What Keras gave."""
    return json.loads(FIGURES.read_text(encoding="utf-8"))
