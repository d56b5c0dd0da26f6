"""Quantization: layers whose products read weights in fewer bits."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.layers.support.assignments import weights_replaced
from rnnkit.layers.support.layer_tree import all_layers, held_by
from rnnkit.layers.support.weight_files import check_built
from rnnkit.stored_weights import KINDS, Stored, StoredWeight, all_expanded


def quantize(layer: Any, dtype: str | None, filters: Any = None) -> None:
    """Store the weights of a layer's products as a dtype, see `Layer.quantize`."""
    if dtype not in (*KINDS, None):
        raise ValueError(f"expected dtype as {', '.join(map(repr, KINDS))} or None, got {dtype!r}")
    check_built(layer, "its weights are quantized")
    patterns = [filters] if isinstance(filters, str) else [""] if filters is None else filters
    wanted = filters if callable(filters) else lambda one: any(re.search(pattern, one.name) for pattern in patterns)
    changed: list[tuple[Any, Mapping[str, np.ndarray]]] = []
    for one in all_layers(layer):
        cell = held_by(one).cell
        if cell is not None and wanted(one):
            changed.append((one, _weights_for(one, cell, dtype)))
    for one, weights in changed:
        held_by(one).cell._replace_weights(weights)
        one._quantization = dtype
        one._execution.store_weights(dtype or "")
    for one in all_layers(layer):  # recordings hold copies of the weights
        one._call_runner, one._vjp_runner = copy.copy(one._call_runner), copy.copy(one._vjp_runner)
    weights_replaced()


def _weights_for(layer, cell, dtype: str | None) -> dict[str, np.ndarray]:
    if dtype is not None and layer.dtype != np.float32:
        raise ValueError(f"expected a float32 layer to quantize; {layer.name!r} is of {layer.dtype}")
    if dtype is not None and layer._device != "cpu":
        raise ValueError(f"expected a layer on the CPU to quantize, {layer.name!r} is on {layer._device}")
    weights = all_expanded(cell._all_weights())
    if dtype is None:
        return weights
    for name, rows in layer._execution.product_weights().items():
        starts = tuple(start for start, _ in rows) if dtype == "int8" else (0,)
        if dtype == "int8" and not _apart(rows, weights[name].shape[0]):
            continue  # each product rounds its own part
        try:
            weights[name] = StoredWeight.of(Stored.of(weights[name], dtype, starts))
        except ValueError as error:
            raise ValueError(f"{error} in {name!r} of {layer.name!r}") from None
    return weights


def _apart(rows, count: int) -> bool:
    """Return whether ranges of rows follow each other from the first row to the last."""
    ends = [0, *(stop for _, stop in rows)]
    return [start for start, _ in rows] == ends[:-1] and ends[-1] == count


def as_held(held: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return new weights in the storage of those that a cell holds."""
    found = dict(new)
    for name, array in new.items():
        standing = held[name]
        if isinstance(standing, StoredWeight):
            found[name] = standing.rounded(array)
    return found
