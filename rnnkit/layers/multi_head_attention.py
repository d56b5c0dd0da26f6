"""MultiHeadAttention: several attentions side by side, each of projections of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.activations import sigmoid
from rnnkit.arguments import is_integer, positive_integer, shown
from rnnkit.hints import Array, Constraint, Initializer, LayerOptions, Regularizer, Shape
from rnnkit.initializers import initializer
from rnnkit.layers.attention import Attending, Options
from rnnkit.layers.support import attending, entry, validation
from rnnkit.layers.support.attending import Finite, both
from rnnkit.layers.support.pullback import options
from rnnkit.layers.support.symbolic import is_shape
from rnnkit.layers.weighted import OwnWeight


class MultiHeadAttention(Attending):
    """Several attentions side by side (Vaswani et al. 2017).

    For each head, with its part of the weights::

        q, k, v = query @ Wq + bq, key @ Wk + bk, value @ Wv + bv
        head = softmax(q @ k.T / sqrt(key_dim)) @ v

    and the output is ``concatenated heads @ Wo + bo``.

    Parameters
    ----------
    num_heads : int
    key_dim : int
        Size of a head's queries and keys.
    value_dim : int, optional
        Size of a head's values; `key_dim` unless given.
    dropout : float in [0, 1]
        The share of the heads' weights that training sets to 0.
    output_shape : int or tuple of int, optional
        Of a step of the output; as many features as queries have unless given.
    attention_axes : None or 1
        The axis of time, which is the only one.
    sliding_window : int, optional
        Let a query have only keys that are less than so many steps away.
    flash_attention : bool, optional
        Accepted for compatibility; changes nothing.
    use_gate : bool
        Multiply the heads by ``sigmoid(query @ Wg + bg)`` before the output's kernel.

    Notes
    -----
    The weights are ``query/kernel`` (F, heads, key_dim), ``query/bias`` (heads, key_dim), and so on for key, gate and
    value, and ``attention_output/kernel`` ``(heads, value_dim, *output)``.

    A step that masks leave out reaches nothing, not even with NaN. For a query without keys, heads are 0 if scores are
    returned or there is dropout, and the mean of all values (NaN counts as 0) if not: that is what Keras computes.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.MultiHeadAttention(num_heads=2, key_dim=4, seed=0)
    >>> x = np.ones((8, 5, 6))
    >>> output, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    >>> output.shape, scores.shape, list(layer.weights)[:2]
    ((8, 5, 6), (8, 2, 5, 5), ['query/kernel', 'query/bias'])
    """

    key_dim: int
    num_heads: int
    use_bias: bool
    use_gate: bool
    _recorded_bytes = 1 << 22  # scores are large, and memory that stays saves page faults

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: Any = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Shape = None,
        attention_axes: Any = None,
        sliding_window: Any = None,
        flash_attention: Any = None,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        use_gate: bool = False,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(dropout, **options)
        self.num_heads, self.key_dim = positive_integer(num_heads, "num_heads"), positive_integer(key_dim, "key_dim")
        self.value_dim: Any = self.key_dim if value_dim is None else positive_integer(value_dim, "value_dim")
        self.use_bias, self.use_gate = bool(use_bias), bool(use_gate)
        self.output_shape: Any = _output_shape(output_shape)
        self.attention_axes: Any = _axes(attention_axes)
        self.sliding_window: Any = (
            None if sliding_window is None else positive_integer(sliding_window, "sliding_window")
        )
        self.flash_attention: Any = flash_attention if flash_attention is None else bool(flash_attention)
        self.kernel_initializer: Callable[..., Any] = initializer(kernel_initializer)
        self.bias_initializer: Callable[..., Any] = initializer(bias_initializer)
        self.kernel_regularizer: Any = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Any = regularizers.get(bias_regularizer)
        self.kernel_constraint: Any = constraints.get(kernel_constraint)
        self.bias_constraint: Any = constraints.get(bias_constraint)

    @entry.entered
    def __call__(
        self,
        query: Array,
        value: Any,
        key: Any = None,
        query_mask: Array = None,
        value_mask: Array = None,
        key_mask: Array = None,
        attention_mask: Array = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend from queries to values.

        Parameters
        ----------
        query : array_like (B, T, F)
        value : array_like (B, S, G)
        key : array_like (B, S, H), optional
            The values unless given.
        query_mask, value_mask, key_mask : array_like (B, T), (B, S) and (B, S), optional
            Which steps count. In a `Model`, the inputs' own masks, where none is given.
        attention_mask : array_like (B, T, S), (T, S) or (B, heads, T, S), optional
            Which pairs count; an axis of size 1 stands for all.
        return_attention_scores : bool
            Return the heads' weights too, as they are before dropout.
        training : bool
            Whether dropout acts.
        use_causal_mask : bool
            Let a query have no key that is later.

        Returns
        -------
        ndarray (B, T, *output), or (ndarray, ndarray (B, heads, T, S)) with `return_attention_scores`

        Raises
        ------
        ValueError, TypeError
            For inputs and masks that don't fit.
        """
        inputs, masks = _listed(query, value, key), [query_mask, value_mask, key_mask, attention_mask]
        return self._call(inputs, masks, Options(bool(training), return_attention_scores, use_causal_mask))

    @entry.entered_vjp
    def vjp(
        self,
        query: Array,
        value: Any,
        key: Any = None,
        query_mask: Array = None,
        value_mask: Array = None,
        key_mask: Array = None,
        attention_mask: Array = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
        *,
        checkpoint: Any = None,
        truncate: Any = None,
    ) -> Any:
        """Do as `Layer.vjp`, with a call's arguments; the gradient's ``x`` is a list, of key only if it is given."""
        options(checkpoint, truncate)
        inputs, masks = _listed(query, value, key), [query_mask, value_mask, key_mask, attention_mask]
        return self._call(inputs, masks, Options(bool(training), return_attention_scores, use_causal_mask), {})

    # The arithmetic

    def _result(self, arrays, masks, options, weights):
        (*steps, attention_mask, kept), options = masks or [None] * 5, options or Options()
        pairs = self._pairs(arrays, steps, attention_mask, options.causal)
        masked = pairs is not None and not options.finite
        query, value, key = (Finite(one, masked) for one in (*arrays[:2], arrays[-1]))
        given = {"query": query, "key": key, "value": value}
        q, k, v = (self._projected(weights, name, one.values) for name, one in given.items())
        scores = (q * (1 / math.sqrt(self.key_dim))) @ k.swapaxes(-1, -2)
        scores = attending.spoiled_scores(scores, pairs, query, key)
        shares = attending.softmax(scores, pairs, empty=options.scores or self.dropout > 0)
        heads = attending.spoiled_sums((shares if kept is None else shares * kept) @ v, pairs, value)
        if self.use_gate:
            heads = heads * sigmoid(self._projected(weights, "gate", query.values))
        rows = heads.transpose(0, 2, 1, 3)
        rows = rows.reshape(*rows.shape[:2], self.num_heads * self.value_dim)
        output = self._projected(weights, "attention_output", rows)
        return (output, shares) if options.scores else output

    def _pairs(self, arrays, masks, attention_mask, use_causal_mask):
        """Which pairs count, as booleans that go with scores ``(B, heads, T, S)``; None for all."""
        query_mask, value_mask, key_mask = masks
        queries, keys = arrays[0].shape[1], arrays[1].shape[1]
        pairs = np.tri(queries, keys, dtype=bool)[None, None] if use_causal_mask else None
        if self.sliding_window is not None:
            pairs = both(pairs, attending.near(queries, keys, self.sliding_window)[None, None])
        pairs = both(pairs, None if query_mask is None else query_mask[:, None, :, None])
        for one in (value_mask, key_mask):
            pairs = both(pairs, None if one is None else one[:, None, None])
        given = attention_mask
        return both(pairs, None if given is None else given.reshape(_with_heads_shape(given.shape)))

    def _projected(self, weights, name, rows):
        """Rows times a kernel, plus a bias: the output ``(B, T, *output)``, or heads ``(B, heads, steps, size)``."""
        kernel = weights[f"{name}/kernel"]
        found = rows @ kernel.reshape(rows.shape[2], -1)
        if self.use_bias:
            found = found + weights[f"{name}/bias"].reshape(-1)
        if name == "attention_output":
            return found.reshape(*rows.shape[:2], *kernel.shape[2:])
        return found.reshape(*rows.shape[:2], *kernel.shape[1:]).transpose(0, 2, 1, 3)

    # Masks

    def _listed(self, mask):
        return [] if mask is None else list(mask)

    @property
    def _takes_all(self):  # type: ignore[override]
        return self.sliding_window is None

    def _masks(self, mask, arrays, training):
        found = super()._masks(mask, arrays, training)
        if len(self._listed(mask)) > 3 and mask[3] is not None:
            given = validation.array(mask[3], "attention_mask")
            self._check_pairs(given.shape, arrays[0].shape, arrays[1].shape)
            pairs = given.reshape(_with_heads_shape(given.shape)) != 0
            found[3] = np.broadcast_to(pairs, (len(arrays[0]), *pairs.shape[1:]))
        return found

    def _check_masks(self, shape, masks):
        own = [masks.get(f"{name}_mask") for name in self._names]
        super()._check_masks([*shape[:2], shape[-1]], {"mask": own})
        if "attention_mask" in masks:
            self._check_pairs(masks["attention_mask"].shape, *shape[:2])

    def _check_pairs(self, found, query, value) -> None:
        expected = (query[0], self.num_heads, query[1], value[1])
        own = _with_heads_shape(found)
        if own is None or any(
            size not in (None, 1) and wanted is not None and size != wanted
            for size, wanted in zip(own, expected, strict=True)
        ):
            raise ValueError(
                f"expected attention_mask of shape {(query[0], query[1], value[1])}, one value per pair, or with heads "
                f"{expected}; got {tuple(found)}"
            )

    def _query_mask(self, mask, more):
        return [(self._masks_by_name(mask) | dict(more)).get("query_mask")]

    def _masks_by_name(self, mask) -> dict:
        """The masks that inputs carry, by name."""
        return {f"{name}_mask": one for name, one in zip(self._names, self._listed(mask), strict=False)}

    @entry.entered_mask
    def compute_mask(
        self, query: Array, mask: Array = None, value: Any = None, key: Any = None, query_mask: Array = None
    ) -> Any:
        """Return the queries' mask."""
        own = query_mask if mask is None else next(iter(self._listed(mask)), None)
        return None if own is None else validation.array(own, "query_mask")

    # Shapes and configuration

    def _call_arguments(self, call, arguments, keywords):
        given = super()._call_arguments(call, arguments, keywords)
        inputs = _listed(*(given.pop(name, None) for name in self._names))
        return {"inputs": inputs} | given

    def _as_call(self, inputs, more):
        masks = self._masks_by_name(more.get("mask"))
        rest = {name: value for name, value in more.items() if name != "mask"}
        return (), dict(zip(self._names, inputs, strict=False)) | masks | rest

    def build(self, query_shape: Shape, value_shape: Shape = None, key_shape: Shape = None) -> None:
        """Create the weights for inputs of these shapes, or of a list of shapes."""
        super().build(_listed_shapes(query_shape, value_shape, key_shape))

    def compute_output_shape(self, query_shape: Shape, value_shape: Shape = None, key_shape: Shape = None) -> Shape:
        """Return the shape of the output, of the shapes of the inputs or a list of them."""
        return super().compute_output_shape(_listed_shapes(query_shape, value_shape, key_shape))

    def _check_sizes(self, query, value, key):
        """All sizes go together."""

    def _output(self, shape):
        return (*shape[0][:2], *(self.output_shape or shape[0][2:]))

    def _scores_shape(self, shape):
        return (shape[0][0], self.num_heads, shape[0][1], shape[1][1])

    def _declared(self, query, value, key):
        heads = {"query": (query, self.key_dim), "key": (key, self.key_dim)}
        heads |= {"gate": (query, self.value_dim)} if self.use_gate else {}
        heads |= {"value": (value, self.value_dim)}
        shapes: dict[str, tuple[tuple, tuple]]
        shapes = {name: ((inside,), (self.num_heads, size)) for name, (inside, size) in heads.items()}
        shapes["attention_output"] = (self.num_heads, self.value_dim), self.output_shape or (query,)
        found: dict[str, OwnWeight] = {}
        for name, (inside, outside) in shapes.items():
            found[f"{name}/kernel"] = OwnWeight.by_arguments(self, "kernel", (*inside, *outside))
            if self.use_bias:
                found[f"{name}/bias"] = OwnWeight.by_arguments(self, "bias", outside)
        return found


def _listed(query, value, key) -> list:
    return [query, value] if key is None else [query, value, key]


def _listed_shapes(query, value, key):
    if value is None and not is_shape(query):
        return query
    return _listed(query, value, key)


def _with_heads_shape(shape):
    """The shape of a mask of pairs with four axes; None if it has another number than 2, 3 or 4."""
    if len(shape) not in (2, 3, 4):
        return None
    return tuple(shape) if len(shape) == 4 else (*((1,) if len(shape) == 2 else shape[:1]), 1, *shape[-2:])


def _output_shape(value) -> tuple[int, ...] | None:
    if value is None:
        return None
    several = [value] if is_integer(value) else value
    if not isinstance(several, (list, tuple)) or not several:
        raise ValueError(f"expected output_shape as an integer or a tuple of them, got {shown(value)}")
    return tuple(positive_integer(one, "output_shape") for one in several)


def _axes(value) -> list[int] | None:
    axes = [value] if is_integer(value) else value
    if axes is not None and list(axes) != [1]:
        raise ValueError(f"expected attention_axes None or 1, the axis of time, got {shown(value)}")
    return None if axes is None else [1]
