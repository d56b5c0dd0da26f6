"""Correspondence of Keras's classes, options and their values with rnnkit's."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rnnkit import constraints, initializers, regularizers
from rnnkit.activations import ACTIVATIONS
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.configured import parameters
from rnnkit.layers import PUBLIC

# Keras's initializers without settings of their own, and the classes of those with some.
NAMED = {
    "Zeros": "zeros", "Ones": "ones", "GlorotUniform": "glorot_uniform", "GlorotNormal": "glorot_normal",
    "HeUniform": "he_uniform", "HeNormal": "he_normal", "LecunUniform": "lecun_uniform", "LecunNormal": "lecun_normal",
}  # fmt: skip
SET: dict[str, type] = {
    "Constant": initializers.Constant,
    "RandomUniform": initializers.Uniform,
    "RandomNormal": initializers.Normal,
    "TruncatedNormal": initializers.TruncatedNormal,
    "VarianceScaling": initializers.VarianceScaling,
    **dict.fromkeys(("Orthogonal", "OrthogonalInitializer"), initializers.Orthogonal),
    **dict.fromkeys(("Identity", "IdentityInitializer"), initializers.Identity),
}


def text(value, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {what} to be text, got {value!r}")
    return value


def mapping(value, what: str) -> Mapping[str, Any]:
    """Check that a value is a configuration, a dict by name."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"expected {what} to be a configuration by name, got {value!r}")
    return value


def handed_in(names, custom: Mapping[str, Any]):
    """Return the first of the caller's objects with one of these names, or None."""
    return next((custom[name] for name in names if isinstance(name, str) and name in custom), None)


def activation(value, what: str, custom: Mapping[str, Any]):
    """Return an activation's name in rnnkit, or the caller's function; a ValueError names an unknown one of `what`."""
    if value is None:
        return None
    described = isinstance(value, Mapping)
    name = value.get("config") if described and value.get("class_name") == "function" else value
    name = value.get("class_name") if described and not isinstance(name, str) else name
    registered = value.get("registered_name") if described else None
    if (own := handed_in((registered, name), custom)) is not None:
        return own
    if not described and name in ACTIVATIONS:
        return name
    raise ValueError(
        f"expected {what} to be an activation that rnnkit has, {', '.join(ACTIVATIONS)}; got {name!r}: hand in a "
        f"function of NumPy arrays as custom_objects={{{name!r}: function}}"
    )


# By the last word of an option's name: rnnkit's names, Keras's classes, a description for errors.
_OBJECTS: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "initializer": (initializers.INITIALIZERS, NAMED | SET, "an initializer"),  # whose seed has no counterpart
    "regularizer": ((None, *regularizers.REGULARIZERS), regularizers.CLASSES, "a regularizer"),
    "constraint": ((None, *constraints.CONSTRAINTS), constraints.CLASSES, "a constraint"),
}


def converted(name: str, value, what: str, custom: Mapping[str, Any]):
    """Return an option of Keras as rnnkit has it."""
    kind = name.rpartition("_")[2]
    if kind == "activation":
        return activation(value, what, custom)
    if kind not in _OBJECTS:
        return value
    names, classes, described = _OBJECTS[kind]
    known = (value is None or isinstance(value, str)) and value in names
    return value if known else _described(value, classes, what, described, custom)


def precision(value, what: str) -> str | None:
    """Return a precision's name, float32 or float64, from Keras's dtype, which is a name or a policy."""
    name = mapping(value.get("config"), f"{what}'s dtype").get("name") if isinstance(value, Mapping) else value
    if name not in (None, "float32", "float64"):
        raise ValueError(f"expected {what} of dtype float32 or float64, which rnnkit computes in; got {name!r}")
    return name


def _described(value, known: Mapping[Any, Any], what, kind, custom):
    """Return the object of a description ``{"class_name", "config"}``."""
    if isinstance(value, str):
        value = {"class_name": value, "config": {}}
    found = mapping(value, what)
    name, config = found.get("class_name"), found.get("config")
    own = handed_in((found.get("registered_name"), config if name == "function" else name), custom)
    if own is not None:
        return own(**mapping(config, what)) if isinstance(own, type) else own
    if name not in known:
        raise ValueError(
            f"expected {what} to be {kind} that rnnkit has; got {name!r}: hand one in by name as custom_objects={{…}}"
        )
    make, given = known[name], mapping(config or {}, what)
    takes = [] if isinstance(make, str) else [one.name for one in parameters(make) if one.name != "seed"]
    for name, value in given.items():
        if name not in (*takes, "seed") and value is not None:  # random numbers differ from Keras's for any seed
            raise ValueError(f"expected {what} without {name}={value!r}, which rnnkit hasn't")
    settings = {name: _plain(given[name], what) for name in takes if name in given}
    return make if isinstance(make, str) else make(**settings)


