"""Stand-ins for what only a GPU has: arrays of other libraries, and an executor that gives the CPU's results."""

import sys
import types

import numpy as np

from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.cuda.memory.dlpack import take
from rnnkit.backends.cuda.simulator.driver import array_at
from rnnkit.execution.host_fallback import on_host


class OnCard:
    """An array as libraries show theirs, in memory of NumPy."""

    def __init__(self, array, stream=None, **changes):
        self.array, self.changes = np.asarray(array), {"stream": stream} | changes

    @property
    def __cuda_array_interface__(self):
        a = self.array
        found = {"shape": a.shape, "strides": a.strides, "typestr": a.dtype.str, "data": (a.ctypes.data, False)}
        return found | {"version": 3} | self.changes


class Elsewhere(OnCard):
    """An array on the second GPU."""

    def __dlpack_device__(self):
        return (2, 1)


class OnlyDlpack:
    """An array that has DLPack alone."""

    def __init__(self, array):
        self.array = array if isinstance(array, DeviceArray) else DeviceArray(*_described(array))
        self.streams = []

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, *, stream=None):
        self.streams.append(stream)
        return self.array.__dlpack__(stream=stream)


def _described(array):
    return array, array.ctypes.data, array.shape, array.strides, array.dtype


def values(array) -> np.ndarray:
    """A copy of what stands in an array of any of these kinds."""
    if isinstance(array, OnCard):
        return array.array.copy()
    if isinstance(array, OnlyDlpack):
        array = array.array
    return array.copy_to_host() if isinstance(array, DeviceArray) else np.array(array)


def library(monkeypatch, name, stream):
    """Stand in for CuPy, torch or jax, whose current stream this is; gives the class of its arrays."""
    array = type("ndarray", (OnlyDlpack if name == "jax" else OnCard,), {"__module__": f"{name}._core"})

    def of_interface(shown, device=None):
        found = shown.__cuda_array_interface__
        here = array(array_at(found["data"][0], found["shape"], found["typestr"], found["strides"]))
        here.owner, here.stream, here.device = shown, found["stream"], device
        return here

    def of_dlpack(given):
        held = take(given.__dlpack__(stream=7), 7)
        here = array(DeviceArray(held, held.address, held.shape, held.strides, held.dtype))
        here.given = given
        return here

    current = types.SimpleNamespace(ptr=stream, cuda_stream=stream)
    cuda = types.SimpleNamespace(current_stream=lambda: current, get_current_stream=lambda: current)
    module = types.SimpleNamespace(
        asarray=of_interface, as_tensor=of_interface, cuda=cuda, dlpack=types.SimpleNamespace(from_dlpack=of_dlpack)
    )
    monkeypatch.setitem(sys.modules, name, module)
    return array


class Executor:
    """The CPU's executor in the place of a GPU's; it keeps the records that it ran."""

    how, programs = "traced, on a GPU", 0

    def __init__(self, executor, records):
        self.executor, self.records = executor, records

    def run(self, record):
        self.records.append(record)
        return on_host(self.executor.run, record)

    def vjp(self, record, checkpoint=None, truncate=None):
        self.records.append(record)
        return on_host(self.executor.vjp, record, checkpoint, truncate)

    def differentiate(self):
        return Executor(self.executor.differentiate(), self.records)

    def explain(self, source=False, graph=False):
        return self.how


def executors(monkeypatch):
    """Let these be the executors of layers on CUDA; gives the list of their records."""
    from rnnkit.execution import pipeline

    records = []
    choose = pipeline.choose
    monkeypatch.setattr(pipeline, "choose_cuda", lambda *a, **k: Executor(choose(*a, **k), records), raising=False)
    return records
