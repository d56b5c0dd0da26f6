"""Repeated updates: a batch of a known kind was recorded once, and is repeated without the Python around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.execution.execution import is_eager
from rnnkit.layers.support.layer_tree import (
    all_layers,
    all_or_nothing,
    arrays_by_name,
    held_by,
    options_by_name,
    put_arrays,
)
from rnnkit.layers.support.repeats import (
    SURE,
    Same,
    Watched,
    are_own,
    call_states,
    copied_arrays,
    restore,
    unmoved,
)
from rnnkit.optimizers.in_place import RecordedUpdate, UpdateInPlace
from rnnkit.recording import LARGEST, Recording, Unrepeatable, noted, plain, standing_in
from rnnkit.training.batches import Batch
from rnnkit.training.objective import Part
from rnnkit.training.tally import Tally

if TYPE_CHECKING:
    from rnnkit.training.steps import Differentiated, Stepper

_MOST = 64  # recorded kinds of batches
_ALONE = 1 << 25  # multiply-adds, some 2 ms: below, two threads gain less than Python takes around an ordinary update


@dataclass(eq=False)
class _Recorded:
    """An update that can be repeated."""

    recording: Recording
    batch: Batch  # memory for a batch
    found: Differentiated
    update: RecordedUpdate
    losses: int  # the number of operations for the losses
    penalties: list  # pairs of a regularizer and a weight
    changing: list  # layers that draw at each batch, or have moving averages
    agreed: int = 0

    def compute_losses(self, batch: Batch) -> bool:
        """Compute the losses of a batch; return False if it has to run the ordinary way."""
        for place, array in zip(_arrays(self.batch), _arrays(batch), strict=True):
            np.copyto(place, array)
        return self._repeat(self.recording.operations[: self.losses])

    def compute_update(self) -> bool:
        """Compute the update by these losses; return False if it has to run the ordinary way."""
        return self._repeat(self.recording.operations[self.losses :]) and self.update.is_finite()

    @staticmethod
    def _repeat(operations) -> bool:
        try:
            for operation in operations:
                operation()
        except Unrepeatable:
            return False
        return True

    @property
    def penalty(self) -> float:
        """The penalty of the regularizers, and what layers have added."""
        own = sum((float(regularizer(weight.copy())) for regularizer, weight in self.penalties), 0.0)
        return own + self.found.added.total


@dataclass(eq=False)
class _Kind:
    """Batches of the same shapes and dtypes. The first runs the ordinary way, since it compiles programs."""

    recorded: _Recorded | None = None
    refusal: str | None = None


@dataclass(eq=False)
class Repeats:
    """Recordings of a model's updates, and its weights in fixed memory while batches are repeated.

    Meanwhile the model has its weights from before. `settle` gives it those of the last batch; it is called before
    any code of this thread may read them.
    """

    _kinds: dict[tuple, _Kind] = field(default_factory=dict)
    _in_place: UpdateInPlace | None = None
    _watched: Watched = field(default_factory=Watched)  # the model, on which recordings depend besides the batch,
    _facts: Any = None  # and on these
    _loaded: Any = None  # the model, while its weights are in place
    _ahead: bool = False  # whether these weights are newer than the model's

    def __reduce__(self):
        return Repeats, ()  # recordings are memory of this process

    def train(self, stepper: Stepper, batch: Batch, tally: Tally) -> bool:
        """Change the weights by a batch; False, with nothing changed, if it has to run the ordinary way."""
        key = _key(stepper, batch)
        kind = None if key is None else self._kinds.get(key)
        if key is not None and kind is None and len(self._kinds) < _MOST and self._bytes() < _largest(stepper.model):
            self._kinds[key] = _Kind()
        if key is None or kind is None or kind.refusal is not None or is_eager() or not self._load(stepper, kind):
            self.settle()
            return False
        if kind.recorded is None or kind.recorded.agreed < SURE:
            self._try(kind, stepper, batch, tally)
            return True
        moves = any(held_by(layer).moving() for layer in kind.recorded.changing)
        recorded = kind.recorded
        with all_or_nothing(stepper.model) if moves else nullcontext():
            done = self._repeat(recorded, stepper, batch, tally)
        if recorded.recording.is_unsafe:
            kind.recorded = None
        return done

    def _bytes(self) -> int:
        return sum(kind.recorded.recording.bytes for kind in self._kinds.values() if kind.recorded is not None)

    def settle(self) -> None:
        """Give the model the weights of the last batch, as arrays of its own."""
        if self._ahead:
            assert self._in_place is not None, "the weights are in place"
            put_arrays(self._loaded, self._in_place.unload())
        self._ahead, self._loaded = False, None

    def _load(self, stepper: Stepper, kind: _Kind) -> bool:
        """Load the weights into place; False if the recordings don't fit the model as it is now."""
        model, optimizer = stepper.model, stepper.compiled.optimizer
        if self._loaded is model:
            return True
        arrays, weight_options = arrays_by_name(model), options_by_name(model)
        same, facts = self._watched.look(model), _facts(stepper, arrays, weight_options)
        if self._in_place is None:
            if optimizer._groups is None:  # nothing was trained so far
                return False
            if UpdateInPlace.bytes_for(optimizer) > LARGEST:
                kind.refusal = f"it holds more than {LARGEST:,} bytes"
                return False
            self._facts, self._in_place = facts, UpdateInPlace(optimizer)
        elif not same or facts != self._facts or self._in_place.known is not optimizer._groups:
            self._kinds, self._facts, self._in_place = {}, None, None
            return False
        self._in_place.load(arrays)
        self._loaded = model
        return True

    def _repeat(self, recorded: _Recorded, stepper: Stepper, batch: Batch, tally: Tally) -> bool:
        states = call_states(recorded.changing)
        found, done = recorded.found, recorded.compute_losses(batch)
        penalty = recorded.penalty if done else 0.0
        if not done or not stepper.is_finite(found.parts, penalty):
            restore(states)
            self.settle()
            return False
        told, outputs, masks, parts = found.tally_arguments()
        if tally.may_keep:
            told, outputs, masks = _each(told, copied_arrays), copied_arrays(outputs), copied_arrays(masks)
        tally.add(told, outputs, masks, parts, penalty)
        mine = self._loaded is stepper.model  # or a metric has trained it
        if mine and recorded.compute_update():
            self._ahead = True
            recorded.update.finish()
        else:
            restore(states)
            self.settle()
            stepper.train_anew(batch, None)
        return True

    def _try(self, kind: _Kind, stepper: Stepper, batch: Batch, tally: Tally) -> None:
        """Run a batch the ordinary way, and check that a recording gives the same bits."""
        states = call_states(all_layers(stepper.model))
        try:
            if kind.recorded is None:
                self._record(kind, stepper, batch)
            else:
                kind.recorded.recording.spoil()
                if not (kind.recorded.compute_losses(batch) and kind.recorded.compute_update()):
                    kind.refusal = "it can't be repeated with another batch"
        except Exception as error:  # the ordinary way raises it again, if it isn't of the recording
            kind.refusal = str(error)
        restore(states)
        self.settle()
        stepper.train_anew(batch, tally)
        if kind.recorded is not None and not kind.recorded.update.is_as(arrays_by_name(stepper.model)):
            kind.refusal = kind.refusal or "it gives other bits than the ordinary way"
        if kind.recorded is not None and kind.recorded.recording.is_unsafe:
            kind.recorded = kind.refusal = None  # it is recorded once more
        elif kind.refusal is not None:
            kind.recorded = None
        elif kind.recorded is not None:
            kind.recorded.agreed += 1

    def _record(self, kind: _Kind, stepper: Stepper, batch: Batch) -> None:
        in_place, model = self._in_place, stepper.model
        recording = Recording(_largest(model), _ALONE)
        assert in_place is not None, "the weights are in place"
        if not are_own(all_layers(model)):
            raise Unrepeatable("a layer is of a class of the user's")
        memory = _each(batch, copied_arrays)
        arrays, weight_options = arrays_by_name(model), options_by_name(model)
        recording.give(*_arrays(memory), *in_place.weights.values())
        fixed = [array for name, array in arrays.items() if name not in in_place.weights]
        recording.constant(*fixed)
        layers = all_layers(model)
        pairs = [*((arrays[name], place) for name, place in in_place.weights.items()), *unmoved(layers, fixed)]
        before = call_states(layers)
        with recording, standing_in((array, noted(place)) for array, place in pairs):
            recording.shares = True
            found = stepper.differentiated(_each(memory, noted))
            losses = len(recording.operations)
            gradients = found.gradients(stepper.names())
            recording.alone = sys.maxsize  # later operations write to memory that all recordings share
            update = in_place.record(recording, gradients, weight_options)
        after = call_states(layers)
        changing = [layer for layer in after if after[layer] != before.get(layer)]
        parts = [part and Part(plain(part.sums), part.cotangent) for part in found.parts]
        found = replace(found, batch=_each(found.batch, plain), parts=parts)
        found = replace(found, outputs=plain(found.outputs), masks=plain(found.masks))
        if not all(recording.knows(output) for output in found.outputs):
            raise Unrepeatable("an output isn't computed by recorded operations")
        if any(part is not None and not part.count for part in found.parts):
            raise Unrepeatable("no entry of the batch is used")
        options = ((weight_options[name], weight) for name, weight in in_place.weights.items())
        penalties = [(one.regularizer, weight) for one, weight in options if one.regularizer is not None]
        kind.recorded = _Recorded(recording, memory, found, update, losses, penalties, changing)


