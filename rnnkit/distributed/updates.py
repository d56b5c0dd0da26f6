"""Functions of tasks of a fit: rows taken from chunks, gradients of parts, their sums, losses of batches."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rnnkit.distributed.shipping import Shipped, share, vectors
from rnnkit.layers.support import validation
from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.training.batches import Batch, Iterable
from rnnkit.training.parts import PartedStepper
from rnnkit.training.pieces import Piece, Summand, Told, added, cut

_MODELS = 2  # models per process with kept steppers, as Dask regularly drops copies that other workers hold

_lock = threading.Lock()
_free_by_token: dict[str, list] = {}


class Weights:
    """The weights at an update that differ from those of the shipped stepper."""

    def __init__(self, arrays: dict):
        self.arrays = arrays


class ShippedStepper(Shipped):
    """A stepper for parts of an update as bytes, of which a process makes as many models as tasks run at once."""

    def __init__(self, stepper: PartedStepper):
        model = stepper.model
        bare = PartedStepper(model, stepper.compiled, stepper.class_weight, stepper.parts)
        bare.compiled = stepper.compiled.losses_alone()
        kept = model._compiled, model.history
        try:
            model._compiled = model.history = None
            super().__init__(bare)
        finally:
            model._compiled, model.history = kept
        self._free: list[_Loaded] = []

    @contextlib.contextmanager
    def lent(self, weights: Weights) -> Iterator[PartedStepper]:
        """Lend a stepper with these weights for exclusive use; a RuntimeError for another vector extension."""
        if self.vectors != vectors():
            raise RuntimeError(
                f"expected a worker with the vectors {self.vectors!r}, as where fit was called, got {vectors()!r}: "
                "gradients may have other bits there; set RNNKIT_VECTOR to the narrower of the two in all processes"
            )
        try:
            loaded = self._free.pop()
        except IndexError:
            loaded = _Loaded(pickle.loads(self._data))
        loaded.put(weights)
        yield loaded.stepper
        self._free.append(loaded)  # not after an error

    def __getstate__(self):
        return self.__dict__ | {"_free": []}

    def __setstate__(self, state):
        self.__dict__.update(state)
        with _lock:
            self._free = _free_by_token.pop(self.token, [])
            _free_by_token[self.token] = self._free
            while len(_free_by_token) > _MODELS:
                _free_by_token.pop(next(iter(_free_by_token)))


class _Loaded:
    """A stepper of this process, its shipped weights, and its latest ones."""

    def __init__(self, stepper: PartedStepper):
        self.stepper, self.base = stepper, arrays_by_name(stepper.model)
        self.weights: Weights | None = None

    def put(self, weights: Weights) -> None:
        if self.weights is not weights:
            put_arrays(self.stepper.model, {**self.base, **weights.arrays})
            self.weights = weights


class Layout(NamedTuple):
    """Layout of a batch in a flat list of arrays: the number of inputs, and which targets and weights are present."""

    x: int
    y: tuple[bool, ...] | None
    weights: tuple[bool, ...] | None

    def batch(self, arrays) -> Batch:
        given = iter(arrays)

        def some(flags):
            return None if flags is None else [next(given) if there else None for there in flags]

        return Batch([next(given) for _ in range(self.x)], some(self.y), some(self.weights))

    def flat(self, batch: Batch) -> list:
        return [one for arrays in (batch.x, batch.y, batch.weights) for one in arrays or () if one is not None]


class Form(NamedTuple):
    """Description of a batch's part that rows of several chunks make up: see `Piece`."""

    layout: Layout
    total: int
    where: str


def given(value):
    """Return the value, as a task that holds data of the graph."""
    return value


def taken(rows, *chunks) -> list:
    """Return some rows of each chunk."""
    return [validation.array(chunk[rows], "a chunk of x, y or sample_weight") for chunk in chunks]


def cut_out(source: Iterable, number: int, parts: int, item) -> Piece | None:
    """Return a part of a user's batch; None if it has no such part."""
    pieces = cut(source._batch(item), parts)
    return pieces[number] if number < len(pieces) else None


def shapes_of(source: Iterable, item) -> list[tuple]:
    """Return the shapes and dtypes of a batch's inputs."""
    return [(one.shape, one.dtype) for one in source._batch(item).x]


def _piece(form: Form | None, found) -> Piece | None:
    if form is None:
        return found[0]
    arrays = found[0] if len(found) == 1 else [np.concatenate(own) for own in zip(*found, strict=True)]
    return Piece(form.layout.batch(arrays), form.total, form.where)


def gradient(shipped: ShippedStepper, weights: Weights, update: int, number: int, form, *found) -> Summand | None:
    """Return the summand of an update's part, see `PartedStepper.part`; `found` are rows of chunks, or else a piece."""
    piece = _piece(form, found)
    if piece is None:
        return None
    with share(), shipped.lent(weights) as stepper:
        summand = stepper.part(piece, update, number)
    summand.sent = summand.nbytes
    return summand


def summed(*summands: Summand | None) -> Summand | None:
    """Add summands, see `rnnkit.training.pieces.added`."""
    return added(summands)


def tested(shipped: ShippedStepper, weights: Weights, form, *found) -> tuple[np.ndarray, list[Told]]:
    """Return the losses of a batch outside training, and the inputs of its metrics."""
    piece = _piece(form, found)
    assert piece is not None, "a batch has rows"
    with share(), shipped.lent(weights) as stepper:
        return stepper.tested(piece)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]
