"""Calls of attention layers in Keras's graphs: arrays and options by name, without masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit.layers.attention import Attending
from rnnkit.layers.multi_head_attention import MultiHeadAttention

OPTIONS = ("return_attention_scores", "use_causal_mask", "training")
_HEADS = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", *OPTIONS)
_LISTED = ("inputs", "mask", *OPTIONS)


def arguments(layer: Attending, args, kwargs: Mapping[str, Any]) -> tuple[list, dict[str, Any]]:
    """Return a call's arrays as a list, and its other arguments under the names of rnnkit's call.

    A ValueError refuses masks of steps, as Keras takes them from the arrays that the layer reads.
    """
    names = _HEADS if isinstance(layer, MultiHeadAttention) else _LISTED
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"expected a call of {layer.name!r} with the arguments {', '.join(names)}; got {unknown[0]!r}")
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    arrays = given.pop("inputs", None) or [given.pop(name) for name in ("query", "value", "key") if name in given]
    if any(name in given for name in ("mask", "query_mask", "value_mask", "key_mask")):
        raise masked(layer)
    return list(arrays), given


def masked(layer) -> ValueError:
    """Return the error for arrays with masks before an attention layer of a model."""
    return ValueError(
        f"expected no masks before {layer.name!r}: Keras's attention takes masks off the arrays that it reads, and "
        "later layers miss them; give the model an attention_mask as an input"
    )
