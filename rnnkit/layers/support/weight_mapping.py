"""A layer's weights in a user's hands: a mapping of read-only arrays, replaced by assignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnnkit.complex_pairs import to_complex
from rnnkit.layers.support import validation
from rnnkit.layers.support.assignments import by_attributes
from rnnkit.layers.support.layer_tree import arrays_by_name, gathered, held_by, put_arrays
from rnnkit.steps.cell import frozen, is_scipy_sparse


class Weights(Mapping[str, np.ndarray]):
    """A layer's weights by name: read-only arrays, replaced by assignment.

    ``weights["kernel"] = values`` copies, checks the shape and casts; there is no other way to change a weight. A
    ``scipy.sparse`` array makes a sparse weight; it is shown, as all are, with its zeros.
    """

    def __init__(self, layer: Any):
        self._layer = layer

    def __getitem__(self, name: str) -> np.ndarray:
        arrays = arrays_by_name(self._layer)
        if name not in arrays:
            raise UnknownWeight(name, arrays)
        return shown(self._layer, name, arrays[name])

    def __setitem__(self, name: str, values: Any) -> None:
        arrays = arrays_by_name(self._layer)
        if name not in arrays:
            raise UnknownWeight(name, arrays)
        new = like(arrays[name], values, name, pair_axes(self._layer).get(name))
        put_arrays(self._layer, {name: new}, {name} if is_scipy_sparse(values) else set())

    def __iter__(self) -> Iterator[str]:
        return iter(arrays_by_name(self._layer))

    def __len__(self) -> int:
        return len(arrays_by_name(self._layer))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name!r}: {array.dtype} {array.shape}" for name, array in self.items())
        return f"{{{inside}}}"


class UnknownWeight(ValueError, KeyError):
    """A weight that doesn't exist; a KeyError too, as mappings promise."""

    def __init__(self, name, arrays):
        super().__init__(f"expected a weight among {', '.join(arrays) or 'none (not built yet)'}; got {name!r}")

    __str__ = Exception.__str__


def shown(layer: Any, name: str, array: np.ndarray) -> np.ndarray:
    """Return a weight as users see it."""
    axis = pair_axes(layer).get(name)
    return array if axis is None else frozen(to_complex(array, axis), None)


def like(old: np.ndarray, values, name: str, axis: int | None = None) -> np.ndarray:
    """Return `values` as a frozen array to replace `old`, for a complex weight with its pairs along an axis."""
    if not is_scipy_sparse(values):
        values = validation.array(values, f"weight {name!r}", complex_too=axis is not None)
    if axis is not None:
        return frozen(validation.like(values, f"weight {name!r}", old, axis), old.dtype)
    if values.shape != old.shape:
        raise ValueError(f"expected weight {name!r} of shape {old.shape}, got {values.shape}")
    if is_scipy_sparse(values):
        values = validation.array(values.toarray(), f"weight {name!r}")
    return frozen(values, old.dtype)


@by_attributes
def weight_keys(layer: Any) -> dict[str, Any]:
    """Return the `Variable.key` of every weight, by its name in `weights`."""
    return gathered(layer, lambda one: {name: held_by(one).key(name) for name in held_by(one).arrays()})


def sparse_names(layer: Any) -> set[str]:
    """Return the names of the sparse weights."""
    return set(gathered(layer, lambda one: dict.fromkeys(held_by(one).sparse())))


def complex_names(layer: Any) -> frozenset[str]:
    """Return the names of the complex weights, of which layers hold the pairs."""
    return frozenset(gathered(layer, lambda one: dict.fromkeys(held_by(one).complex())))


def pair_axes(layer: Any) -> dict[str, int]:
    """Return the axis along which the pairs of each complex weight stand, by the weight's name."""
    return dict.fromkeys(complex_names(layer), layer._axes_in_front)
