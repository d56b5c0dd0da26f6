"""Layers in graphs: bytes under one key, which every worker loads once; the threads that a task may use there."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import pickle
import sys
import threading
import weakref
from collections import Counter
from typing import Any

from rnnkit.backends.shared.thread_pool import at_most, get_num_threads
from rnnkit.layers.base import Layer
from rnnkit.layers.support.display import how_compiled

_lock, _loading = threading.Lock(), threading.Lock()
_loaded: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_running: Counter[str] = Counter()  # tasks, by the worker's address


@contextlib.contextmanager
def share():
    """Run a task on all threads of its worker if no other task runs there when it begins, otherwise on one.

    A worker of Dask has a known number of threads. The threads of Dask's own scheduler, and a program that computes
    without workers, share those of `rnnkit.get_num_threads`. In a process of ``scheduler="processes"`` a task has one.
    """
    worker, most = _place()
    with _lock:
        alone = not _running[worker]
        _running[worker] += 1
    try:
        with at_most(most if alone else 1):
            yield
    finally:
        with _lock:
            _running[worker] -= 1


def _place() -> tuple[str, int]:
    """Return the worker of this task, and its number of threads."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            worker = distributed.get_worker()
        except ValueError:
            pass
        else:
            return worker.address, worker.state.nthreads
    return "", 1 if multiprocessing.parent_process() is not None else get_num_threads()


class Segment(list):
    """Consecutive layers, shipped together."""

    @property
    def name(self) -> str:
        """The names of the first and the last layer."""
        return f"{self[0].name}-to-{self[-1].name}"


class Shipped:
    """An object as bytes, with a token of these, and the vectors of programs in the process that made it."""

    def __init__(self, thing: Any):
        import cloudpickle  # a dependency of dask; pickles functions of a notebook too

        self._data = cloudpickle.dumps(thing)
        self.token, self.vectors = hashlib.sha256(self._data).hexdigest()[:32], vectors()

    def __sizeof__(self):
        return object.__sizeof__(self) + len(self._data)

    def __dask_tokenize__(self):
        return type(self).__name__, self.token

    def __repr__(self):
        return f"<{type(self).__name__}, {len(self._data)} bytes>"


class ShippedLayer(Shipped):
    """A copy of a layer or a segment as bytes; later changes of the layer don't affect its graphs.

    The token is the same for layers that pickle to the same bytes: of the same configuration, step and weights.
    """

    def __init__(self, layer: Layer | Segment):
        super().__init__(layer)
        self.name, self._layer = layer.name, None

    def layer(self) -> Any:
        """Return the layer, one object per process while in use; a RuntimeError if results would have other bits."""
        if self._layer is None:
            with _loading:
                found = _loaded.get(self.token)
                if found is None:
                    found = _loaded[self.token] = pickle.loads(self._data)
                if self.vectors != (here := vectors()) and _depends_on_vectors(found):
                    raise RuntimeError(
                        f"expected a worker with the vectors {self.vectors!r}, as where the graph was made, got "
                        f"{here!r}: a sum over features in the step has other bits there; set RNNKIT_VECTOR to the "
                        "narrower of the two in all processes"
                    )
                self._layer = found
        return self._layer

    def __getstate__(self):
        return self.__dict__ | {"_layer": None}


def vectors() -> str:
    """Return the vector extension of programs in this process."""
    from rnnkit.backends.cpu.simd.registers import FEATURE_SET

    return FEATURE_SET


def _depends_on_vectors(layer: Layer | Segment) -> bool:
    """Return whether a step inside sums over features by vectors, or was compiled by numba, which may do so."""
    if isinstance(layer, Segment):
        return any(map(_depends_on_vectors, layer))
    text = layer.explain(source=True)
    wait = "not compiled yet" in text  # its constants are known at a call
    return wait or "jitted" in how_compiled(layer) or "reduce_add" in text or "reduce_multiply" in text


if hasattr(os, "register_at_fork"):
    for _forget in (_lock._at_fork_reinit, _loading._at_fork_reinit, _running.clear):  # type: ignore[attr-defined]
        os.register_at_fork(after_in_child=_forget)
