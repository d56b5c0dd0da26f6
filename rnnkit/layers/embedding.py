"""Embedding: a row of a table for every id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.arguments import positive_integer
from rnnkit.circumstances import weights_now
from rnnkit.hints import Array, Constraint, Initializer, LayerOptions, Regularizer, Shape
from rnnkit.initializers import initializer
from rnnkit.layers.base import any_shape
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.layer_tree import build_with
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.layers.weighted import OwnWeight, OwnWeights
from rnnkit.opaque import opaque


class Embedding(OwnWeights):
    """A table in which ids are looked up: ``y = embeddings[ids]``.

    The table's gradient is a `RowGradient` of the ids that were looked up, those that `mask_zero` masks among them.

    Parameters
    ----------
    input_dim : int
        Number of ids; they run from 0 to ``input_dim - 1``.
    output_dim : int
        Length of the vector for each.
    mask_zero : bool
        Id 0 is padding: `compute_mask` gives ``ids != 0``.
    embeddings_initializer : str, callable or initializer
    embeddings_regularizer : str or Regularizer, optional
        A penalty on the table, see `rnnkit.regularizers`.
    embeddings_constraint : str or callable, optional
        What the table must keep to in training, see `rnnkit.constraints`.
    dtype, seed, name
        As in every layer; float32 unless said otherwise.

    Raises
    ------
    ValueError
        When it is called on what isn't integers, or not in the table.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.Embedding(5, 2, mask_zero=True, embeddings_initializer="ones")
    >>> layer([[3, 0]]).tolist(), layer.compute_mask([[3, 0]]).tolist()
    ([[[1.0, 1.0], [1.0, 1.0]]], [[True, False]])
    >>> y, pullback = layer.vjp([[3, 0, 3]])
    >>> gradient = pullback(np.ones_like(y)).weights["embeddings"]
    >>> gradient.ids.tolist(), gradient.rows.tolist()
    ([0, 3], [[1.0, 1.0], [2.0, 2.0]])
    """

    _open_axes = 2
    _padding = "masked"
    _reads_ids = True
    _truncates = False  # under Keras's names, ids lose their fractions

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_zero: bool = False,
        *,
        embeddings_initializer: Initializer = "uniform",
        embeddings_regularizer: Regularizer = None,
        embeddings_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        self.input_dim: int = positive_integer(input_dim, "input_dim")
        self.output_dim: int = positive_integer(output_dim, "output_dim")
        self.mask_zero: bool = bool(mask_zero)
        self.embeddings_initializer: Callable[..., Any] = initializer(embeddings_initializer)
        self.embeddings_regularizer: Any = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint: Any = constraints.get(embeddings_constraint)

    def _call(self, inputs, mask, training, wanted=None):
        ids = self._ids(inputs)
        if not self.built:
            build_with(self, ids.shape, self.dtype or np.dtype("float32"))
        table = weights_now(self._own)["embeddings"]
        shape = table.shape

        def back(d):
            rows = d.reshape(ids.size, shape[1])
            return Gradients({"embeddings": opaque(RowGradient.sums, ids.reshape(-1), rows, shape, draws=True)})

        y = np.take(table, ids, axis=0, mode="clip")  # the ids are known to be inside
        return y if wanted is None else self._with_pullback(y, back)

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return ``ids != 0`` with `mask_zero`, else the mask as it came; symbolic for symbolic ids."""
        if self.mask_zero and isinstance(inputs, SymbolicTensor):
            return np.not_equal(inputs, 0)
        return self._ids(inputs) != 0 if self.mask_zero else super().compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(*ids.shape, output_dim)``."""
        return (*super().compute_output_shape(input_shape), self.output_dim)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        return "makes a mask; skip(rows) leaves out a step of some rows" if self.mask_zero else None

    def _ids(self, inputs):
        return opaque(self._checked_ids, inputs)

    def _checked_ids(self, inputs):
        given = validation.numbers(inputs, "ids")
        ids = given.astype(np.intp)
        if given.dtype.kind == "f" and not self._truncates and (ids != given).any():
            raise ValueError("expected ids to be integers, got fractions")
        if ids.size and ids.view(np.uintp).max() >= self.input_dim:  # a negative one is large without its sign
            wrong = ids[(ids < 0) | (ids >= self.input_dim)]
            hint = "" if wrong[0] < 0 else "; input_dim has to be above the largest id"
            raise ValueError(f"expected ids from 0 to {self.input_dim - 1}, got {wrong[0]}{hint}")
        return ids

    def _own_weights(self, shape):
        return {"embeddings": OwnWeight.by_arguments(self, "embeddings", (self.input_dim, self.output_dim))}

    _check_shape = any_shape
