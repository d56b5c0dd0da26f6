"""Every argument of Keras's functions does what it does there, by its name and by its place, or is refused."""

import ast
import inspect
import json

import keras_arguments
import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras.layers import NAMES
from rnnkit.keras.left_out import LeftOut
from rnnkit.keras.naming import by_order

RECORDED = json.loads(keras_arguments.FILE.read_text(encoding="utf-8"))
CALLS = keras_arguments.calls()
REFUSED = ("axis=", "ignore_class=")  # of losses and metrics, whose classes are on the last axis
MEANS = ("metrics.binary_accuracy",)  # Keras's gives what rnnkit's takes the mean of, over the last axis
WITHOUT_CALLS = (
    "Loss Metric SeedGenerator beta custom_gradient deserialize gamma get is_tensor serialize sparsemax stop_gradient"
).split()
NOT_CHANGED = {
    "name": "has rows of its own",
    "dtype": "losses and metrics have the precision of their arrays",
    "seed": "other numbers are drawn",
    "assume_unique": "for speed",
    "sorted": "says what isn't promised without it",
    "synchronized": "there is one machine",
    "sparse": "refused, see below",
    "ragged": "refused, see below",
    "from_sorted_ids": "refused, see below",
    "upper": "NumPy 1 lacks it",
    "excluded": "NumPy's own",
    "signature": "NumPy's own",
    "kwargs": "NumPy's own, or of a function that is given",
}


def known(name):
    """The signature of Keras's, as far as its parameters may be given in both ways."""
    parameters = RECORDED["signatures"][name]
    if any(kind != inspect.Parameter.POSITIONAL_OR_KEYWORD for _, kind, _ in parameters):
        return None
    return inspect.Signature(
        [
            inspect.Parameter(one, kind, default=inspect.Parameter.empty if default is None else as_value(default))
            for one, kind, default in parameters
        ]
    )


def as_value(text):
    try:
        return ast.literal_eval(text)
    except ValueError:
        return None


def as_given(function, signature):
    return function


def by_place(function, signature):
    """All arguments by their places, up to the last that is given."""

    def called(*arguments, **keywords):
        bound = signature.bind(*arguments, **keywords)
        given = [place for place, one in enumerate(signature.parameters) if one in bound.arguments]
        bound.apply_defaults()
        return function(*list(bound.arguments.values())[: max(given, default=-1) + 1])

    return called if signature else function


def by_name(function, signature):
    return (lambda *a, **k: function(**signature.bind(*a, **k).arguments)) if signature else function


@pytest.mark.parametrize("way", [as_given, by_place, by_name])
@pytest.mark.parametrize("module", sorted({name.partition(".")[0] for name, _ in CALLS}))
def test_arguments_do_what_keras_has_them_do(module, way):
    wrong = []
    for name, call in CALLS:
        if not name.startswith(f"{module}."):
            continue
        expected = RECORDED["values"][f"{name}: {call}"]
        function = way(
            keras_arguments.function_of(keras, name), known(name) if name in RECORDED["signatures"] else None
        )
        try:
            found = keras_arguments.evaluated(function, call)
        except (TypeError, ValueError):
            if module in ("losses", "metrics") and any(one in call for one in REFUSED):
                continue
            raise
        if not alike(found, np.mean(expected, axis=-1).tolist() if name in MEANS else expected):
            wrong.append((name, call, found, expected))
    assert not wrong


def alike(found, expected) -> bool:
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if any(isinstance(one, (list, str)) for one in (found, expected)):
        return found == expected
    return bool(np.isclose(found, expected, rtol=2e-5, atol=2e-6, equal_nan=True))


def test_every_argument_of_every_function_is_given_once():
    """A function that isn't in `CALLS`, or one of its arguments, would be taken on trust."""
    given: dict[str, set] = {}
    for name, call in CALLS:
        parameters = [one for one, _, _ in RECORDED["signatures"].get(name, [])]
        for node in ast.walk(ast.parse(call)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "F":
                own = given.setdefault(name, set())
                own |= {*parameters[: len(node.args)], *(one.arg for one in node.keywords)}
    for name, parameters in RECORDED["signatures"].items():
        module, _, own = name.partition(".")
        if module == "layers":
            continue
        function = keras_arguments.function_of(keras, name)
        same = module == "metrics" and function is getattr(keras.losses, own, None)
        if isinstance(function, LeftOut) or own in WITHOUT_CALLS or same:
            continue
        names = {one for one, kind, _ in parameters if kind != inspect.Parameter.VAR_POSITIONAL} - NOT_CHANGED.keys()
        assert names <= given.get(name, set()), f"{name}: {names - given.get(name, set())}"


@pytest.mark.parametrize("name", NAMES)
def test_places_of_a_layers_arguments_are_those_of_keras(name):
    """As far as places are taken; `test_layers.py` has what is done with arguments by name."""
    parameters = RECORDED["signatures"].get(f"layers.{name}", [])
    names = [one for one, kind, _ in parameters if kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
    own = NAMES[name]
    for count in range(1, len(names) + 1):
        try:
            given = by_order(own.order, own.found(), tuple(range(count)), {})
        except TypeError:
            assert count > 7, "what is refused stands far behind"
            break
        assert list(given) == names[:count]


@pytest.mark.parametrize(
    "refused",
    [
        lambda: keras.ops.one_hot([1], 3, sparse=True),
        lambda: keras.ops.multi_hot([1], 3, sparse=True),
        lambda: keras.ops.bincount([1], sparse=True),
        lambda: keras.ops.convert_to_tensor([1], sparse=True),
        lambda: keras.ops.convert_to_tensor([1], ragged=True),
        lambda: keras.metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True),
        lambda: keras.metrics.sparse_top_k_categorical_accuracy([1], [[1, 2]], from_sorted_ids=True),
        lambda: keras.losses.MeanSquaredError("sum", "own", None, 3),
        lambda: keras.losses.MeanSquaredError("sum", reduction="none"),
        lambda: keras.ops.mean([1], 0, True, 3),
    ],
)
def test_what_rnnkit_lacks_is_refused(refused):
    with pytest.raises((TypeError, ValueError)):
        refused()