def _plain(value, what):
    """Return a setting; Keras writes some numbers as tensors, and arrays as dicts."""
    if isinstance(value, Mapping):
        inside = value.get("config")
        if value.get("class_name") not in ("__tensor__", "__numpy__") or not isinstance(inside, Mapping):
            raise ValueError(f"expected numbers in {what}, got {value!r}")
        return inside.get("value")
    return value


class Argument(NamedTuple):
    """An argument that is ignored."""

    harmless: tuple | None  # the values that change nothing; None for all
    why: str  # why it changes nothing, or what to do instead of another value

    def is_harmless(self, value) -> bool:
        """Return whether a value changes nothing."""
        return self.harmless is None or any(value is one or value == one for one in self.harmless)


IGNORED = {
    "autocast": Argument(None, "layers cast their inputs to their own precision"),
    "implementation": Argument(None, "the compiler chooses how products are computed"),
    "use_cudnn": Argument(None, "every step runs through the same compiler, on a GPU too"),
    "unroll": Argument(None, "a loop and an unrolled loop give the same bits"),
    "activity_regularizer": Argument(
        (None,), "all layers but those around others take it; behind these, call add_loss in a layer of your own"
    ),
    "data_format": Argument((None, "channels_last"), "move the axis of features to the end: np.moveaxis(x, 1, -1)"),
    "lora_alpha": Argument((None,), "train all weights, or set layer.trainable = False"),
    "lora_rank": Argument((None,), "train all weights, or set layer.trainable = False"),
    "noise_shape": Argument((None,), "use SpatialDropout1D, which drops whole features"),
    "quantization_config": Argument((None,), "weights are float32 or float64"),
    "ragged": Argument((False, None), "pad the sequences, and mask what was padded"),
    "renorm": Argument((False, None), "rnnkit has no batch renormalization"),
    "renorm_clipping": Argument((None,), "rnnkit has no batch renormalization"),
    "renorm_momentum": Argument((0.99,), "rnnkit has no batch renormalization"),
    "sparse": Argument((False, None), "convert to a dense array, x.toarray()"),
    "synchronized": Argument((False, None), "rnnkit trains on one machine"),
    "tensor": Argument((None,), "give the array to fit or predict"),
    "time_major": Argument((False, None), "give arrays (batch, time, features): np.swapaxes(x, 0, 1)"),
}


# Options of every layer, and those that Keras hasn't.
_NOT_TAKEN = {"dtype", "name", "activity_regularizer", "device", "flash_attention", "seed"}
_DRAWING = {"rate", "stddev", "dropout"}  # Keras gives a seed to layers with one of these
_OWN = {"ArrayFunction", "Lambda"}  # layers that Keras hasn't, or has as others
WRAPPING = ("RNN", "Bidirectional", "TimeDistributed")


def taken(make: type) -> list[str]:
    """Return the options of a class of rnnkit that Keras's class of its name has, too."""
    options = dict.fromkeys(one.name for one in parameters(make))
    return [name for name in options if name not in _NOT_TAKEN or (name == "seed" and options.keys() & _DRAWING)]


def _named(names: Iterable[str]) -> dict[str, type]:
    return {name: getattr(importlib.import_module(PUBLIC[name]), name) for name in names}


IN_KERAS = [name for name in PUBLIC if name not in _OWN]
CELLS: dict[str, type] = {one.__name__: one for one in (SimpleRNNCell, GRUCell, LSTMCell)}
WRAPPERS = _named(WRAPPING)
LAYERS = _named(name for name in IN_KERAS if name not in WRAPPING)
MODELS = ("Sequential", "Functional", "Model")
# Functions of keras.ops in a model's graph that a layer of rnnkit computes.
OPERATIONS = {name: LAYERS[name] for name in "Add Subtract Multiply Maximum Minimum Concatenate".split()}

_COMMON = ("name", "trainable", "dtype", "input_length")


def known() -> list[str]:
    """Return the classes that can be read."""
    return ["Sequential", "Functional", *WRAPPERS, *LAYERS, "Identity"]


def arguments(make: type, config: Mapping[str, Any], what: str, custom: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of rnnkit's class for a configuration of Keras; a ValueError for an unsupported option."""
    found, both = {}, taken(make)
    for name, value in config.items():
        if name in both:
            found[name] = converted(name, value, f"{name} of {what}", custom)
        elif name not in _COMMON and not (name in IGNORED and IGNORED[name].is_harmless(value)):
            raise ValueError(f"expected {what} without {name}={value!r}, an option that rnnkit hasn't")
    return found
