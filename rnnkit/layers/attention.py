"""Attention and AdditiveAttention: sums over the steps of one sequence, weighed for each step of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import numpy as np

from rnnkit.arguments import fraction, shown
from rnnkit.cells.standard import InvertedDropout
from rnnkit.hints import Array, LayerOptions, Shape
from rnnkit.layers.base import NO_MORE
from rnnkit.layers.support import attending, entry, validation
from rnnkit.layers.support.attending import Finite, both
from rnnkit.layers.support.bound_calls import call_on, vjp_on
from rnnkit.layers.support.pullback import options
from rnnkit.layers.support.seeds import drawn
from rnnkit.layers.support.symbolic import agree, is_shape
from rnnkit.layers.traced import Traced
from rnnkit.layers.weighted import OwnWeight


class Options(NamedTuple):
    """What a call computes; `finite` says that no NaN or infinity is among its arrays, or no mask."""

    training: bool = False
    scores: bool = False
    causal: bool = False
    finite: bool = True


class Attending(Traced):
    """Base of layers that are called on queries, values and, if they aren't the values, keys ``(B, steps, F)``.

    A subclass has `_declared` (its weights), `_check_sizes`, `_output`, `_scores_shape` and `_result`, whose masks are
    those of queries, values, keys and pairs, and dropout's factors, and which takes `Options` in place of `training`.
    """

    _least_rank = 3
    _axes = "batch, steps"
    _names = ("query", "value", "key")

    _declared: Callable[..., dict[str, OwnWeight]]
    _check_sizes: Callable[..., None]
    _output: Callable[..., tuple]
    _scores_shape: Callable[..., tuple]
    _takes_all = True  # whether a query has all keys unless masks say otherwise

    def __init__(self, dropout: float, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.dropout: float = fraction(dropout, "dropout")

    # Calls

    def _call_options(self, training, arrays, masks):
        options = training or Options()
        if options.causal or masks or not self._takes_all:
            return options._replace(finite=all(bool(np.isfinite(one).all()) for one in arrays))
        return options

    def _nested(self, nesting, found):
        return tuple(found) if len(found) > 1 else found[0]

    def _taken(self, inputs, mask):
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            got = f"{len(inputs)} arrays" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise TypeError(
                f"expected {type(self).__name__} to be given a list [query, value] or [query, value, key], got {got}"
            )
        return [validation.numbers(one, name) for one, name in zip(inputs, self._names, strict=False)]

    def _masks(self, mask, arrays, training):
        """Masks of queries, values, keys ``(B, steps)`` and pairs as booleans, and dropout's factors."""
        found: list = [None] * 5
        shapes = [one.shape for one in (*arrays[:2], arrays[-1])]
        for i, (one, shape) in enumerate(zip(self._listed(mask), shapes, strict=False)):
            if one is not None:
                given = validation.array(one, f"{self._names[i]}_mask")
                self._check_mask(f"{self._names[i]}_mask", given.shape, shape)
                found[i] = (given.reshape(shape[:2]) != 0).astype(bool, order="C", copy=False)
        if training and training.training and self.dropout:
            draw, shape, dtype = InvertedDropout(self.dropout), self._scores_shape(shapes), self.dtype
            found[4] = drawn(self, lambda rng: draw(rng, shape).astype(dtype), like=arrays)
        return found

    def _listed(self, mask) -> list:
        if mask is None:
            return []
        if not isinstance(mask, (list, tuple)) or len(mask) not in (2, 3):
            raise ValueError(
                f"expected mask as a list [query_mask, value_mask] with None for none, got {type(mask).__name__}"
            )
        return list(mask)

    @staticmethod
    def _check_mask(name, found, shape) -> None:
        steps = found[:2] if len(found) == 3 and found[2] == 1 else found
        if len(steps) != 2 or any(None not in pair and pair[0] != pair[1] for pair in zip(steps, shape, strict=False)):
            raise ValueError(f"expected {name} of shape {tuple(shape[:2])}, one value per step; got {tuple(found)}")

    def _check_masks(self, shape, masks):
        for one, own, name in zip(self._listed(masks.get("mask")), shape, self._names, strict=False):
            if one is not None:
                self._check_mask(f"{name}_mask", one.shape, own)

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        given = {"mask": mask, "training": training, **more}
        outputs, pullback = (call_on(self, x, **given), None) if wanted is None else vjp_on(self, x, **given, **wanted)
        own = self.compute_mask(None, self._query_mask(mask, more))
        return outputs, [own, None] if isinstance(outputs, tuple) else own, pullback

    def _query_mask(self, mask, more):
        """The masks of a call as a list that begins with that of the queries, which has no mask for scores."""
        return mask

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the queries' mask."""
        own = next(iter(self._listed(mask)), None)
        return None if own is None else validation.array(own, "query_mask")

    # Shapes

    def _shape(self, shape):
        if is_shape(shape) or len(shape) not in (2, 3):
            raise TypeError(f"expected {type(self).__name__} to be given two or three shapes, got {shown(shape)}")
        found = [validation.shape(one, self._least_rank, self._axes) for one in shape]
        for one, name in zip(found, self._names, strict=False):
            if len(one) != 3:
                raise ValueError(f"expected {name} of shape (batch, steps, features), got {one}")
        query, value, key = found[0], found[1], found[-1]
        if not agree(value[:2], key[:2]) or not agree(query[:1], value[:1]):
            told = ", ".join(f"{name} {one}" for name, one in zip(self._names, found, strict=False))
            raise ValueError(f"expected one batch size, and as many keys as values; got {told}")
        self._check_sizes(query[2], value[2], key[2])
        return found

    def _opened(self, shape):
        return [(None, None, one[2]) for one in shape]

    def _check_shape(self, shape):
        known = (*self._input_shape[:2], self._input_shape[-1])
        for name, own, found in zip(self._names, known, (*shape[:2], shape[-1]), strict=True):
            if found[2] != own[2]:
                raise validation.shape_error(name, self._axes, own[2:], found)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, of the list of the inputs' shapes."""
        return self._output(self._shape(input_shape))

    # Weights

    def _build(self, shape):
        query, value, key = shape[0], shape[1], shape[-1]
        if None in (query[2], value[2], key[2]):
            raise ValueError(f"expected known features in the shapes (batch, steps, features), got {shape}")
        super()._build(shape)

    def _own_weights(self, shape):
        return self._declared(*(one[2] for one in (*shape[:2], shape[-1])))


