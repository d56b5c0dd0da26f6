"""Keras's models, and functions that make models from another or from a file."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rnnkit.keras.assembled import Functional, Model, Sequential
from rnnkit.keras.saving import as_keras, load_model, model_from_json, save_model
from rnnkit.layers.support.facts import built_shape, is_operation, set_operation
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.symbolic import Input, leaves
from rnnkit.models.calls import called_again
from rnnkit.steps.nesting import mapped

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False) -> Any:
    """Return a model of the same configuration, with new weights.

    Parameters
    ----------
    input_tensors : optional
        Symbolic inputs in place of the model's.
    clone_function : callable, optional
        From a layer to the one in its place; by default to one of the same configuration.
    call_function : callable, optional
        From a layer and the arguments of its call to the result in a functional model.
    recursive : bool
        Whether layers of models inside are cloned too.
    """

    def cloned(layer):
        if recursive and isinstance(layer, (Functional, Sequential)):
            return clone_model(layer, None, clone_function, call_function, True)
        own = clone_function is None or is_operation(layer)
        copied = type(layer).from_config(layer.get_config()) if own else clone_function(layer)
        set_operation(copied, is_operation(layer))
        return copied

    changes = any(one is not None for one in (input_tensors, clone_function, call_function))
    if isinstance(model, Functional) and changes:
        if isinstance(input_tensors, dict) != isinstance(model._input_nesting, dict) and input_tensors is not None:
            raise ValueError(
                f"expected input_tensors nested as the model's inputs, got a {type(input_tensors).__name__}"
            )
        new = [Input(**one) for one in model._input_configs]
        given = new if input_tensors is None else model._inputs("input_tensors").all(input_tensors)
        layers = [cloned(layer) for layer in model._graph.layers]
        tensors = called_again(given, layers, model._graph.calls, call_function)
        outputs = mapped(model._graph.nesting, tensors.__getitem__)
        return Functional(mapped(model._input_nesting, given.__getitem__), outputs, model.name)
    if isinstance(model, Sequential) and changes and call_function is None:
        first = [one for one in [model._input, *leaves(input_tensors)] if one is not None][-1:]
        return Sequential([*first, *map(cloned, model.layers)], name=model.name)
    if changes:
        raise ValueError("expected a model of inputs and outputs or a Sequential, for other inputs, layers or calls")
    copied = as_keras(type(model).from_config(model.get_config()))
    for own, new in zip(all_layers(model), all_layers(copied), strict=False):
        new.trainable = own.trainable
    if model.built and not copied.built:
        copied.build(built_shape(model))
    if getattr(model, "_compiled", None) is not None:
        with suppress(TypeError, ValueError):  # of what has no name
            copied.compile(**model._compiled.get_config())
    return copied