def _largest(model) -> int:
    """Return the bytes that recordings of a model's updates may hold."""
    return max(LARGEST, model._recorded_bytes)


def _key(stepper: Stepper, batch: Batch) -> tuple | None:
    """Return the key of a kind of batches; None if a batch isn't of plain arrays."""
    found: list[Any] = [get_num_threads(), stepper.class_weight and tuple(stepper.class_weight.items())]
    for arrays in _parts(batch):
        for array in arrays or (None,):
            if array is None:
                found.append(None)
            elif type(array) is np.ndarray:
                found.append((array.shape, array.dtype))
            else:
                return None
    return tuple(found)


def _facts(stepper: Stepper, arrays, weight_options) -> list:
    """Return, for comparison, all that recordings depend on besides the batch and the numbers of weights and slots."""
    optimizer = stepper.compiled.optimizer
    found: list[Any] = [
        optimizer._all_slots,
        optimizer.clipnorm,
        optimizer.global_clipnorm,
        list(weight_options.items()),
    ]
    layers = all_layers(stepper.model)
    fixed = [array for name, array in arrays.items() if not weight_options[name].trainable]
    found += [Same(array) for array, _ in unmoved(layers, fixed)]
    return found


def _arrays(batch: Batch) -> Iterator[np.ndarray]:
    for arrays in _parts(batch):
        yield from (array for array in arrays or () if array is not None)


def _parts(batch: Batch) -> tuple:
    return batch.x, batch.y, batch.weights, [batch.mask]


def _each(batch: Batch, function) -> Batch:
    return Batch(*(function(arrays) for arrays in (batch.x, batch.y, batch.weights, batch.mask)))