class Attention(Attending):
    """Dot-product attention (Luong et al. 2015): for every query, the mean of values, weighed by the keys' scores.

    For every query::

        scores = query @ key.T                              # times scale with use_scale
        scores = concat_score_weight * tanh(scale * (query + key)).sum(-1)          # with score_mode="concat"
        output = softmax(scores) @ value

    Parameters
    ----------
    use_scale : bool
        Multiply by a weight ``scale``, a number that starts at 1.
    score_mode : {"dot", "concat"}
    dropout : float in [0, 1]
        The share of weights that training sets to 0.

    Notes
    -----
    A value that `mask` or the causal mask leaves out has weight 0, and NaN there reaches nothing. A query all of whose
    keys are left out has the weights that it would have without a mask, as in Keras.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> query, value = np.ones((1, 2, 3)), np.arange(12.0).reshape(1, 4, 3)
    >>> output, scores = rk.Attention()([query, value], use_causal_mask=True, return_attention_scores=True)
    >>> output[0, 0].tolist(), scores.shape
    ([0.0, 1.0, 2.0], (1, 2, 4))
    """

    use_scale: bool

    def __init__(
        self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, **options: Unpack[LayerOptions]
    ):
        super().__init__(dropout, **options)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f"expected score_mode 'dot' or 'concat', got {score_mode!r}")
        self.use_scale, self.score_mode = bool(use_scale), score_mode

    @entry.entered
    def __call__(
        self,
        inputs: Array,
        mask: Array = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend from queries to values.

        Parameters
        ----------
        inputs : list of array_like
            ``[query, value]`` or ``[query, value, key]``: (B, T, F), (B, S, G) and (B, S, F). Values are the keys, too,
            if there are no others.
        mask : list of array_like, optional
            ``[query_mask, value_mask]``, (B, T) and (B, S), None for none. Outputs of masked queries are 0, and masked
            values have no weight.
        training : bool
            Whether dropout acts.
        return_attention_scores : bool
            Return the weights too.
        use_causal_mask : bool
            Let a query have no key that is later.

        Returns
        -------
        ndarray (B, T, G), or (ndarray, ndarray (B, T, S)) with `return_attention_scores`

        Raises
        ------
        ValueError, TypeError
            For inputs and masks that don't fit.
        """
        return self._call(inputs, mask, Options(bool(training), return_attention_scores, use_causal_mask))

    @entry.entered_vjp
    def vjp(
        self,
        inputs: Array,
        mask: Array = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        *,
        checkpoint: Any = None,
        truncate: Any = None,
    ) -> Any:
        """Do as `Layer.vjp`, with the arguments of a call; the gradient's ``x`` is a list as `inputs` is."""
        options(checkpoint, truncate)
        return self._call(inputs, mask, Options(bool(training), return_attention_scores, use_causal_mask), {})

    def _result(self, arrays, masks, options, weights=NO_MORE):
        (query_mask, value_mask, _, _, kept), options = masks or [None] * 5, options or Options()
        pairs = np.tri(arrays[0].shape[1], arrays[1].shape[1], dtype=bool)[None] if options.causal else None
        pairs = both(pairs, None if value_mask is None else value_mask[:, None])
        masked = not options.finite and (pairs is not None or query_mask is not None)
        query, value, key = (Finite(one, masked) for one in (*arrays[:2], arrays[-1]))
        column = None if query_mask is None else query_mask[..., None]
        used = both(np.ones((1, 1, 1), bool) if pairs is None else pairs, column) if masked else None
        scores = attending.spoiled_scores(self._scores(weights, query.values, key.values), used, query, key)
        shares = attending.softmax(scores, pairs, relative=True)
        weighed = shares if kept is None else shares * kept
        output = attending.spoiled_sums(weighed @ value.values, used, value)
        output = output if column is None else attending.where_used(output, column)
        return (output, weighed) if options.scores else output

    def _scores(self, weights, query, key):
        """Scores ``(B, T, S)``."""
        if self.score_mode == "dot":
            return _scaled(query @ key.swapaxes(-1, -2), weights.get("scale"))
        sums = query[:, :, None] + key[:, None]
        return weights["concat_score_weight"] * np.sum(np.tanh(_scaled(sums, weights.get("scale"))), axis=-1)

    def _check_sizes(self, query, value, key):
        if None not in (query, key) and query != key:
            raise ValueError(f"expected queries and keys with as many features, got {query} and {key}")

    def _output(self, shape):
        return (*shape[0][:2], shape[1][2])

    def _scores_shape(self, shape):
        return (*shape[0][:2], shape[1][1])

    def _declared(self, query, value, key):
        names = (["scale"] if self.use_scale else []) + (["concat_score_weight"] if self.score_mode == "concat" else [])
        return dict.fromkeys(names, OwnWeight((), "ones"))


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau et al. 2015): as `Attention`, with other scores.

    For every query::

        scores = (scale * tanh(query + key)).sum(-1)

    Parameters
    ----------
    use_scale : bool
        Multiply by a weight ``scale`` (F,); without, by 1.
    dropout : float in [0, 1]
        The share of weights that training sets to 0.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.AdditiveAttention(seed=0)
    >>> layer([np.ones((2, 4, 3)), np.ones((2, 5, 3))]).shape, layer.weights["scale"].shape
    ((2, 4, 3), (3,))
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Unpack[LayerOptions]):
        super().__init__(use_scale, "dot", dropout, **options)

    def _scores(self, weights, query, key):
        return np.sum(_scaled(np.tanh(query[:, :, None] + key[:, None]), weights.get("scale")), axis=-1)

    def _declared(self, query, value, key):
        return {"scale": OwnWeight((query,), "glorot_uniform")} if self.use_scale else {}


def _scaled(array, scale):
    return array if scale is None else array * scale
