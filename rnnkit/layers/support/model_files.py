"""A whole layer or model in a file: its configuration, its weights and, if asked for, training and states.

The arrays are named ``weights/…``, ``optimizer/…`` and ``states/…``; everything else is JSON values beside them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.execution.host_fallback import to_host
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.layers.support.weight_files import WEIGHTS, check_built, check_free, differences, put
from rnnkit.layers.support.weight_mapping import complex_names, sparse_names
from rnnkit.serialization.array_files import below, save_arrays
from rnnkit.serialization.configuration import deserialize, serialize
from rnnkit.serialization.registry import reading
from rnnkit.version import __version__

_OPTIMIZER, _STATES = "optimizer/", "states/"


def save(layer: Any, path, *, optimizer: bool = False, states: bool = False, overwrite: bool = True) -> None:
    """Write a layer, see `Layer.save`."""
    check_built(layer, "it is saved")
    check_free(path, overwrite)
    arrays = {WEIGHTS + name: array for name, array in arrays_by_name(layer).items()}
    about: dict[str, Any] = {
        "versions": {"rnnkit": __version__},
        "layer": serialize(layer),
        "input_shape": layer._input_shape,
        "frozen": [name for name, one in _by_path(layer) if not one.trainable],
        "sparse": sorted(sparse_names(layer)),
        "complex": sorted(complex_names(layer)),  # stored as pairs: real parts, then imaginary ones
    }
    if optimizer:
        about["training"], kept = layer._training_to_save()
        about["seeds"] = {
            name: {"entropy": one._sequence.entropy, "spawn_key": list(one._sequence.spawn_key)}
            for name, one in _by_path(layer)
        }
        arrays |= {f"{_OPTIMIZER}{name}": array for name, array in kept.items()}
    if states:
        for name, one in _by_path(layer):
            for i, state in enumerate(getattr(one, "_kept", None) or ()):
                arrays[f"{_STATES}{name}/{i}"] = to_host(state)
    save_arrays(path, arrays, about)


def restored(path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], custom_objects=None) -> Any:
    """Return the layer of a file that was read; a ValueError if its contents don't go together."""
    with making(path, custom_objects):
        layer = deserialize(about["layer"])
        if not layer.built:
            layer.build(_as_tuples(about["input_shape"]))
        found = below(WEIGHTS, arrays)
        if wrong := differences(arrays_by_name(layer), found):
            raise ValueError("; ".join(wrong))
        put(layer, found, about["sparse"])
        parts = dict(_by_path(layer))
        for name in about["frozen"]:
            parts[name].trainable = False
        for name, seed in about.get("seeds", {}).items():
            parts[name]._sequence = np.random.SeedSequence(seed["entropy"], spawn_key=tuple(seed["spawn_key"]))
        if "training" in about:
            layer._restore_training(about["training"], below(_OPTIMIZER, arrays))
        _restore_states(parts, below(_STATES, arrays))
        return layer


def _restore_states(parts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    kept: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        of, _, number = name.rpartition("/")
        kept.setdefault(of, {})[int(number)] = array
    for of, states in kept.items():
        layer = parts[of]
        layer._keep(layer._reset(layer._spec.pack(tuple(states[i] for i in range(len(states)))), None))


def _by_path(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a layer and all inside, with the paths that their weights' names begin with."""
    yield path, layer
    for name, part in layer._parts().items():
        yield from _by_path(part, f"{path}/{name}" if path else name)


def _as_tuples(shape):
    return tuple(map(_as_tuples, shape)) if isinstance(shape, list) else shape


@contextmanager
def making(path, custom_objects=None) -> Iterator[None]:
    """Make objects of a file's content: names are a configuration's, memory is in proportion to the file.

    Whatever goes wrong inside is a ValueError with the file's name.
    """
    try:
        with reading(custom_objects), allocation.limited(os.path.getsize(path)):
            yield
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # constructors raise many kinds of errors for such values
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{os.fspath(path)!r} can't be loaded: {said}") from error
