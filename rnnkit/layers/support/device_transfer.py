"""The device of a layer, and the transfer of arrays in a GPU's memory to and from it."""

from __future__ import annotations

import functools

import numpy as np

from rnnkit import allocation
from rnnkit.backends.cuda.memory import interop
from rnnkit.backends.cuda.memory.array import DeviceArray, upload
from rnnkit.backends.cuda.memory.availability import require
from rnnkit.execution.host_fallback import to_host
from rnnkit.layers.support import labelled_calls
from rnnkit.layers.support.array_kinds import first_found, handler_of
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.steps.nesting import mapped

DEVICES = ("cpu", "cuda")


def device_of(layer) -> str:
    """Return the device on which a layer computes; "cuda" where any of the layers inside does."""
    return "cuda" if any(one._device == "cuda" for one in all_layers(layer)) else "cpu"


def usable(device) -> str:
    """Return a device's name, if this process can use it; a RuntimeError if package, driver or GPU is missing."""
    if device not in DEVICES:
        raise ValueError(f"expected device 'cpu' or 'cuda', got {device!r}")
    if device == "cuda":
        require()
    return device


def move(layer, device: str) -> None:
    """Let a layer and those inside compute on a device from here on."""
    layers = all_layers(layer)
    if device != "cpu" and any(one._axes_in_front for one in layers):
        raise ValueError(f"expected the ensemble {layer.name!r} on the CPU, got {device!r}")
    for one in layers:
        one._device = device
        if (execution := getattr(one, "_execution", None)) is not None:
            execution.move(device)
        if device == "cpu" and (kept := getattr(one, "_kept", None)) is not None:
            one._kept = tuple(map(to_host, kept))


def first_on_device(nested):
    """Return the first array in a GPU's memory, None without any."""
    return first_found(nested, lambda one: one if interop.on_device(one) else None)


def taken(layer, nested, what: str, stream: int = 0):
    """Return nested arrays, those of any library in a GPU's memory as a layer takes them."""

    def one(value):
        if not interop.on_device(value):
            return value
        if layer.device != "cuda":
            raise TypeError(
                f"expected {what} on the host, since the layer {layer.name!r} is on the CPU; layer.to('cuda') moves it"
            )
        return interop.take(value, what, stream)

    return mapped(nested, one)


def crossing(method):
    """Return a layer's method that takes and gives a GPU's arrays, too; those of `array_kinds` go to their handler."""
    names: tuple[str, ...] = getattr(getattr(method, "__code__", None), "co_varnames", ())
    inputs = names[1] if len(names) > 1 else ""  # the name of the inputs' parameter

    @functools.wraps(method)
    def called(self, *arguments, **keywords):
        given = arguments[0] if arguments else keywords.get(inputs)
        named = type(given) is not np.ndarray and method.__name__ in ("vjp", "trajectory") and not self._axes_in_front
        if named and (found := labelled_calls.called(self, method, arguments, keywords)) is not None:
            return found
        first = first_on_device(given)
        if first is None and first_on_device((*arguments, *keywords.values())) is None:
            if (handler := handler_of((*arguments, *keywords.values()))) is not None:
                return handler.answer(self, method, arguments, keywords)
            try:
                return method(self, *arguments, **keywords)
            except MemoryError as error:
                what = "a call" if method.__name__ == "__call__" else method.__name__
                raise allocation.retold(error, f"{what} of {self.name!r}") from None
        stream = _stream(keywords.get("stream"), first)
        x, more = taken(self, arguments[:1], "x", stream), taken(self, arguments[1:], "an argument", stream)
        arguments = (*x, *more)
        keywords = {name: taken(self, one, name, stream) for name, one in keywords.items()}
        call = functools.partial(method, self)
        if not self._native:
            call = _on_host(call, first is not None, stream)
        result = call(*arguments, **keywords)
        return result if first is None else _given(result, interop.library_of(first))

    return called


def _stream(given, first) -> int:
    """Return the stream of a call: the one that was asked for, or that of the first array."""
    if given is not None:
        return interop.stream_handle(given)
    return 0 if first is None else interop.stream_of(first)


def _given(result, library):
    """Return a result as a library has its arrays; a pullback gives and takes such arrays too."""

    def give(value):
        return interop.give(value, library) if isinstance(value, DeviceArray) else value

    if library == "rnnkit":
        return result
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Pullback):
        outputs, pullback = result
        pullback.give = lambda gradients: gradients.mapped(give)
        return mapped(outputs, give), pullback
    return mapped(result, give)


def _on_host(call, back: bool, stream: int):
    """Return a call that runs on the host, with its results brought back to the GPU if wished."""

    def up(value):
        return upload(value, stream) if isinstance(value, np.ndarray) else value

    def run(*arguments, **keywords):
        result = call(*mapped(arguments, to_host), **mapped(keywords, to_host))
        if not back:
            return result
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Pullback):
            outputs = mapped(result[0], up)
            return outputs, result[1].around(outputs, pulled)
        return mapped(result, up)

    def pulled(pull):
        def run(cotangents):
            found = pull([to_host(one) for one in cotangents])
            return Gradients(found.weights, *mapped((found.x, found.initial_state, found.constants), up))

        return run

    return run
